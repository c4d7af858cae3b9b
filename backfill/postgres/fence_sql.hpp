#pragma once
// The texts of the fence: what runs inside the servers.

#include <string>
#include <string_view>

#include "router/side.hpp"

namespace segue::backfill::postgres {

// Of what a closed side tells whoever writes there, behind the side's name. The proxy knows by it
// that a session is on the wrong side.
inline constexpr std::string_view fenced_words = " is fenced by Segue: only its mover writes here";

// A condition: true for everybody but the mover. Its role alone is not enough, because an
// application may use the same one.
std::string not_the_mover_sql(const std::string& role, const std::string& migration_id);

// Trigger functions segue.fence_guard() for tables and segue.fence_ddl() for commands, and
// segue.fence_new_tables(), which arms tables as they are created. `role`: who the mover logs in
// as. A command in a transaction that has set segue.carry to its own id may make temporary tables
// on a closed side: segue.fence_carried() sees to it that it made nothing else.
std::string fence_functions_sql(Side side,
                                const std::string& role,
                                const std::string& migration_id);

// CREATE TRIGGER for one table, up to and behind its qualified name.
struct FenceTriggerSql {
    std::string before_table, after_table;
};
FenceTriggerSql fence_trigger_sql(const std::string& role, const std::string& migration_id);

// Needs a superuser.
std::string fence_event_triggers_sql();

// A FROM clause and condition: the tables c (of schemas n) that the fence guards. $1: excluded
// names.
extern const char* const fenced_tables_sql;
// A condition on c: it has our trigger, always enabled, for this migration. $2: migration id.
extern const char* const is_armed_sql;

}  // namespace segue::backfill::postgres
