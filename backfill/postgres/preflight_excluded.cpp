#include "backfill/postgres/preflight_excluded.hpp"

#include <set>
#include <string>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// $1: the names. Those that no relation has: (name, a relation of nearly that name).
constexpr const char* unknown_query = R"sql(
    WITH present AS (SELECT n.nspname || '.' || c.relname AS label, c.relname
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind NOT IN ('i', 'I', 't', 'c') AND n.nspname NOT LIKE 'pg\_%')
    SELECT e.label, (SELECT min(p.label) FROM present p
                     WHERE lower(p.label) = lower(replace(e.label, '"', '')) OR lower(p.relname) = lower(replace(e.label, '"', '')))
    FROM unnest($1::text[]) AS e(label) WHERE e.label NOT IN (SELECT label FROM present) ORDER BY 1)sql";

// $1: the names. (object, what it is to the excluded table, that table, how to end it). What
// pg_dump writes down although what it needs is left out.
constexpr const char* dependents_query = R"sql(
    WITH excluded AS (
        SELECT c.oid, c.reltype, n.nspname || '.' || c.relname AS label FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = ANY ($1::text[])),
    gone AS (  -- With their partitions.
        SELECT oid, reltype, label FROM excluded
        UNION SELECT t.relid, c.reltype, e.label FROM excluded e, pg_partition_tree(e.oid) t JOIN pg_class c ON c.oid = t.relid)
    SELECT o.conrelid::regclass::text, format('its foreign key %s refers to', o.conname), x.label,
           format('ALTER TABLE %s DROP CONSTRAINT %I;', o.conrelid::regclass, o.conname), 'key'
    FROM gone x JOIN pg_constraint o ON o.confrelid = x.oid AND o.contype = 'f' AND o.conparentid = 0
    WHERE o.conrelid NOT IN (SELECT oid FROM gone)
    UNION
    SELECT v.oid::regclass::text, 'the view reads', x.label, format('DROP VIEW %s;', v.oid::regclass), ''
    FROM gone x JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE v.oid NOT IN (SELECT oid FROM gone) AND v.relkind IN ('v', 'm')
    UNION
    SELECT v.oid::regclass::text, format('its rule %s names', r.rulename), x.label,
           format('DROP RULE %I ON %s;', r.rulename, v.oid::regclass), ''
    FROM gone x JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE v.oid NOT IN (SELECT oid FROM gone) AND v.relkind NOT IN ('v', 'm')
    UNION
    SELECT p.polrelid::regclass::text, format('its policy %s names', p.polname), x.label,
           format('DROP POLICY %I ON %s;', p.polname, p.polrelid::regclass), ''
    FROM gone x JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid AND d.classid = 'pg_policy'::regclass
    JOIN pg_policy p ON p.oid = d.objid WHERE p.polrelid NOT IN (SELECT oid FROM gone)
    UNION
    SELECT 'function ' || p.oid::regprocedure, 'it names', x.label, format('DROP FUNCTION %s;', p.oid::regprocedure), ''
    FROM gone x JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid
                                    OR d.refclassid = 'pg_type'::regclass AND d.refobjid = x.reltype)
    JOIN pg_proc p ON p.oid = d.objid
    UNION
    SELECT a.attrelid::regclass::text, format('its column %s holds rows of', a.attname), x.label,
           format('ALTER TABLE %s DROP COLUMN %I;', a.attrelid::regclass, a.attname), ''
    FROM gone x JOIN pg_type y ON x.reltype <> 0 AND (y.oid = x.reltype OR y.typelem = x.reltype)
    JOIN pg_attribute a ON a.atttypid = y.oid AND NOT a.attisdropped JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
    WHERE a.attrelid NOT IN (SELECT oid FROM gone)
    UNION
    SELECT c.oid::regclass::text, 'it inherits from', x.label, format('ALTER TABLE %s NO INHERIT %s;', c.oid::regclass, x.oid::regclass), ''
    FROM gone x JOIN pg_inherits h ON h.inhparent = x.oid JOIN pg_class c ON c.oid = h.inhrelid AND c.relkind = 'r'
    WHERE NOT c.relispartition AND c.oid NOT IN (SELECT oid FROM gone) ORDER BY 1, 2)sql";

void unreadable(const char* side, const Error& error, std::vector<Finding>& findings) {
    findings.push_back({Severity::fail,
                        "tables",
                        side,
                        "could not be examined: " + error.detail,
                        "grant what is missing and check again"});
}

// Those of the names that the target has: made by the operator, for what depends on them.
Result<std::set<std::string>> present(Connection& target, const std::string& names) {
    const auto rows = target.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND c.relkind NOT "
        "IN ('i', 'I', 't', 'c')",
        {names});
    if (!rows) return rows.error();
    std::set<std::string> found;
    for (int row = 0; row < rows->size(); ++row) found.insert(rows->text(row, 0));
    return found;
}

// One configuration may serve many databases, of which not each has every table. But a name that is
// nearly that of a table is a slip, which would leave the table in the move.
void check_names(Connection& source,
                 const std::string& names,
                 const std::set<std::string>& there,
                 std::vector<Finding>& findings) {
    const auto rows = source.execute(unknown_query, {names});
    if (!rows) return unreadable("source", rows.error(), findings);
    for (int row = 0; row < rows->size(); ++row) {
        const bool slip = !rows->null(row, 1);
        if (!slip && there.contains(rows->text(row, 0))) continue;  // The target's own.
        findings.push_back({slip ? Severity::fail : Severity::warn,
                            "exclude_unknown",
                            "source: " + rows->text(row, 0),
                            slip ? "[tables] exclude names it, and the table is " +
                                       rows->text(row, 1) + ": that one would be moved"
                                 : "[tables] exclude names it, and there is no such table: nothing "
                                   "is excluded by it",
                            "write \"schema.table\" as the source's catalog spells it, without "
                            "quotes, or strike it out"});
    }
}

void check_dependents(Connection& source,
                      const std::string& names,
                      const std::set<std::string>& there,
                      std::vector<Finding>& findings) {
    const auto rows = source.execute(dependents_query, {names});
    if (!rows) return unreadable("source", rows.error(), findings);
    for (int row = 0; row < rows->size(); ++row) {
        const std::string table = rows->text(row, 2);
        const bool made = there.contains(table);
        const std::string reason =
            rows->text(row, 1) + " " + table + ", which [tables] exclude names";
        const char* kept = rows->at(row, 4) == "key"
                               ? "; the target has a table of that name, whose rows must fit"
                               : "; the target has a table of that name, which is used";
        findings.push_back({made ? Severity::warn : Severity::fail,
                            "exclude_dependent",
                            "source: " + rows->text(row, 0),
                            reason + (made ? kept : ""),
                            rows->text(row, 3) + "  -- or exclude both, or neither; or create " +
                                table + " on the target"});
    }
}

}  // namespace

void check_excluded(const ServerSettings& settings,
                    Connection& source,
                    Connection& target,
                    std::vector<Finding>& findings) {
    if (settings.exclude.empty()) return;
    const std::string names = text_array(settings.exclude);
    const auto there = present(target, names);
    if (!there) return unreadable("target", there.error(), findings);
    check_names(source, names, *there, findings);
    check_dependents(source, names, *there, findings);
}

}  // namespace segue::backfill::postgres
