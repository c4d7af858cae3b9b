#pragma once
// Waiting for transactions of an application to end.

#include <chrono>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/link.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Returns when these transactions (texts of xid8) have ended, prepared ones included; those of
// other databases are not waited for. Asks anew after each pause. The pids of those that were open
// at the deadline; empty: all have ended.
Result<std::string> await_transactions(Connection& connection,
                                       std::vector<std::string> transactions,
                                       std::chrono::milliseconds pause,
                                       Deadline deadline);

// For the operator: the one among these that has been open longest (" 123 456 prepared"), who runs
// it, since when, and what ends it.
std::string oldest_of(Connection& connection, const std::string& pids);

}  // namespace segue::backfill::postgres
