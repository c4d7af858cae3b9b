#pragma once
// Where a server's log ends, for tokens: a connection of our own that is asked again and again.
// Blocking; one thread at a time; connects when it is not connected.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "protocol/write_mark.hpp"

namespace segue::backfill::postgres {

struct LogEnd {
    Position inserted;  // At or beyond every commit whose answer anybody has seen by now.
    Position flushed;   // What the stream can reach without anybody doing anything.
    WriteMark written = {};
};

class LogPosition {
public:
    // `settings` as in Connection::Options: the mover's mark, so that a ticket passes the fence.
    LogPosition(std::string url, std::vector<std::pair<std::string, std::string>> settings)
        : url_(std::move(url)), settings_(std::move(settings)) {}

    Result<LogEnd> read();
    // Commits a tiny transaction, flushed when this returns: everything inserted before it is
    // flushed too (DESIGN 5, "H and quiet servers").
    Status commit_ticket();

private:
    Status connect();
    Result<Rows> run(const char* statement);

    std::string url_;
    std::vector<std::pair<std::string, std::string>> settings_;
    std::optional<Connection> connection_;
    std::uint64_t connections_ = 0;  // Opened so far.
};

}  // namespace segue::backfill::postgres
