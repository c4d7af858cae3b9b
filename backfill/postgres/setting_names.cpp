#include "backfill/postgres/setting_names.hpp"

#include <chrono>

#include "backfill/postgres/bounded_query.hpp"

namespace segue::backfill::postgres {

namespace {

// A server that says nothing for so long is given up.
constexpr std::chrono::seconds names_wait_max{5};
// What describes a view locks its tables, and DDL of the application may hold them just then.
constexpr const char* short_lock_wait = "SET lock_timeout = '1s'";

// Stored expressions name a function by its OID: current_setting has 2077 and 3294, set_config
// 2078, on every server. The bodies of functions in the SQL standard's form are stored so since
// version 14. What is found too much does not exist in any session, and costs nothing. But not the
// names of settings that extensions define: a session tells those itself, and to ask for one that
// only superusers may see is an error. Nor those that a client's encoding may not have.
constexpr const char* names_query = R"sql(
WITH calls AS (SELECT ':funcid (2077|2078|3294) ' AS pattern),
texts AS (
    SELECT p.prosrc AS body FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND n.nspname <> 'segue' AND p.prosrc ~* '\mset\M|set_config|current_setting'
    UNION ALL
    SELECT pg_get_functiondef(p.oid) FROM pg_proc p, calls
    WHERE p.oid >= 16384 AND p.prokind <> 'a' AND p.prosrc = '' AND to_jsonb(p) ->> 'prosqlbody' ~ calls.pattern
    UNION ALL
    SELECT pg_get_viewdef(r.ev_class) FROM pg_rewrite r, calls
    WHERE r.oid >= 16384 AND r.rulename = '_RETURN' AND r.ev_action::text ~ calls.pattern
    UNION ALL
    SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r, calls
    WHERE r.oid >= 16384 AND r.rulename <> '_RETURN' AND concat(r.ev_action, r.ev_qual) ~ calls.pattern
    UNION ALL
    SELECT concat(pg_get_expr(p.polqual, p.polrelid), ' ', pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p
    UNION ALL
    SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d, calls WHERE d.adbin::text ~ calls.pattern
    UNION ALL
    SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c, calls WHERE c.conbin::text ~ calls.pattern
    UNION ALL
    SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t, calls WHERE t.tgqual::text ~ calls.pattern
),
names AS (
    SELECT m[1] AS name FROM texts,
           regexp_matches(body, $$(?:set_config|current_setting)\s*\(\s*'([^'.]+\.[^']+)'$$, 'gi') AS m
    UNION ALL
    SELECT regexp_replace(m[1], '[\s"]', '', 'g') FROM texts,
           regexp_matches(body, $$\mset\s+(?:session\s+|local\s+)?((?:\w+|"[^"]+")(?:\s*\.\s*(?:\w+|"[^"]+"))+|"[^".]+\.[^"]+")\s*(?:=|\mto\M)$$, 'gi') AS m)
SELECT DISTINCT lower(name) AS name FROM names
WHERE name !~ '[^ -~]' AND lower(name) NOT IN (SELECT lower(s.name) FROM pg_settings s)
ORDER BY 1 LIMIT $1::int)sql";

}  // namespace

Result<std::vector<std::string>> load_setting_names(Connection& connection) {
    if (const auto set = execute_within(connection, names_wait_max, short_lock_wait); !set)
        return set.error();
    const auto rows = execute_within(
        connection, names_wait_max, names_query, {std::to_string(setting_names_max)});
    if (!rows) return rows.error();
    std::vector<std::string> names;
    names.reserve(static_cast<std::size_t>(rows->size()));
    for (int row = 0; row < rows->size(); ++row) names.push_back(rows->text(row, 0));
    return names;
}

}  // namespace segue::backfill::postgres
