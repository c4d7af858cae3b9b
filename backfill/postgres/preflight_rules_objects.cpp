// Objects other than tables.

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
    Rule{Where::source, information, "tablespace", R"sql(
        SELECT 'tablespace ' || t.spcname, format('%s tables and indexes are in it; on the target they are made in the database''s'
               ' own, and need %s there', count(*), pg_size_pretty(sum(c.relpages::bigint)
               * current_setting('block_size')::bigint)),
               'CREATE DATABASE ... TABLESPACE ...;  -- on the target, before start'
        FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'i', 'm') AND c.relpersistence = 'p' AND n.nspname NOT LIKE 'pg\_%'
          AND n.nspname NOT IN ('information_schema', 'segue')
        GROUP BY t.spcname ORDER BY 1)sql"},
    Rule{Where::both, information, "event_trigger", R"sql(
        SELECT 'event trigger ' || e.evtname, 'it fires for Segue''s own DDL as well, and one that writes is refused on the'
               ' fenced side', format('ALTER EVENT TRIGGER %I DISABLE;  -- during the move, if it writes', e.evtname)
        FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
        WHERE e.evtenabled <> 'D' AND p.pronamespace IS DISTINCT FROM to_regnamespace('segue') ORDER BY 1)sql"},
    Rule{Where::source, fail, "extension_storage", R"sql(
        SELECT 'extension ' || extname, 'it keeps rows of the application in tables of its own, which are not moved as tables',
               'move that database with the extension''s own tools; or DROP EXTENSION if nobody uses it'
        FROM pg_extension WHERE extname IN ('timescaledb', 'citus', 'citus_columnar', 'age', 'pg_pathman', 'orioledb') ORDER BY 1)sql"},
};

}  // namespace

std::span<const Rule> object_rules() { return rules; }

}  // namespace segue::backfill::postgres
