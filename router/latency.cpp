#include "router/latency.hpp"

#include <algorithm>
#include <bit>

namespace segue::router {

namespace {

using std::chrono::microseconds;

// A percentile that is not measurably above zero is taken for one microsecond.
double times(microseconds follower, microseconds authority) {
    return static_cast<double>(follower.count()) /
           static_cast<double>(std::max<std::int64_t>(authority.count(), 1));
}

bool exceeds(microseconds authority,
             microseconds follower,
             const SlowerLimits& limits,
             double factor) {
    return times(follower, authority) >= limits.ratio * factor &&
           static_cast<double>((follower - authority).count()) >=
               static_cast<double>(limits.difference.count()) * factor;
}

}  // namespace

std::size_t LatencyHistogram::bucket_of(std::uint64_t value) {
    if (value < 2 * steps) return static_cast<std::size_t>(value);
    const unsigned doublings = static_cast<unsigned>(std::bit_width(value)) - (steps_bits + 1);
    return doublings * steps + static_cast<std::size_t>(value >> doublings);
}

std::uint64_t LatencyHistogram::upper_end(std::size_t bucket) {
    if (bucket < 2 * steps) return bucket;
    const unsigned doublings = static_cast<unsigned>(bucket / steps) - 1;
    const std::uint64_t leading = bucket - doublings * steps;
    return ((leading + 1) << doublings) - 1;
}

void LatencyHistogram::add(microseconds latency) {
    if (count_ == count_max) return;
    const auto value = static_cast<std::uint64_t>(
        std::clamp<std::int64_t>(latency.count(), 0, latency_max.count()));
    ++counts_[bucket_of(value)];
    ++count_;
    sum_ += value;
}

Latency LatencyHistogram::of(const LatencyHistogram& one, const LatencyHistogram& other) {
    Latency latency;
    latency.count = std::uint64_t{one.count_} + other.count_;
    if (latency.count == 0) return latency;
    latency.mean = microseconds{static_cast<std::int64_t>((one.sum_ + other.sum_) / latency.count)};
    const auto rank = [&](std::uint64_t percent) {
        return (latency.count * percent + 99) / 100;  // Rounded up: at least one.
    };
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
        const std::uint64_t before = seen;
        seen += std::uint64_t{one.counts_[bucket]} + other.counts_[bucket];
        if (seen == before) continue;
        const microseconds end{static_cast<std::int64_t>(upper_end(bucket))};
        const auto take = [&](microseconds& percentile, std::uint64_t wanted) {
            if (before < wanted && seen >= wanted) percentile = end;
        };
        take(latency.p50, rank(50));
        take(latency.p95, rank(95));
        take(latency.p99, rank(99));
    }
    return latency;
}

bool is_slower(const Latency& authority, const Latency& follower, const SlowerLimits& limits) {
    const std::uint64_t samples = std::min(authority.count, follower.count);
    if (samples >= limits.samples_min && exceeds(authority.p50, follower.p50, limits, 1))
        return true;
    if (samples >= few_samples_min &&
        exceeds(authority.p50, follower.p50, limits, few_samples_factor))
        return true;
    return samples >= std::max(tail_samples_min, limits.samples_min) &&
           exceeds(authority.p95, follower.p95, limits, tail_factor);
}

double slowdown(const Latency& authority, const Latency& follower) {
    if (authority.count == 0 || follower.count == 0) return 0;
    return std::max(times(follower.p50, authority.p50), times(follower.p95, authority.p95));
}

}  // namespace segue::router
