#pragma once
// What `check` learns only from both sides together: versions, encodings, extensions, roles, and
// whether the target's tables are missing, equal and empty, or this migration's own.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_pair(const ServerSettings& settings,
                Connection& source,
                Connection& target,
                std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
