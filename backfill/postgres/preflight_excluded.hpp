#pragma once
// The part of the check that is about [tables] exclude: names that exclude nothing, and what is
// moved and depends on an excluded table.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_excluded(const ServerSettings& settings,
                    Connection& source,
                    Connection& target,
                    std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
