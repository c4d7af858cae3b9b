#pragma once
// Extensions are the operator's: their scripts run with rights that applications do not have, and
// their files may not be there. What the authority has is compared, and the command that makes it
// the same is told.

#include <string>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"

namespace segue::backfill::postgres {

// The first command that is still to be run on the follower; empty when all is the same there.
Result<std::string> extension_remedy(Connection& follower, const DdlRecord& record);

}  // namespace segue::backfill::postgres
