#pragma once
// Positions across the thread border: a thread for each side asks its server where the log ends,
// one query for all commits that wait, and relay threads are woken by their eventfd. Sides have
// threads and numbers of their own: a server that hangs does not hold up the other's commits, and
// an answer is never taken for the other side's.

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backfill/postgres/log_position.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "protocol/write_mark.hpp"
#include "router/side.hpp"

namespace segue::proxy {

struct Token {
    std::uint64_t request = 0;  // Read after every request up to this one had been made.
    Position position;
    WriteMark written = {};
};

class Positions {
public:
    using Clock = std::chrono::steady_clock;
    using LogEnd = backfill::postgres::LogEnd;

    // Both block, each from the thread of its side only.
    struct Server {
        std::function<Result<LogEnd>(Side)> read;
        std::function<Status(Side)> commit_ticket;
    };

    explicit Positions(Server server);
    ~Positions();  // Stops and joins; waits for a query that is under way.

    void start();
    void stop();

    // Any thread; does not wait. The number to compare with a token's.
    std::uint64_t ask(Side side);
    // The newest token of that side; request 0 before the first.
    Token newest(Side side) const;
    // Written after each new token. The caller keeps it open until unsubscribe.
    void subscribe(int event_fd);
    void unsubscribe(int event_fd);
    // Empty while the last reading succeeded: what went wrong with that side.
    std::string problem(Side side) const;

private:
    struct PerSide {
        std::uint64_t asked = 0;
        Token newest;
        bool mark_stale = false;  // A ticket of ours has ended since.
        std::string problem;
        std::condition_variable wake;
        // A token above the server's flushed log that the stream may not reach by itself.
        std::optional<Position> unflushed;
        Clock::time_point ticket_at;
        std::thread thread;
    };
    void run(Side side);
    void publish(PerSide& state, Token token, const LogEnd& end);
    Status flush_if_due(Side side, PerSide& state, std::unique_lock<std::mutex>& lock);

    Server server_;
    mutable std::mutex mutex_;
    std::array<PerSide, 2> sides_;
    std::vector<int> event_fds_;
    bool stopping_ = false;
};

}  // namespace segue::proxy
