#pragma once
// Whether each role that may log in on the source will be let in on both servers through Segue, and
// by what.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

inline constexpr std::size_t roles_named_max =
    100;  // Of those that are in order; the rest is a number.

void check_roles(const ServerSettings& settings,
                 Connection& source,
                 Connection& target,
                 std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
