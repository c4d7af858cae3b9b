#pragma once
// The part of the check that is about what the target's database has already: tables and types of
// the same names, and what has Segue's names on either side.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_target(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings);

// Of one server: what has Segue's names and is not of this migration.
void check_leftovers(Side side,
                     const ServerSettings& settings,
                     Connection& connection,
                     std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
