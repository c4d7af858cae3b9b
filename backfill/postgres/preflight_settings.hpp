#pragma once
// The part of the check that compares how the two servers are set up: what statements mean, limits,
// collations, libraries.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_settings(const ServerSettings& settings,
                    Connection& source,
                    Connection& target,
                    std::vector<Finding>& findings);

// Of one server: indexes may be in the order of an older version of a collation.
void check_collations(Side side, Connection& connection, std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
