#pragma once
// Who may be changing the schema of the source unseen, because he began before DDL was captured.

#include <chrono>
#include <string>

#include "backfill/postgres/link.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Of each wait for transactions of applications.
inline constexpr std::chrono::seconds transactions_wait_max{60};

// `why`, and who is still open (pids): Errc::timed_out.
Error still_open(Link& source, const std::string& pids, const std::string& why);

// Returns when all have ended that began before this was called.
Status await_earlier(Link& source);

}  // namespace segue::backfill::postgres
