#pragma once
// The part of the check that is about extensions: whether the target can have them, in which
// version, and what rows they keep.

#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_extensions(Connection& source, Connection& target, std::vector<Finding>& findings);

// -1, 0 or 1 as for comparisons; numbers by value ("1.10" is above "1.9"), other parts as text.
int compare_versions(std::string_view a, std::string_view b);

}  // namespace segue::backfill::postgres
