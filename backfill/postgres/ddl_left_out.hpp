#pragma once
// Commands about what is not moved, and so is not on the follower: tables of [tables] exclude,
// their sequences, and views of them. They have nothing to do there.

#include <string>
#include <string_view>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"

namespace segue::backfill::postgres {

// The tables, views or sequences that GRANT or REVOKE names, as schema.name or name. Empty where it
// names none one by one, or things of another kind. Pure.
std::vector<std::string> granted_relations(std::string_view statement);

// The command failed on the follower with `error`: only because it is about what is left out there.
// A view that cannot be there for that is left out itself from then on, and noted.
Result<bool> is_left_out(Connection& follower,
                         const std::vector<std::string>& exclude,
                         const DdlRecord& record,
                         std::string_view statement,
                         const Error& error);

}  // namespace segue::backfill::postgres
