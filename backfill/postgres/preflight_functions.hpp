#pragma once
// The part of the check that is about functions which the mover has to run for each row.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

// Runs the expressions of constraints, generated columns and indexes, and materialized views, on a
// few rows as the mover would: a body that finds its helpers by the application's search_path fails,
// here as there. They run with the rights of whoever owns them, never with those of a superuser that
// he is not.
void check_functions(const ServerSettings& settings,
                     Connection& source,
                     std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
