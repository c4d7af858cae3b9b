#pragma once
// A connection to one side for short administrative statements, each with a deadline: a frozen
// server must not freeze a change of authority. Opened when first needed, and anew after it broke.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

using Deadline = std::chrono::steady_clock::time_point;

// Milliseconds until then, at least 1: zero would switch a server's timeout off.
long long milliseconds_until(Deadline deadline);

// True when the connection can take the next statement.
bool usable(const Connection& connection);

// Runs the statement (several without parameters; the last one's answer). The server is asked to
// give up a little before the deadline; when nothing is heard by the deadline the answer is lost:
// Errc::timed_out, and the connection is no longer usable(). A server's own timeout is
// Errc::timed_out as well, and harmless.
Result<Rows> execute_before(Connection& connection,
                            const std::string& sql,
                            const std::optional<Parameters>& parameters,
                            Deadline deadline);

class Link {
public:
    Link(std::string url, Connection::Options options);

    // The connection, usable; opened when there is none.
    Result<Connection*> connection();

    // For idempotent statements: a connection that turns out to be dead is replaced, and the
    // statement is run a second time.
    Result<Rows> run(const std::string& sql,
                     const std::optional<Parameters>& parameters = std::nullopt);
    Result<Rows> run(const std::string& sql,
                     const std::optional<Parameters>& parameters,
                     Deadline deadline);

    // Forgets the connection; the server ends the session and its locks.
    void drop() { connection_.reset(); }
    // The connection that is there, also one that still waits for an answer; null: none.
    Connection* at_hand() { return connection_ && connection_->good() ? &*connection_ : nullptr; }
    bool open() const { return connection_ && usable(*connection_); }
    const std::string& url() const { return url_; }
    const Connection::Options& options() const { return options_; }

private:
    std::string url_;
    Connection::Options options_;
    std::optional<Connection> connection_;
};

// What an administrative statement may take when nobody gave a deadline.
inline constexpr std::chrono::seconds statement_time_max{30};

}  // namespace segue::backfill::postgres
