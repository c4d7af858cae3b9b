#include "backfill/postgres/ddl_capture.hpp"

#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/ddl_sandbox_sql.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

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
    const auto functions = link.run(ddl_functions_sql({role->text(0, 0),
                                                       migration_id,
                                                       publication_name(migration),
                                                       new_table_publication_names(migration),
                                                       exclude}));
    if (!functions) return functions.error();
    // It can name what is there then, and still read nothing.
    const auto seen = link.run("GRANT USAGE ON SCHEMA segue TO PUBLIC");
    if (!seen) return seen.error();
    const auto triggers = link.run(ddl_event_triggers_sql);
    if (!triggers) return triggers.error();
    return Done{};
}

Status remove_ddl_capture(Link& link) {
    const auto removed = link.run(
        "DROP EVENT TRIGGER IF EXISTS segue_ddl_1; DROP EVENT TRIGGER IF EXISTS segue_ddl_2;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_3; DROP EVENT TRIGGER IF EXISTS segue_ddl_4;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_5; DROP FUNCTION IF EXISTS " +
        std::string{ddl_function_names} + ", " + ddl_sandbox_function_names + ", " +
        ddl_public_function_names + "; REVOKE USAGE ON SCHEMA segue FROM PUBLIC");
    if (!removed) return removed.error();
    return Done{};
}

}  // namespace segue::backfill::postgres
