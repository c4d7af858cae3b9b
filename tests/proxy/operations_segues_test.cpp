// Verbs and what is looked after between them where another Segue serves the same migration.

#include "proxy/operations.hpp"

#include <gtest/gtest.h>

#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using test::consistent_world;
using test::Desk;
using test::World;

// Frozen or cut off meanwhile.
TEST(Operations, GiveWayToAnotherSegueThatHasChangedTheAuthority) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    for (auto& record : world.records) {
        record->authority = Side::target;
        record->epoch += 1;
        record->since = Position{5000};
    }
    world.fence_closed = {true, false};
    EXPECT_TRUE(desk.operations.tick()) << "as long as nobody else has the lease nobody is asked";
    EXPECT_EQ(world.sessions_ended, 0);
    world.moved_by_another = true;
    EXPECT_FALSE(desk.operations.tick());
    EXPECT_EQ(world.sessions_ended, 1);
    EXPECT_FALSE(world.mover_started);
    EXPECT_FALSE(desk.program.traffic.serving);
    EXPECT_EQ(desk.program.traffic.epoch.load(), world.records[1]->epoch)
        << "a login that is under way would be adopted";
    EXPECT_FALSE(desk.board.read().authority_known);
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_TRUE(desk.program.traffic.serving);
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::target);
    EXPECT_EQ(world.mover_follows, Side::target);
    EXPECT_TRUE(world.fence_closed[0]);
    EXPECT_TRUE(desk.operations.tick()) << "it knows now";
    EXPECT_EQ(world.sessions_ended, 1);
}

TEST(Operations, DoNotGiveWayToAChangeThatIsNotDecidedAndFollowTheKnobsOfAnotherSegue) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.moved_by_another = true;
    world.records[0]->phase = router::Phase::deciding;
    const backfill::ControlRecord before = *world.records[1];
    world.records[1]->authority = Side::target;
    world.records[1]->epoch += 1;
    EXPECT_TRUE(desk.operations.tick()) << "it is decided, but not done";
    world.records[1] = before;
    world.records[0]->epoch += 1;
    world.records[0]->phase = router::Phase::steady;
    EXPECT_TRUE(desk.operations.tick()) << "it was given up";
    EXPECT_TRUE(desk.program.traffic.serving);
    world.records[0]->phase = router::Phase::steady;
    world.records[0]->knobs.shift_percent = 7;
    world.records[0]->knobs.paused = true;
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(world.sessions_ended, 0);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7);
    EXPECT_TRUE(world.mover_paused);
    EXPECT_TRUE(desk.program.traffic.serving);
}

// Frozen while it was fencing, say, and without the lease since then.
TEST(Operations, EndAChangeThatAnotherSegueHasLeftOpen) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.records[0]->phase = router::Phase::deciding;
    world.records[0]->epoch += 1;
    world.fence_closed[0] = true;
    world.superseded = true;
    EXPECT_FALSE(desk.operations.tick());
    world.superseded = false;
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(world.records[0]->phase, router::Phase::steady);
    EXPECT_EQ(world.records[1]->epoch, world.records[0]->epoch) << "aborted for good";
    EXPECT_FALSE(world.fence_closed[0]) << "its clients cannot write";
    EXPECT_EQ(world.sessions_ended, 0);
    EXPECT_TRUE(world.mover_started);
    EXPECT_TRUE(desk.operations.tick());
}

TEST(Operations, FindOutAnewWhoTheAuthorityIsWhenAChangeWasOvertaken) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.overtaken_at = "become";
    const VerbResult refused = desk.run("cutover");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("taken this migration over"), std::string::npos) << refused.text;
    EXPECT_FALSE(world.held);
    EXPECT_FALSE(desk.program.traffic.serving);
    EXPECT_FALSE(desk.operations.tick());
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::source);
    EXPECT_EQ(desk.program.traffic.epoch.load(), world.records[0]->epoch);
    EXPECT_TRUE(world.mover_started);
}

TEST(Operations, FinishIsForWhoHoldsTheLease) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.moved_by_another = true;
    EXPECT_EQ(desk.run("finish").exit_code, 1);
    world.moved_by_another = false;
    world.leases = {2, 2};  // Not noticed yet.
    EXPECT_EQ(desk.run("finish").exit_code, 1);
    EXPECT_EQ(world.records[0]->phase, router::Phase::steady);
    EXPECT_TRUE(world.mover_started);
    world.leases = {1, 1};
    EXPECT_EQ(desk.run("finish").exit_code, 0);
}

}  // namespace
}  // namespace segue::proxy
