#pragma once
// Text of an application's that Segue has a server run for it, with no more rights than the
// application has itself: inside a function that belongs to the role of its session. In there the
// server lets nobody take another role. After a mere SET ROLE any function that the text calls
// could: Segue's own, which may be a superuser's.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/link.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Makes, in the open transaction, the function whose `definition` begins with CREATE FUNCTION
// pg_temp.`name`, is SECURITY DEFINER and takes arguments of any kind, and gives it to the role.
// Returns whether we are a superuser. Where not, the role is the current one from here on, until
// the transaction ends, as is session_replication_role = replica: Segue's own must be a member of
// it, and it must be allowed to create temporary objects. Segue's own must be allowed to set
// session_replication_role in any case: event triggers of the application are not to fire.
Result<bool> make_for_role(Connection& connection,
                           const std::string& role,
                           const std::string& name,
                           const std::string& definition,
                           Deadline deadline);

// Nobody that the fence lets through, until the transaction ends.
inline constexpr const char* as_nobody_sql =
    "SELECT pg_catalog.set_config('segue.mover', '', true)";

// In the body of such a function: takes the settings `names` with the values `vals` (both text[])
// into force, with the rights of the role; of the server's own only those that `allowed`, a regular
// expression, lets through and this server knows, and of loaded libraries' those that everybody may
// set: a database may have others from a superuser, which the role is refused.
inline constexpr const char* take_settings_sql = R"sql(
  FOR i IN 1 .. pg_catalog.cardinality(names) LOOP
    IF pg_catalog.strpos(names[i], '.') > 0 THEN
      PERFORM pg_catalog.set_config(names[i], vals[i], true) WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_settings s
        WHERE pg_catalog.lower(s.name) = pg_catalog.lower(names[i]) AND s.context <> 'user');
    ELSE
      PERFORM pg_catalog.set_config(s.name, vals[i], true) FROM pg_catalog.pg_settings s
        WHERE s.name = names[i] AND s.name ~ allowed;
    END IF;
  END LOOP;)sql";

using SettingValues = std::vector<std::pair<std::string, std::string>>;

// What a login of the role would have in force, the most particular last.
Result<SettingValues> settings_of_role(Connection& connection,
                                       const std::string& role,
                                       Deadline deadline);

// "PREPARE name (types) AS statement". OIDs of pg_type as the client has said them of the
// parameters; 0, missing ones and those that are not built in: the server infers them.
Result<std::string> prepare_sql(Connection& connection,
                                const std::string& name,
                                const std::vector<std::uint32_t>& parameter_types,
                                const std::string& statement,
                                Deadline deadline);

}  // namespace segue::backfill::postgres
