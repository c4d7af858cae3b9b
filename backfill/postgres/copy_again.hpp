#pragma once
// A table that has stopped the stream while everything is still being copied has no rows that
// anybody relies on: it is emptied on the follower and copied anew, like one that the application
// has truncated.

#include <set>

#include "backfill/dispatcher.hpp"
#include "backfill/postgres/mover_shared.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// In one transaction of the follower: the rows, and the record of the chunks that hold them. The
// run that goes on meanwhile knows the chunks of before, and must be followed by another one.
Status empty_for_copy(MoverShared& shared,
                      const std::set<TableName>& tables,
                      std::chrono::steady_clock::time_point deadline);

}  // namespace segue::backfill::postgres
