#include "router/share.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace segue::router {
namespace {

TEST(Share, StaysWithinOneReadOfWhatWasAskedForAfterAnyNumber) {
    for (const double percent : {0.1, 1.0, 12.5, 33.3, 50.0, 66.7, 99.0, 99.9}) {
        Share share;
        double taken = 0;
        for (int n = 1; n <= 5000; ++n) {
            taken += share.take(percent) ? 1 : 0;
            ASSERT_LE(std::abs(taken - n * percent / 100), 1.0 + 1e-6) << percent << " after " << n;
        }
    }
}

TEST(Share, ZeroIsNeverAtOnceAndHundredAlways) {
    Share share;
    for (int i = 0; i < 99; ++i) share.take(99);
    EXPECT_FALSE(share.take(0));
    EXPECT_FALSE(share.take(0.5));  // Nothing is owed from before.
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(share.take(100));
}

TEST(Share, WhatWentElsewhereIsMadeUpFor) {
    Share share;
    int served = 0;
    for (int i = 0; i < 1000; ++i) {
        if (!share.take(50)) continue;
        if (i % 4 == 1) {
            share.give_back();
        } else {
            ++served;
        }
    }
    EXPECT_NEAR(served, 500, 20);
}

// While connections open and the catalog is loaded, nothing can be served: a whole run must not
// stay short for it.
TEST(Share, WhatIsLostAtTheStartIsMadeUpForWithoutABurst) {
    for (const double percent : {5.0, 50.0, 95.0}) {
        Share share;
        constexpr int reads = 40000, lost = 1000, window = 1000;
        int served = 0;
        for (int i = 0; i < lost; ++i) {
            if (share.take(percent)) share.give_back();
        }
        for (int i = 0; i < reads - lost; i += window) {
            int in_window = 0;
            for (int j = 0; j < window; ++j) in_window += share.take(percent) ? 1 : 0;
            const double at_once = i == 0 ? Share::owed_max / 100 : 0;
            EXPECT_LE(in_window, window * (percent + Share::repaid_max) / 100 + at_once + 1)
                << percent << " at " << i;
            served += in_window;
        }
        EXPECT_NEAR(100.0 * served / reads, percent, 0.5);
    }
}

TEST(Share, TheDebtOfALongOutageIsBoundedAndForgottenWithThePercentage) {
    Share share;
    share.take(1);
    for (int i = 0; i < 100000; ++i) share.give_back();
    int taken = 0;
    for (int i = 0; i < 1'000'000; ++i) taken += share.take(1) ? 1 : 0;
    EXPECT_NEAR(taken, 1'000'000 / 100 + (Share::debt_max + Share::owed_max) / 100, 2);

    for (int i = 0; i < 100000; ++i) share.give_back();
    for (int i = 0; i < 11; ++i) share.take(50);  // What is due at once.
    taken = 0;
    for (int i = 0; i < 1000; ++i) taken += share.take(50) ? 1 : 0;
    EXPECT_NEAR(taken, 500, 11);
}

TEST(Share, SessionsJoinSoThatTheShareHolds) {
    for (const double percent : {0.0, 10.0, 50.0, 75.0, 100.0}) {
        std::uint64_t chosen = 0;
        for (std::uint64_t total = 0; total < 200; ++total) {
            chosen += take_session(percent, chosen, total) ? 1 : 0;
            ASSERT_NEAR(
                static_cast<double>(chosen), percent / 100 * static_cast<double>(total + 1), 0.51);
        }
    }
}

// Sessions come and go, and the operator changes his mind: by seed.
TEST(SessionShare, StaysWithinTwoPointsAndKeepsSessionsWhereTheyAre) {
    for (const std::uint32_t seed : {1u, 2u, 3u}) {
        SCOPED_TRACE(seed);
        std::mt19937 dice{seed};
        SessionShare share;
        std::vector<bool> sessions;
        const auto chosen = [&] {
            return static_cast<double>(std::count(sessions.begin(), sessions.end(), true));
        };
        const auto expect_share = [&](double percent) {
            EXPECT_NEAR(chosen() / static_cast<double>(sessions.size()) * 100, percent, 0.1);
            EXPECT_EQ(chosen(), static_cast<double>(share.chosen()));
            EXPECT_EQ(sessions.size(), share.total());
        };
        for (int i = 0; i < 2000; ++i) sessions.push_back(share.join(5));
        expect_share(5);
        const auto settle = [&](double percent) {
            const std::vector<bool> before = sessions;
            int moved_out = 0, moved_in = 0;
            for (std::size_t i = 0; i < sessions.size(); ++i) {
                sessions[i] = share.settle(sessions[i], percent);
                moved_out += before[i] && !sessions[i] ? 1 : 0;
                moved_in += !before[i] && sessions[i] ? 1 : 0;
            }
            expect_share(percent);
            EXPECT_TRUE(moved_out == 0 || moved_in == 0);
        };
        settle(25);
        settle(25);
        for (int i = 0; i < 3000; ++i) {
            const std::size_t one =
                std::uniform_int_distribution<std::size_t>{0, sessions.size() - 1}(dice);
            share.leave(sessions[one]);
            sessions[one] = sessions.back();
            sessions.pop_back();
            sessions.push_back(share.join(25));
        }
        EXPECT_NEAR(chosen() / 20, 25, 2);
        settle(100);
        settle(12.5);
    }
}

}  // namespace
}  // namespace segue::router
