#include "router/route.hpp"

#include <gtest/gtest.h>

namespace segue::router {
namespace {

Knobs knobs(double shadow, double shift) {
    Knobs result;
    result.shadow_percent = shadow;
    result.shift_percent = shift;
    return result;
}

TEST(Route, NothingButAKnownReadOnAConsistentCopyLeavesTheAuthority) {
    for (const Backfill backfill : {Backfill::none, Backfill::copying, Backfill::consistent}) {
        for (const ReadIntent intent : {ReadIntent::other,
                                        ReadIntent::authority_only,
                                        ReadIntent::read,
                                        ReadIntent::comparable_read}) {
            for (const FollowerConnection connection : {FollowerConnection::none,
                                                        FollowerConnection::wanted,
                                                        FollowerConnection::ready}) {
                for (const double shadow : {0.0, 100.0}) {
                    for (const double shift : {0.0, 100.0}) {
                        Shares shares;
                        const ShiftClaim claim = shift > 0 ? ShiftClaim::share : ShiftClaim::none;
                        const Plan plan = route(
                            backfill, knobs(shadow, shift), intent, connection, claim, shares);
                        const bool may =
                            backfill == Backfill::consistent &&
                            (intent == ReadIntent::read || intent == ReadIntent::comparable_read) &&
                            connection == FollowerConnection::ready;
                        if (plan.answers == Answerer::follower) {
                            EXPECT_TRUE(may && shift > 0);
                            EXPECT_FALSE(plan.shadow);
                        }
                        if (plan.shadow) {
                            EXPECT_TRUE(may && shadow > 0);
                        }
                        if (may && shift > 0) {
                            EXPECT_EQ(plan.answers, Answerer::follower);
                        }
                        if (plan.want_connection) {
                            EXPECT_EQ(connection, FollowerConnection::wanted);
                        }
                    }
                }
            }
        }
    }
}

TEST(Route, SharesHoldWhileBothKnobsAreSet) {
    Shares shares;
    int shifted = 0, shadowed = 0;
    for (int i = 0; i < 1000; ++i) {
        const Plan plan = route(Backfill::consistent,
                                knobs(40, 30),
                                ReadIntent::comparable_read,
                                FollowerConnection::ready,
                                ShiftClaim::share,
                                shares);
        shifted += plan.answers == Answerer::follower ? 1 : 0;
        shadowed += plan.shadow ? 1 : 0;
    }
    EXPECT_NEAR(shifted, 300, 1);
    EXPECT_NEAR(shadowed, 280, 1);  // 40 percent of those that the authority answers.
}

TEST(Route, WhatTheShiftIsNotAboutTakesNothingOfItsShare) {
    Shares shares;
    const auto plan = [&](ShiftClaim claim, FollowerConnection connection) {
        return route(
            Backfill::consistent, knobs(0, 50), ReadIntent::read, connection, claim, shares);
    };
    int shifted = 0;
    for (int i = 0; i < 2000; ++i) {
        EXPECT_EQ(plan(ShiftClaim::none, FollowerConnection::ready), Plan{});
        EXPECT_EQ(plan(ShiftClaim::uncertain, FollowerConnection::ready), Plan{});
        EXPECT_EQ(plan(ShiftClaim::whole, FollowerConnection::ready).answers, Answerer::follower);
        shifted += plan(ShiftClaim::share, FollowerConnection::ready).answers == Answerer::follower
                       ? 1
                       : 0;
    }
    EXPECT_EQ(shifted, 1000);
    EXPECT_FALSE(plan(ShiftClaim::none, FollowerConnection::wanted).want_connection);
    EXPECT_TRUE(plan(ShiftClaim::uncertain, FollowerConnection::wanted).want_connection);
    EXPECT_TRUE(plan(ShiftClaim::whole, FollowerConnection::wanted).want_connection);
}

}  // namespace
}  // namespace segue::router
