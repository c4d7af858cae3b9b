#pragma once
// The part of the check that asks whether our role on the target may create the source's schema:
// owners, grantees, and objects that only a superuser may create.

#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

void check_owners(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
