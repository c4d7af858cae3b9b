#include "backfill/postgres/preflight_functions.hpp"

#include <chrono>
#include <set>
#include <string>

#include "backfill/postgres/as_role.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Relation, what of it, a query of a few rows, a remedy, and with whose rights: the table's owner,
// or else the domain's or a function's, who is not to act as a superuser or as us; NULL where all
// of them are superusers or we ourselves. Functions in C look nothing up by a search_path.
constexpr const char* expressions_query = R"sql(
    WITH code (relation, what, classid, object, what_is_run, domain_owner) AS (
        SELECT i.indrelid, 'index ' || i.indexrelid::regclass, 'pg_class'::regclass, i.indexrelid,
               pg_get_expr(t.tree, i.indrelid) || ' FROM ONLY ' || i.indrelid::regclass, NULL::oid
        FROM pg_index i, LATERAL (VALUES (i.indexprs), (i.indpred)) t (tree)
        UNION ALL
        SELECT o.conrelid, format('constraint %I', o.conname), 'pg_constraint'::regclass, o.oid,
               pg_get_expr(o.conbin, o.conrelid) || ' FROM ONLY ' || o.conrelid::regclass, NULL
        FROM pg_constraint o WHERE o.contype = 'c' AND o.conrelid <> 0
        UNION ALL
        SELECT d.adrelid, format('column %I', a.attname), 'pg_attrdef'::regclass, d.oid,
               pg_get_expr(d.adbin, d.adrelid) || ' FROM ONLY ' || d.adrelid::regclass, NULL
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
        UNION ALL
        SELECT a.attrelid, format('the domain of column %I', a.attname), 'pg_constraint'::regclass, o.oid,
               format('%I::text::%s FROM ONLY %s', a.attname, a.atttypid::regtype, a.attrelid::regclass),
               (SELECT y.typowner FROM pg_type y WHERE y.oid = o.contypid)
        FROM pg_constraint o JOIN pg_attribute a ON a.atttypid = o.contypid AND NOT a.attisdropped
        JOIN pg_class k ON k.oid = a.attrelid AND k.relkind IN ('r', 'p')
        UNION ALL
        SELECT r.ev_class, 'the materialized view', 'pg_rewrite'::regclass, r.oid,
               '* FROM (' || rtrim(pg_get_viewdef(r.ev_class), ';') || ') m', NULL
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relkind = 'm' AND c.relispopulated)
    SELECT n.nspname || '.' || c.relname, e.what, 'SELECT ' || e.what_is_run || ' LIMIT 20', string_agg(
               DISTINCT format('ALTER FUNCTION %s SET search_path = ...;', p.oid::regprocedure), ' '),
           (array_agg(r.rolname ORDER BY r.oid <> c.relowner, r.rolname))[1]
    FROM code e JOIN pg_class c ON c.oid = e.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.object AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc p ON p.oid = d.refobjid JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    LEFT JOIN pg_roles r ON r.oid IN (c.relowner, e.domain_owner, p.proowner) AND NOT r.rolsuper AND r.rolname <> current_user
    WHERE e.what_is_run IS NOT NULL AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname NOT IN ('information_schema', 'segue') AND n.nspname || '.' || c.relname <> ALL ($1::text[])
    GROUP BY 1, 2, 3 ORDER BY 5 NULLS FIRST, 1, 2)sql";

// Nothing that the application has there is waited for, and nothing is kept.
constexpr const char* limits =
    "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '500ms'";
constexpr auto make_time_max = std::chrono::seconds{5};

constexpr const char* try_function =
    "CREATE FUNCTION pg_temp.segue_try(query text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
    " AS 'BEGIN EXECUTE query; END'";

// The function is gone with the transaction. An empty role is ours.
Status begin_as(Connection& source, const std::string& role) {
    const auto run = [&](const std::string& sql) -> Status {
        if (const auto done = source.execute(sql); !done) return done.error();
        return Done{};
    };
    if (role.empty())
        return run(std::string{"BEGIN READ ONLY; "} + limits + "; SAVEPOINT segue_check");
    if (const Status begun = run(std::string{"BEGIN READ WRITE; "} + limits); !begun) return begun;
    const auto made = make_for_role(
        source, role, "segue_try", try_function, std::chrono::steady_clock::now() + make_time_max);
    if (!made) return made.error();
    return run(std::string{"SET LOCAL transaction_read_only = on; "} + limits +
               "; SAVEPOINT segue_check");
}

bool finds_nothing(const Error& error) {
    // A function, table, type or schema that is not there.
    static const std::set<std::string> missing = {"42883", "42P01", "42704", "3F000"};
    return missing.contains(error.sqlstate);
}

// The state of types that are not there as well; a superuser is told it in English.
bool misses_setting(const Error& error) {
    return error.sqlstate == "42704" &&
           error.detail.find("unrecognized configuration parameter") != std::string::npos;
}

// What could not be tried is told once.
struct Untried {
    int expressions = 0;
    std::string first;

    void add(const Rows& expressions_of, int row) {
        if (expressions++ == 0)
            first = expressions_of.text(row, 1) + " of " + expressions_of.text(row, 0);
    }
};

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
    static_cast<void>(
        source.execute("SELECT set_config('lc_messages', 'C', false) FROM pg_roles"
                       " WHERE rolname = current_user AND rolsuper"));
    Untried untried;
    bool begun = false;
    std::string role;
    for (int row = 0; row < expressions->size(); ++row) {
        const std::string wanted = expressions->text(row, 4);
        if (row == 0 || wanted != role) {
            if (row > 0 && !source.execute("ROLLBACK")) return;
            role = wanted;
            begun = static_cast<bool>(begin_as(source, role));
        }
        if (!begun) {
            untried.add(*expressions, row);
            continue;
        }
        const std::string query = expressions->text(row, 2);
        const auto tried = role.empty() ? source.execute(query)
                                        : source.execute("SELECT pg_temp.segue_try($1)", {query});
        // The table's lock goes as well.
        if (!source.execute("ROLLBACK TO SAVEPOINT segue_check")) return;
        if (tried) continue;
        if (!role.empty() && tried.error().sqlstate == "42501") untried.add(*expressions, row);
        if (!finds_nothing(tried.error())) continue;
        const bool setting = misses_setting(tried.error());
        findings.push_back(
            {Severity::fail,
             setting ? FindingCode{"function_setting"} : FindingCode{"function_path"},
             "source: " + expressions->text(row, 0),
             expressions->text(row, 1) +
                 (setting ? " calls a function that reads a setting which the mover does not have: "
                          : " calls a function that finds its helpers by search_path, and the "
                            "mover works with pg_catalog: ") +
                 tried.error().detail,
             setting
                 ? "ALTER DATABASE ... SET ... = ...;  -- that setting on both servers, so that "
                   "the rows pass; or let the function use current_setting('...', true)"
                 : expressions->text(row, 3) +
                       "  -- the schemas that it needs; of an extension's function on "
                       "both servers"});
    }
    static_cast<void>(source.execute("ROLLBACK"));
    if (untried.expressions == 0) return;
    findings.push_back(
        {Severity::information,
         "function_untried",
         "source",
         std::to_string(untried.expressions) +
             " expressions that call functions could not be tried with the rights of "
             "their owners, " +
             untried.first + " among them",
         "SET ROLE to the owner, SET search_path = pg_catalog, and SELECT the "
         "expression from its table"});
}

}  // namespace segue::backfill::postgres
