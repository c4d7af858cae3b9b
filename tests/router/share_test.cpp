#include "router/share.hpp"

#include <gtest/gtest.h>

#include <cmath>

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

TEST(Share, WhatWentElsewhereIsMadeUpForButOnlyALittle) {
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
    for (int i = 0; i < 100000; ++i) share.give_back();
    int burst = 0;
    for (int i = 0; i < 1000; ++i) burst += share.take(1) ? 1 : 0;
    EXPECT_LE(burst, 20);  // 10 of its own, 10 owed.
}

TEST(Share, SessionsJoinSoThatTheShareHolds) {
    for (const double percent : {0.0, 10.0, 50.0, 75.0, 100.0}) {
        std::uint64_t chosen = 0;
        for (std::uint64_t total = 0; total < 200; ++total) {
            chosen += take_session(percent, chosen, total) ? 1 : 0;
            ASSERT_NEAR(static_cast<double>(chosen), percent / 100 * static_cast<double>(total + 1), 0.51);
        }
    }
}

}  // namespace
}  // namespace segue::router
