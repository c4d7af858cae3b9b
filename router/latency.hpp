#pragma once
// How long executions took, in bounded memory: a histogram of fixed size whose buckets grow with
// the value, percentiles of it, and whether one side is slower than the other beyond noise. Pure.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace segue::router {

// What a histogram says. Percentiles are at most an eighth above the exact value, never below it
// (but for what is longer than latency_max). All zero without samples.
struct Latency {
    std::uint64_t count = 0;
    std::chrono::microseconds mean{0}, p50{0}, p95{0}, p99{0};

    friend bool operator==(const Latency&, const Latency&) = default;
};

inline constexpr std::chrono::microseconds latency_max{134'217'727};  // 2^27 - 1: 134 seconds.

class LatencyHistogram {
public:
    // More than count_max samples: the oldest ones are not forgotten, further ones are not counted.
    static constexpr std::uint32_t count_max = 65'535;

    // What is longer than latency_max counts as that, what is negative as zero.
    void add(std::chrono::microseconds latency);
    std::uint32_t count() const { return count_; }

    // Of both together, as of one.
    static Latency of(const LatencyHistogram& one, const LatencyHistogram& other);
    static Latency of(const LatencyHistogram& one) { return of(one, LatencyHistogram{}); }

private:
    // Eight buckets for each doubling; the first sixteen hold one microsecond each.
    static constexpr unsigned steps_bits = 3, steps = 1u << steps_bits;
    static constexpr unsigned value_bits = 27;
    static constexpr std::size_t buckets = (value_bits - steps_bits + 1) * steps;

    static std::size_t bucket_of(std::uint64_t value);
    static std::uint64_t upper_end(std::size_t bucket);

    std::array<std::uint16_t, buckets> counts_{};
    std::uint32_t count_ = 0;
    std::uint64_t sum_ = 0;
};

// Who judges by what is recent keeps so many samples at least, and twice as many at most.
inline constexpr std::uint32_t latency_window = 500;

// What counts as slower: the follower's percentile is `ratio` times the authority's, and longer by
// `difference`, which keeps the noise of fast statements out.
struct SlowerLimits {
    std::uint64_t samples_min = 20;  // At most latency_window.
    double ratio = 1.5;
    std::chrono::microseconds difference{2000};

    friend bool operator==(const SlowerLimits&, const SlowerLimits&) = default;
};

// Few samples suffice where the follower is slower by so many times the limits ...
inline constexpr std::uint64_t few_samples_min = 5;
inline constexpr double few_samples_factor = 10;
// ... and a statement that is slow for some of its values only shows it at its end, which is noisy.
inline constexpr std::uint64_t tail_samples_min = 100;
inline constexpr double tail_factor = 5;

// By the median; with many samples also by the 95th percentile.
bool is_slower(const Latency& authority, const Latency& follower, const SlowerLimits& limits);

// The follower's time for one of the authority's, by the percentile that is further apart. Zero
// without samples.
double slowdown(const Latency& authority, const Latency& follower);

}  // namespace segue::router
