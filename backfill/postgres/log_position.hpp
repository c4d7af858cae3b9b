#pragma once
// Where a server's log ends, for tokens: a connection of our own that is asked again and again. Blocking;
// one thread at a time; connects when it is not connected.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

class LogPosition {
public:
    // `settings` as in Connection::Options: the mover's mark, so that a ticket passes the fence.
    LogPosition(std::string url, std::vector<std::pair<std::string, std::string>> settings)
        : url_(std::move(url)), settings_(std::move(settings)) {}

    // The end of what has been inserted into the log: at or beyond every commit whose answer has been seen
    // by now. When that end is not flushed yet, a ticket is committed first and the position after it is
    // the answer, so that the stream is sure to reach it (DESIGN 5, "H and quiet servers").
    Result<Position> read();
    void disconnect() { connection_.reset(); }

private:
    Result<Position> ask();

    std::string url_;
    std::vector<std::pair<std::string, std::string>> settings_;
    std::optional<Connection> connection_;
};

}  // namespace segue::backfill::postgres
