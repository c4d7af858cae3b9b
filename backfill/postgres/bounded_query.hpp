#pragma once
// A statement on a connection that may have gone silent: half-open, so that no error ever comes.

#include <chrono>
#include <string>

#include "backfill/postgres/connection.hpp"

namespace segue::backfill::postgres {

// For what reads a whole catalog: longer than a server that is alive takes by its own
// statement_timeout (statement_time_max), whose answer says more.
inline constexpr std::chrono::seconds catalog_wait_max{35};

// For what a server answers at once or not at all. Errc::closed when no answer has come in that
// time; the connection is then of no more use.
Result<Rows> execute_within(Connection& connection,
                            std::chrono::milliseconds limit,
                            const std::string& sql,
                            const Parameters& parameters = {});

}  // namespace segue::backfill::postgres
