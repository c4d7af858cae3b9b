#pragma once
// The part of the check that is about tables without a key.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_keys(const ServerSettings& settings, Connection& source, std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
