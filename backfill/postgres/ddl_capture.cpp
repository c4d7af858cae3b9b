#include "backfill/postgres/ddl_capture.hpp"

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/ddl_sandbox_sql.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

// Default privileges of Segue's role may have given others more than a look at the schema.
constexpr const char* keep_to_ourselves = R"sql(DO $$ DECLARE given record; BEGIN
  FOR given IN
    SELECT format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass) AS what,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS whom
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE c.relnamespace = 'segue'::regnamespace AND c.relkind IN ('r', 'S') AND a.grantee <> c.relowner
    UNION
    SELECT 'FUNCTION ' || p.oid::regprocedure,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
    WHERE p.pronamespace = 'segue'::regnamespace AND a.grantee <> p.proowner
      AND p.proname NOT IN ('ddl_room', 'ddl_execute') LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', given.what, given.whom);
  END LOOP;
END $$; GRANT USAGE ON SCHEMA segue TO PUBLIC)sql";

}  // namespace

Result<bool> may_capture_ddl(Link& link) {
    const auto role = link.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
    if (!role) return role.error();
    return role->size() == 1 && role->truth(0, 0);
}

Status install_ddl_capture(Link& link,
                           const std::string& migration_id,
                           const std::string& migration,
                           const std::vector<std::string>& exclude) {
    const auto role = link.run("SELECT session_user");
    if (!role) return role.error();
    std::string pool;
    const std::vector<std::string> names = new_table_publication_names(migration);
    for (std::size_t i = 0; i < names.size(); ++i) {
        pool += "INSERT INTO segue.ddl_publication VALUES (" + std::to_string(i) + ", " +
                quote_literal(names[i]) + ") ON CONFLICT DO NOTHING; ";
    }
    if (const auto filled = link.run(pool); !filled) return filled.error();
    const auto functions = link.run(ddl_functions_sql({role->text(0, 0),
                                                       migration_id,
                                                       publication_name(migration),
                                                       new_table_publication_names(migration),
                                                       exclude}));
    if (!functions) return functions.error();
    // It can name what is there then, and still read nothing.
    const auto seen = link.run(keep_to_ourselves);
    if (!seen) return seen.error();
    const auto triggers = link.run(ddl_event_triggers_sql);
    if (!triggers) return triggers.error();
    return Done{};
}

Status stop_ddl_capture(Link& link) {
    const auto removed = link.run(
        "DROP EVENT TRIGGER IF EXISTS segue_ddl_1; DROP EVENT TRIGGER IF EXISTS segue_ddl_2;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_3; DROP EVENT TRIGGER IF EXISTS segue_ddl_4;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_5; REVOKE USAGE ON SCHEMA segue FROM PUBLIC");
    if (!removed) return removed.error();
    return Done{};
}

std::string remove_ddl_capture_sql() {
    return "DROP TABLE IF EXISTS segue.ddl, segue.ddl_handled, segue.ddl_token, segue.ddl_mark,"
           " segue.ddl_rewrite, segue.ddl_did, segue.ddl_publication; DROP FUNCTION IF EXISTS " +
           std::string{ddl_function_names} + ", " + ddl_sandbox_function_names + ", " +
           ddl_public_function_names;
}

}  // namespace segue::backfill::postgres
