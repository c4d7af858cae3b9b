#include "backfill/log_end_trail.hpp"

#include <gtest/gtest.h>

namespace segue::backfill {
namespace {

using namespace std::chrono_literals;

class LogEndTrailTest : public ::testing::Test {
protected:
    double age(std::uint64_t applied, std::chrono::seconds now) const {
        return trail.age(Position{applied}, start + now).count();
    }
    void note(std::uint64_t end, std::chrono::seconds at, std::uint64_t applied = 0) {
        trail.note(Position{end}, Position{applied}, start + at);
    }

    LogEndTrail trail;
    LogEndTrail::Time start{};
};

TEST_F(LogEndTrailTest, TellsSinceWhenTheLogIsBeyondWhatIsApplied) {
    EXPECT_EQ(age(0, 9s), 0);
    note(100, 1s);
    note(200, 2s);
    note(300, 3s);
    EXPECT_EQ(age(99, 9s), 8);
    EXPECT_EQ(age(100, 9s), 7);
    EXPECT_EQ(age(250, 9s), 6);
    EXPECT_EQ(age(300, 9s), 0);
    EXPECT_EQ(age(400, 9s), 0);
}

TEST_F(LogEndTrailTest, AnIdleLogKeepsTheTimeOfItsLastWrite) {
    note(100, 1s);
    note(100, 5s);
    EXPECT_EQ(age(50, 9s), 8);
}

TEST_F(LogEndTrailTest, ALogThatLostItsEndBeginsAnew) {
    note(100, 1s);
    note(60, 2s);
    EXPECT_EQ(age(10, 9s), 7);
    EXPECT_EQ(age(60, 9s), 0);
}

TEST_F(LogEndTrailTest, ALongTrailIsCoarseAndNeverTellsTooMuch) {
    constexpr int count = 100 * static_cast<int>(LogEndTrail::samples_max);
    constexpr int distance_max = 300;  // Of 25,600 seconds in at least 128 samples, and some.
    for (int i = 1; i <= count; ++i)
        note(static_cast<std::uint64_t>(i) * 10, std::chrono::seconds{i});
    const std::chrono::seconds now{count + 1};
    for (int i = 1; i < count - distance_max; i += 97) {
        const double truth = count - i;  // The log went beyond it one second after it was its end.
        const double told = age(static_cast<std::uint64_t>(i) * 10, now);
        EXPECT_LE(told, truth) << i;
        EXPECT_GE(told, truth - distance_max) << i;
    }
}

TEST_F(LogEndTrailTest, IsFineAgainOnceAllOfItIsApplied) {
    constexpr int count = 100 * static_cast<int>(LogEndTrail::samples_max);
    for (int i = 1; i <= count; ++i)
        note(static_cast<std::uint64_t>(i) * 10, std::chrono::seconds{i});
    const std::uint64_t end = count * 10;
    for (int i = 1; i <= 3; ++i)
        note(end + static_cast<std::uint64_t>(i), std::chrono::seconds{count + i}, end);
    EXPECT_EQ(age(end + 1, std::chrono::seconds{count + 5}), 3);
}

}  // namespace
}  // namespace segue::backfill
