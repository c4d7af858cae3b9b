#pragma once
// What a carried command must not bring to the follower: code that the mover would run there by
// writing to a table, with the rights of Segue's role, and what would fire a second time for rows
// that it has fired for on the authority.

#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

struct TablesCode {
    std::vector<std::string> things;  // As ddl_code_sql.hpp tells them.
    std::string fires;                // Empty: nothing.
};

// Of tables with these names (schema.table), or of all.
Result<TablesCode> read_code(Connection& follower,
                             const std::vector<std::string>& names,
                             bool everywhere);

// An error, when the tables have code now that they had not before.
Status refuse_new_code(Connection& follower,
                       const std::vector<std::string>& names,
                       const TablesCode& before);

// What a command has recorded of its tables' code (segue.ddl) on the authority: an error, when some
// of it is not known here. Judged there, and not only after the command here, because what is made
// while tables are copied comes to the follower with the rest, by Segue's own hand.
Status refuse_unknown_code(Connection& follower,
                           Side stream,
                           const std::vector<std::string>& things);
// From now on it is known.
Status know_code(Connection& follower, Side stream, const std::vector<std::string>& things);
// All of a side's tables, with a mark; and whether that was ever told.
Result<std::vector<std::string>> read_all_code(Connection& owner);
Result<bool> is_code_known(Connection& follower, Side stream);

// An error, when commands stand in the source's segue.ddl that may have brought code and nobody on
// the target has dealt with.
Status refuse_unjudged_commands(Connection& source, Connection& target);

// An error, when one of these tables has something that fires here as well.
Status refuse_what_fires(Connection& follower, const std::vector<std::string>& names);

// An error, when writing to any table runs what is not known to be harmless: what functions call
// when they are run is not known to anybody.
Status refuse_functions(Connection& follower);

}  // namespace segue::backfill::postgres
