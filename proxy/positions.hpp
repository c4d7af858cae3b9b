#pragma once
// Positions across the thread border: one thread asks a server where its log ends, one query for all commits
// that wait, and relay threads are woken by their eventfd. Each side has its own numbering and its own
// connection, so that an answer is never taken for the other side's.

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::proxy {

struct Token {
    std::uint64_t request = 0;  // Read after every request up to this one had been made.
    Position position;
};

class Positions {
public:
    // Reads the end of one side's log, blocking (backfill::postgres::LogPosition::read).
    using Read = std::function<Result<Position>(Side)>;

    explicit Positions(Read read);
    ~Positions();  // Stops and joins.

    void start();
    void stop();

    // Any thread; does not wait. The number to compare with a token's.
    std::uint64_t ask(Side side);
    // The newest token of that side; request 0 before the first.
    Token newest(Side side) const;
    // Written after each new token. The caller keeps it open until unsubscribe.
    void subscribe(int event_fd);
    void unsubscribe(int event_fd);
    // Empty while the last read succeeded: what went wrong with that side.
    std::string problem(Side side) const;

private:
    struct PerSide {
        std::uint64_t asked = 0;
        Token newest;
        std::string problem;
    };
    void run();
    std::optional<Side> next_side() const;

    Read read_;
    mutable std::mutex mutex_;
    std::condition_variable asked_;
    std::array<PerSide, 2> sides_;
    std::vector<int> event_fds_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace segue::proxy
