#include "proxy/mover_wait.hpp"

#include <string>
#include <thread>

namespace segue::proxy {

namespace {

constexpr std::chrono::milliseconds poll{20};

constexpr const char* remedy = "; try again when `segue status` does not name it any more";

Status connected(const backfill::MoverStatus& status, std::initializer_list<Side> sides) {
    for (const Side side : sides) {
        const backfill::StreamStatus& stream = status.streams[index(side)];
        const std::string which = "the stream of the " + std::string{name(side)};
        if (!stream.problem.empty())
            return Error{Errc::refused, which + " has a problem: " + stream.problem};
        if (status.running && !stream.connected)
            return Error{Errc::refused, which + " is not connected yet" + remedy};
    }
    if (status.running) return Done{};
    if (!status.last_failure.empty())
        return Error{Errc::refused, "the mover is not running: " + status.last_failure};
    if (!status.problems.empty()) return Error{Errc::refused, status.problems.front()};
    return Error{Errc::refused,
                 std::string{"the mover is not connected to both servers yet"} + remedy};
}

}  // namespace

Status wait_connected(const backfill::Mover& mover,
                      std::initializer_list<Side> sides,
                      std::chrono::milliseconds patience,
                      const std::atomic<bool>& stopping) {
    const auto deadline = backfill::Clock::now() + patience;
    for (;;) {
        const backfill::MoverStatus status = mover.status();
        Status now = connected(status, sides);
        if (now || stopping || backfill::Clock::now() >= deadline) return now;
        // What patience does not change.
        if (status.invalid) return Error{Errc::refused, status.problems.front()};
        std::this_thread::sleep_for(poll);
    }
}

}  // namespace segue::proxy
