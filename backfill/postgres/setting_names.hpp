#pragma once
// Reads from a server's catalog under which names the database's own functions, views, policies and
// defaults set or read custom settings ("app.tenant"). A server tells nobody which ones a session
// has; by name it can be asked (protocol/postgres/session_state.hpp).

#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

inline constexpr int setting_names_max = 1000;  // Further ones are not asked for.

// In lower case, each once. Names that are computed are not found. One query, some milliseconds;
// an error where a lock is met for longer than a moment, or the server does not answer.
Result<std::vector<std::string>> load_setting_names(Connection& connection);

}  // namespace segue::backfill::postgres
