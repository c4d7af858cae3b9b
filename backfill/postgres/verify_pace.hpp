#pragma once
// How fast a verification may read: an operator's limit in rows a second. A wait is short and is
// left at once where the verification is to stop.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

namespace segue::backfill::postgres {

class VerifyPace {
public:
    using Clock = std::chrono::steady_clock;

    VerifyPace(const std::atomic<std::uint64_t>& rows_per_second, const std::atomic<bool>& stopping)
        : rows_per_second_(rows_per_second), stopping_(stopping) {}

    // A range that is larger would be a burst.
    std::optional<std::uint64_t> range_rows_max() const {
        const std::uint64_t rate = rows_per_second_.load(std::memory_order_relaxed);
        if (rate == 0) return std::nullopt;
        return rate;
    }
    // What must be waited after that many rows; empty while it is too short to be worth it.
    std::optional<Clock::duration> owed(std::uint64_t rows, Clock::time_point now = Clock::now()) {
        const std::uint64_t rate = rows_per_second_.load(std::memory_order_relaxed);
        if (rate == 0) {
            due_ = now;
            return std::nullopt;
        }
        const auto share =
            std::chrono::duration<double>(static_cast<double>(rows) / static_cast<double>(rate));
        // What was not used is not saved up.
        due_ = std::max(due_, now - burst) + std::chrono::duration_cast<Clock::duration>(share);
        if (due_ - now < shortest) return std::nullopt;
        return due_ - now;
    }
    void wait(Clock::duration time) const {
        const auto until = Clock::now() + time;
        while (Clock::now() < until && !stopping_.load(std::memory_order_relaxed))
            std::this_thread::sleep_for(std::min<Clock::duration>(step, until - Clock::now()));
    }

private:
    static constexpr std::chrono::milliseconds shortest{20}, step{50}, burst{1000};
    const std::atomic<std::uint64_t>& rows_per_second_;
    const std::atomic<bool>& stopping_;
    Clock::time_point due_;
};

}  // namespace segue::backfill::postgres
