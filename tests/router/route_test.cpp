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
                        const Plan plan =
                            route(backfill, knobs(shadow, shift), intent, connection, shares);
                        const bool may =
                            backfill == Backfill::consistent &&
                            (intent == ReadIntent::read || intent == ReadIntent::comparable_read) &&
                            connection == FollowerConnection::ready;
                        if (plan.answers == Answerer::follower) {
                            EXPECT_TRUE(may && shift > 0);
                            EXPECT_FALSE(plan.shadow);
                        }
                        if (plan.shadow) {
                            EXPECT_TRUE(may && shadow > 0 && intent == ReadIntent::comparable_read);
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
                                shares);
        shifted += plan.answers == Answerer::follower ? 1 : 0;
        shadowed += plan.shadow ? 1 : 0;
    }
    EXPECT_NEAR(shifted, 300, 1);
    EXPECT_NEAR(shadowed, 280, 1);  // 40 percent of those that the authority answers.
}

}  // namespace
}  // namespace segue::router
