#include "router/latency.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace segue::router {
namespace {

using std::chrono::microseconds;
using namespace std::chrono_literals;

Latency all(const std::vector<std::int64_t>& values) {
    LatencyHistogram histogram;
    for (const std::int64_t value : values) histogram.add(microseconds{value});
    return LatencyHistogram::of(histogram);
}
Latency same(std::uint64_t count, microseconds latency) {
    return {count, latency, latency, latency, latency};
}

TEST(Latency, IsExactForTheShortestAndAtMostAnEighthAboveForTheOthers) {
    EXPECT_EQ(all({}), Latency{});
    EXPECT_EQ(all({7}), (Latency{1, 7us, 7us, 7us, 7us}));
    for (std::int64_t value = 0; value <= latency_max.count(); value += 1 + value / 7) {
        const Latency one = all({value});
        EXPECT_EQ(one.mean.count(), value);
        EXPECT_GE(one.p50.count(), value);
        EXPECT_LE(one.p50.count(), value + value / 8) << value;
    }
    EXPECT_EQ(all({-5}).p99, 0us);
    EXPECT_EQ(all({1'000'000'000'000}).p99, latency_max);
}

TEST(Latency, PercentilesAreThoseOfTheSortedValues) {
    std::mt19937 dice{20};
    std::exponential_distribution<> spread{1.0 / 4000};
    for (const std::size_t count : {1u, 2u, 19u, 20u, 100u, 1000u}) {
        std::vector<std::int64_t> values;
        for (std::size_t i = 0; i < count; ++i)
            values.push_back(20 + static_cast<std::int64_t>(spread(dice)));
        const Latency latency = all(values);
        std::sort(values.begin(), values.end());
        const auto expect = [&](microseconds found, std::size_t percent) {
            const std::int64_t exact = values[(count * percent + 99) / 100 - 1];
            EXPECT_GE(found.count(), exact) << count << " " << percent;
            EXPECT_LE(found.count(), exact + exact / 8) << count << " " << percent;
        };
        expect(latency.p50, 50);
        expect(latency.p95, 95);
        expect(latency.p99, 99);
    }
}

TEST(Latency, TwoHistogramsCountAsOneAndAFullOneCountsNoMore) {
    LatencyHistogram fast, slow;
    for (int i = 0; i < 60; ++i) fast.add(10us);
    for (int i = 0; i < 40; ++i) slow.add(15us);
    EXPECT_EQ(LatencyHistogram::of(fast, slow), (Latency{100, 12us, 10us, 15us, 15us}));
    for (std::uint32_t i = 0; i < LatencyHistogram::count_max; ++i) fast.add(10us);
    fast.add(1s);
    EXPECT_EQ(fast.count(), LatencyHistogram::count_max);
    EXPECT_EQ(LatencyHistogram::of(fast).p99, 10us);
}

TEST(Latency, SlowerNeedsSamplesARatioAndADifference) {
    const SlowerLimits limits{20, 1.5, 2000us};
    EXPECT_TRUE(is_slower(same(20, 10ms), same(20, 15ms), limits));
    EXPECT_FALSE(is_slower(same(19, 10ms), same(20, 15ms), limits)) << "too few";
    EXPECT_FALSE(is_slower(same(20, 10ms), same(20, 14ms), limits)) << "not by so much";
    EXPECT_FALSE(is_slower(same(20, 100us), same(20, 1900us), limits)) << "noise";
    EXPECT_FALSE(is_slower(same(20, 15ms), same(20, 10ms), limits));
    EXPECT_FALSE(is_slower({}, {}, limits));
    EXPECT_TRUE(is_slower(same(20, 0us), same(20, 2ms), limits));
}

TEST(Latency, AStatementThatIsRareOrSlowForSomeValuesOnlyIsFoundToo) {
    const SlowerLimits limits{20, 1.5, 2000us};
    EXPECT_TRUE(is_slower(same(5, 1ms), same(5, 40ms), limits));
    EXPECT_FALSE(is_slower(same(5, 1ms), same(5, 14ms), limits));
    EXPECT_FALSE(is_slower(same(4, 1ms), same(4, 40ms), limits));
    const Latency even = same(100, 1ms), tail{100, 2ms, 1ms, 40ms, 50ms};
    EXPECT_TRUE(is_slower(even, tail, limits));
    const Latency noisy{100, 2ms, 1ms, 9ms, 50ms};
    EXPECT_FALSE(is_slower(even, noisy, limits));
    const Latency few{99, 2ms, 1ms, 40ms, 50ms};
    EXPECT_FALSE(is_slower(even, few, limits));
}

TEST(Latency, SlowdownIsThatOfThePercentileThatIsFurtherApart) {
    EXPECT_EQ(slowdown(same(1, 2ms), {1, 3ms, 3ms, 10ms, 10ms}), 5.0);
    EXPECT_EQ(slowdown(same(1, 2ms), {1, 8ms, 8ms, 4ms, 4ms}), 4.0);
    EXPECT_EQ(slowdown({}, same(1, 2ms)), 0.0);
    EXPECT_EQ(slowdown(same(1, 0us), same(1, 3us)), 3.0);
}

}  // namespace
}  // namespace segue::router
