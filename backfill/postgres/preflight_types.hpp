#pragma once
// The part of the check that is about types of the database's own.

#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

// Tells, where it is so, that types have other OIDs on the target, or will when Segue creates them
// there.
void check_types(Connection& source, Connection& target, std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
