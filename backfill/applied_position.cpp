#include "backfill/applied_position.hpp"

#include <unistd.h>

#include <cstdint>

namespace segue::backfill {

void AppliedPosition::publish(Position position) {
    const std::lock_guard lock{mutex_};
    if (position.value <= value_.load(std::memory_order_relaxed)) return;
    value_.store(position.value, std::memory_order_release);
    changed_.notify_all();
    const std::uint64_t one = 1;
    for (const int event_fd : event_fds_) {
        // A full counter means that the reader has a wake-up pending already.
        [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
    }
}

void AppliedPosition::subscribe(int event_fd) {
    const std::lock_guard lock{mutex_};
    event_fds_.push_back(event_fd);
}

void AppliedPosition::unsubscribe(int event_fd) {
    const std::lock_guard lock{mutex_};
    std::erase(event_fds_, event_fd);
}

bool AppliedPosition::wait_for(Position position, std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock{mutex_};
    return changed_.wait_until(lock, deadline, [&] { return current() >= position; });
}

}  // namespace segue::backfill
