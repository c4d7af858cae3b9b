// Objects other than tables, and what depends on excluded tables.

#include <array>

#include "backfill/postgres/preflight_rules.hpp"

namespace segue::backfill::postgres {

namespace {

using enum Severity;

constexpr std::array rules = {
    Rule{Where::source, fail, "large_objects", R"sql(
        SELECT 'large objects', format('%s large objects exist; they are not in the change log and are not moved', n),
               'move them to bytea columns, or SELECT lo_unlink(oid) FROM pg_largeobject_metadata;'
        FROM (SELECT count(*) AS n FROM pg_largeobject_metadata) l WHERE n > 0)sql"},
    Rule{Where::source, information, "transaction_id_code", R"sql(
        SELECT 'function ' || p.oid::regprocedure, 'its body names ' || array_to_string(ARRAY(
                   SELECT DISTINCT w[1] FROM regexp_matches(lower(p.prosrc), pattern, 'g') w ORDER BY 1), ', ')
               || ': beyond one transaction that means nothing on another server', ''
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
             (SELECT '\m(txid_current\w*|pg_current_xact_id\w*|pg_current_snapshot|xmin|xmax|ctid|pg_current_wal_\w+)\M' AS pattern) f
        WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue') AND p.prosrc ~* pattern
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        ORDER BY 1 LIMIT 100)sql"},
    Rule{Where::source, information, "sequence_cache", R"sql(
        SELECT 'sequence ' || s.seqrelid::regclass, format('it gives sessions %s numbers at a time: those in hand are lost when a'
               ' session moves', s.seqcache), ''
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE s.seqcache > 1 AND c.relpersistence <> 't' AND n.nspname <> 'segue' ORDER BY 1 LIMIT 100)sql"},
    Rule{Where::both, information, "event_trigger", R"sql(
        SELECT 'event trigger ' || e.evtname, 'it fires for Segue''s own DDL as well, and one that writes is refused on the'
               ' fenced side', format('ALTER EVENT TRIGGER %I DISABLE;  -- during the move, if it writes', e.evtname)
        FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
        WHERE e.evtenabled <> 'D' AND p.pronamespace IS DISTINCT FROM to_regnamespace('segue') ORDER BY 1)sql"},
    Rule{Where::source, fail, "extension_storage", R"sql(
        SELECT 'extension ' || extname, 'it keeps rows of the application in tables of its own, which are not moved as tables',
               'move that database with the extension''s own tools; or DROP EXTENSION if nobody uses it'
        FROM pg_extension WHERE extname IN ('timescaledb', 'citus', 'citus_columnar', 'age', 'pg_pathman', 'orioledb') ORDER BY 1)sql"},
    // What pg_dump would create and could not.
    Rule{Where::source, fail, "exclude_dependent", R"sql(
        SELECT o.conrelid::regclass::text, format('its foreign key %s refers to %s, which [tables] exclude names', o.conname, x.label),
               format('ALTER TABLE %s DROP CONSTRAINT %I;  -- or exclude both tables, or none', o.conrelid::regclass, o.conname)
        FROM excluded x JOIN pg_constraint o ON o.confrelid = x.oid AND o.contype = 'f' AND o.conparentid = 0
        WHERE o.conrelid NOT IN (SELECT oid FROM excluded)
        UNION
        SELECT v.oid::regclass::text, format('the view reads %s, which [tables] exclude names', x.label),
               format('DROP VIEW %s;  -- or do not exclude the table', v.oid::regclass)
        FROM excluded x JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid
             AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class AND v.oid <> x.oid
        WHERE v.oid NOT IN (SELECT oid FROM excluded)
        UNION
        SELECT c.oid::regclass::text, format('it inherits from %s, which [tables] exclude names', x.label),
               format('ALTER TABLE %s NO INHERIT %s;  -- or exclude both tables, or none', c.oid::regclass, x.oid::regclass)
        FROM excluded x JOIN pg_inherits h ON h.inhparent = x.oid JOIN pg_class c ON c.oid = h.inhrelid AND c.relkind = 'r'
        WHERE NOT c.relispartition AND c.oid NOT IN (SELECT oid FROM excluded) ORDER BY 1)sql"},
};

}  // namespace

std::span<const Rule> object_rules() { return rules; }

}  // namespace segue::backfill::postgres
