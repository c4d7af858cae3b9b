#pragma once
// Where the two halves of Segue meet: the mover publishes how far one side's stream is durably on
// the other side, the gate and read routing wait for it. Thread-safe; one object per stream, never
// reset.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "protocol/position.hpp"

namespace segue::backfill {

class AppliedPosition {
public:
    // Contiguous: every commit at or below it is durable on the other side (law 3).
    Position current() const noexcept { return Position{value_.load(std::memory_order_acquire)}; }

    // Ignored unless above the current one. Wakes waiters and writes every subscribed eventfd.
    void publish(Position position);

    // The caller keeps `event_fd` open until unsubscribe.
    void subscribe(int event_fd);
    void unsubscribe(int event_fd);

    // False when the deadline came first.
    bool wait_for(Position position, std::chrono::steady_clock::time_point deadline);

    // Whether everything that the other side shows is visible where it came from as well (law 4: a
    // commit may come out of the stream before). Only kept up while somebody wants it; who reads on
    // the other side looks when the answer has come. The mover says no before it commits there what
    // may not be visible yet.
    bool shown() const noexcept { return shown_.load(); }
    void set_shown(bool shown) noexcept { shown_.store(shown); }
    bool shown_wanted() const noexcept { return shown_wanted_.load(); }
    void want_shown(bool wanted) noexcept {
        if (shown_wanted_.load(std::memory_order_relaxed) != wanted) shown_wanted_.store(wanted);
    }

private:
    std::atomic<bool> shown_{true}, shown_wanted_{false};
    std::atomic<std::uint64_t> value_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<int> event_fds_;
};

}  // namespace segue::backfill
