#include "backfill/postgres/verify_pace.hpp"

#include <gtest/gtest.h>

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;

class Pace : public ::testing::Test {
protected:
    std::atomic<std::uint64_t> rate{1000};
    std::atomic<bool> stopping{false};
    VerifyPace pace{rate, stopping};
    VerifyPace::Clock::time_point now = VerifyPace::Clock::now();
};

TEST_F(Pace, LetsNoMoreRowsThroughThanTheLimitAllows) {
    VerifyPace::Clock::duration waited{0};
    for (int i = 0; i < 100; ++i) {
        if (const auto wait = pace.owed(500, now)) {
            now += *wait;
            waited += *wait;
        }
    }
    // 50 seconds' worth, of which one second may come at once.
    EXPECT_GE(waited, 48900ms);
    EXPECT_LE(waited, 50s);
}

TEST_F(Pace, SavesUpNoMoreThanASecond) {
    EXPECT_FALSE(pace.owed(1000, now));
    now += 1h;
    EXPECT_FALSE(pace.owed(1000, now));
    EXPECT_EQ(pace.owed(1000, now), std::optional<VerifyPace::Clock::duration>{1s});
}

TEST_F(Pace, LimitsNothingWithoutALimitAndTakesANewOneAtOnce) {
    rate = 0;
    EXPECT_FALSE(pace.owed(1'000'000, now));
    EXPECT_FALSE(pace.range_rows_max());
    rate = 10;
    EXPECT_EQ(pace.range_rows_max(), std::optional<std::uint64_t>{10});
    EXPECT_EQ(pace.owed(100, now), std::optional<VerifyPace::Clock::duration>{10s});
    stopping = true;
    const auto begun_at = VerifyPace::Clock::now();
    pace.wait(1h);
    EXPECT_LT(VerifyPace::Clock::now() - begun_at, 10s);
}

}  // namespace
}  // namespace segue::backfill::postgres
