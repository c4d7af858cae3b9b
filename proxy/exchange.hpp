#pragma once
// Blocking conversations with a server on a connection that nobody else uses, for threads of our
// own.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

// Sends everything while reading what comes. `receive` gets every slice and returns true when the
// answer is complete. Errc::timed_out at the deadline, Errc::closed when the connection ends: it is
// worth nothing then.
Status exchange(Transport& server,
                Bytes request,
                std::chrono::steady_clock::time_point deadline,
                const std::function<bool(Bytes)>& receive);

using TextRow = std::vector<std::optional<std::string>>;

// One simple Query; its rows as text. Errc::server with the SQLSTATE for an ERROR.
Result<std::vector<TextRow>> query_rows(Transport& server,
                                        const std::string& sql,
                                        std::chrono::steady_clock::time_point deadline);

}  // namespace segue::proxy
