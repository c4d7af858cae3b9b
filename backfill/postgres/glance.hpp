#pragma once
// Asks a server one thing by a connection that is made for it, step by step, without ever waiting:
// for who must not be kept by a server that may be gone.

#include <chrono>
#include <optional>
#include <string>

#include "backfill/postgres/connection.hpp"

namespace segue::backfill::postgres {

// Between two connections: where names are not resolved any more, beginning one takes a while.
inline constexpr std::chrono::seconds glance_pause{2};

// The last result of what was sent, once all of it has come; nothing is waited for.
std::optional<Rows> answer_at_hand(Connection& connection);

// One thread.
class Glance {
public:
    // A connection that has not got any further for `time_max` is given up for a new one.
    Glance(std::string url, Connection::Options options, std::chrono::milliseconds time_max)
        : url_(std::move(url)), options_(std::move(options)), time_max_(time_max) {}

    // One step further; the answer, once, when it has come. Then it asks again, by the same
    // connection; after a failure by a new one. The same `sql` at each call.
    std::optional<Rows> look(const std::string& sql);
    void forget();  // The connection.

private:
    using Clock = std::chrono::steady_clock;
    enum class Stage { none, connecting, connected, asked };

    std::optional<Rows> step(const std::string& sql);
    void ask(const std::string& sql);
    bool connected();
    void give_up();

    std::string url_;
    Connection::Options options_;
    std::chrono::milliseconds time_max_;
    std::optional<Connection> connection_;
    Stage stage_ = Stage::none;
    PostgresPollingStatusType wants_ = PGRES_POLLING_WRITING;
    Clock::time_point got_further_at_, not_before_;
};

}  // namespace segue::backfill::postgres
