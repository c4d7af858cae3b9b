#include "backfill/postgres/preflight_functions.hpp"

#include <set>
#include <string>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Relation, what of it, a query of a few rows, and a remedy. Functions in C look nothing up by a
// search_path.
constexpr const char* expressions_query = R"sql(
    WITH code (relation, what, classid, object, what_is_run) AS (
        SELECT i.indrelid, 'index ' || i.indexrelid::regclass, 'pg_class'::regclass, i.indexrelid,
               pg_get_expr(t.tree, i.indrelid) || ' FROM ONLY ' || i.indrelid::regclass
        FROM pg_index i, LATERAL (VALUES (i.indexprs), (i.indpred)) t (tree)
        UNION ALL
        SELECT o.conrelid, format('constraint %I', o.conname), 'pg_constraint'::regclass, o.oid,
               pg_get_expr(o.conbin, o.conrelid) || ' FROM ONLY ' || o.conrelid::regclass
        FROM pg_constraint o WHERE o.contype = 'c' AND o.conrelid <> 0
        UNION ALL
        SELECT d.adrelid, format('column %I', a.attname), 'pg_attrdef'::regclass, d.oid,
               pg_get_expr(d.adbin, d.adrelid) || ' FROM ONLY ' || d.adrelid::regclass
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
        UNION ALL
        SELECT a.attrelid, format('the domain of column %I', a.attname), 'pg_constraint'::regclass, o.oid,
               format('%I::text::%s FROM ONLY %s', a.attname, a.atttypid::regtype, a.attrelid::regclass)
        FROM pg_constraint o JOIN pg_attribute a ON a.atttypid = o.contypid AND NOT a.attisdropped
        JOIN pg_class k ON k.oid = a.attrelid AND k.relkind IN ('r', 'p')
        UNION ALL
        SELECT r.ev_class, 'the materialized view', 'pg_rewrite'::regclass, r.oid,
               '* FROM (' || rtrim(pg_get_viewdef(r.ev_class), ';') || ') m'
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relkind = 'm' AND c.relispopulated)
    SELECT n.nspname || '.' || c.relname, e.what, 'SELECT ' || e.what_is_run || ' LIMIT 20', string_agg(
               DISTINCT format('ALTER FUNCTION %s SET search_path = ...;', p.oid::regprocedure), ' ')
    FROM code e JOIN pg_class c ON c.oid = e.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.object AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc p ON p.oid = d.refobjid JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    WHERE e.what_is_run IS NOT NULL AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname NOT IN ('information_schema', 'segue') AND n.nspname || '.' || c.relname <> ALL ($1::text[])
    GROUP BY 1, 2, 3 ORDER BY 1, 2)sql";

// Nothing that the application has there is waited for, and nothing is kept.
constexpr const char* begin = R"sql(
    BEGIN READ ONLY; SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '500ms'; SAVEPOINT segue_check)sql";

bool finds_nothing(const Error& error) {
    // A function, table, type or schema that is not there.
    static const std::set<std::string> missing = {"42883", "42P01", "42704", "3F000"};
    return missing.contains(error.sqlstate);
}

}  // namespace

void check_functions(const ServerSettings& settings,
                     Connection& source,
                     std::vector<Finding>& findings) {
    const auto expressions = source.execute(expressions_query, {text_array(settings.exclude)});
    if (!expressions) {
        return findings.push_back({Severity::fail,
                                   "tables",
                                   "source",
                                   "could not be examined: " + expressions.error().detail,
                                   "grant what is missing and check again"});
    }
    if (expressions->size() == 0 || !source.execute(begin)) return;
    for (int row = 0; row < expressions->size(); ++row) {
        const auto tried = source.execute(expressions->text(row, 2));
        if (tried) continue;
        if (!source.execute("ROLLBACK TO SAVEPOINT segue_check")) return;
        if (!finds_nothing(tried.error())) continue;
        findings.push_back({Severity::fail,
                            "function_path",
                            "source: " + expressions->text(row, 0),
                            expressions->text(row, 1) +
                                " calls a function that finds its helpers by search_path, and the "
                                "mover works with pg_catalog: " +
                                tried.error().detail,
                            expressions->text(row, 3) +
                                "  -- the schemas that it needs; of an extension's function on "
                                "both servers"});
    }
    static_cast<void>(source.execute("ROLLBACK"));
}

}  // namespace segue::backfill::postgres
