// Verbs and what is looked after between them where another Segue serves the same migration.

#include "proxy/operations.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using backfill::ControlRecord;
using router::Mirror;
using test::consistent_world;
using test::Desk;
using test::World;

// A verb that another Segue was given.
void put_on_record(World& world, const std::function<void(router::Knobs&)>& change) {
    ControlRecord& record = *world.records[index(world.records[0]->authority)];
    change(record.knobs);
    record.attempt += 1;
}

// What it is told holds in this one, which moves the migration.
class OtherSegue : public testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(desk.operations.recover()); }
    // It has not looked yet when its own verb comes to the record.
    void look_away() { world.glances_in_vain = 1000; }
    void look_again() { world.glances_in_vain = 0; }
    std::uint64_t changes() { return desk.board.read().course_changes; }
    const router::Knobs& knobs() { return world.records[0]->knobs; }

    World world = consistent_world();
    Desk desk{world};
};

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

// Its row tells only what was so when the authority was changed.
TEST(Operations, DoNotFollowTheKnobsOfTheFollowersRow) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.moved_by_another = true;
    world.down[0] = true;
    world.records[1]->knobs.shift_percent = 7;
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 0);
}

TEST_F(OtherSegue, IsFollowedAndCounted) {
    const auto after = [&](double shift, std::uint32_t writings) {
        world.records[0]->knobs.shift_percent = shift;
        world.records[0]->attempt += writings;
        EXPECT_TRUE(desk.operations.tick());
        return changes();
    };
    EXPECT_EQ(after(7, 1), 1u);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7);
    EXPECT_EQ(after(0, 1), 2u);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 0);
    EXPECT_EQ(after(0, 0), 2u);
    EXPECT_EQ(after(0, 1), 2u) << "such as a change of the mirror";
    EXPECT_EQ(after(0, 2), 3u) << "what one has changed the other has changed back";
    put_on_record(world, [](router::Knobs& knobs) { knobs.paused = true; });
    EXPECT_EQ(after(0, 0), 4u);
    EXPECT_TRUE(world.mover_paused);
    world.down[0] = true;
    EXPECT_EQ(after(3, 1), 4u) << "it is not known yet";
    world.down[0] = false;
    EXPECT_EQ(after(3, 0), 5u);
    EXPECT_TRUE(desk.program.traffic.serving);
    EXPECT_EQ(world.sessions_ended, 0);
}

TEST_F(OtherSegue, IsFollowedAfterAnEpochThatWasGivenUp) {
    world.records[0]->epoch += 1;
    world.records[0]->attempt = 0;
    world.records[0]->knobs.shift_percent = 7;
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7);
    EXPECT_EQ(changes(), 1u);
    world.records[0]->knobs.shift_percent = 9;
    world.records[0]->epoch -= 1;
    world.records[0]->attempt += 100;
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7) << "what was read before is older";
}

TEST_F(OtherSegue, EndsWhatReadsHaveBroughtUp) {
    ASSERT_EQ(desk.run("shadow", {{"percent", 10}}).exit_code, 0);
    put_on_record(world, [](router::Knobs& knobs) { knobs.shadow_percent = 5; });
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(world.suspected_none, 0);
    put_on_record(world, [](router::Knobs& knobs) { knobs.shadow_percent = 0; });
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(world.suspected_none, 1);
}

// Each is refused by what stands there, however little the process knows of it.
TEST_F(OtherSegue, WithCommitsThatWouldWaitForEverIsNotMet) {
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.paused = true; });
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    EXPECT_EQ(knobs().mirror, Mirror::async);
    EXPECT_FALSE(world.gate);
    for (const char* verb : {"shift", "shadow"})
        EXPECT_EQ(desk.run(verb, {{"percent", 10}}).exit_code, 1) << verb;
    put_on_record(world, [](router::Knobs& knobs) {
        knobs.paused = false;
        knobs.mirror = Mirror::sync;
    });
    EXPECT_EQ(desk.run("pause").exit_code, 1);
    put_on_record(world, [](router::Knobs& knobs) {
        knobs.mirror = Mirror::async;
        knobs.shift_percent = 5;
    });
    EXPECT_EQ(desk.run("pause").exit_code, 1);
    EXPECT_FALSE(knobs().paused);
    EXPECT_FALSE(world.mover_paused);
    look_again();
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 5) << "refusals have swallowed nothing";
}

TEST_F(OtherSegue, ThatHasOpenedItsGateIsNotToldThatItIsClosed) {
    ASSERT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.mirror = Mirror::async; });
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    EXPECT_EQ(knobs().mirror, Mirror::async);
    look_again();
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_FALSE(world.gate);
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
}

TEST_F(OtherSegue, SaysWhatAPercentageIsOf) {
    look_away();
    put_on_record(world, [](router::Knobs& knobs) {
        knobs.shift_percent = 5;
        knobs.shift_scope.users = {"app"};
    });
    EXPECT_EQ(desk.run("shift", {{"percent", 10}}).exit_code, 0);
    EXPECT_EQ(knobs().shift_scope.users, std::vector<std::string>{"app"});
}

// A plan takes what is counted with its own verb for its own.
TEST_F(OtherSegue, IsCountedApartFromAVerb) {
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.paused = true; });
    EXPECT_EQ(desk.run("shift", {{"percent", 0}}).course_changes, 0u);
    EXPECT_EQ(changes(), 1u);
    EXPECT_TRUE(world.mover_paused);
    put_on_record(world, [](router::Knobs& knobs) {
        knobs.paused = false;
        knobs.shadow_percent = 10;
    });
    EXPECT_EQ(desk.run("shift", {{"percent", 5}}).course_changes, 1u);
    EXPECT_EQ(changes(), 3u);
    EXPECT_EQ(desk.program.traffic.shadow_percent.load(), 10);
    EXPECT_FALSE(world.mover_paused);
    put_on_record(world, [](router::Knobs& knobs) { knobs.shift_percent = 0; });
    EXPECT_EQ(desk.run("shift", {{"percent", 5}}).course_changes, 1u) << "it has changed it back";
    EXPECT_EQ(changes(), 5u);
}

// The gate is closed when sync is put on record (see FakeStore), and stays so.
TEST_F(OtherSegue, IsNotFollowedInTheMiddleOfAVerb) {
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.shift_percent = 7; });
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7);
    EXPECT_EQ(changes(), 1u);
}

TEST_F(OtherSegue, IsFollowedAfterAChangeOfTheAuthority) {
    ASSERT_EQ(desk.run("shift", {{"percent", 7}}).exit_code, 0);
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.shift_percent = 0; });
    world.troubled = "prestage";
    const VerbResult refused = desk.run("cutover");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_EQ(refused.course_changes, 0u);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 0);
    EXPECT_EQ(changes(), 2u);
    look_away();
    put_on_record(world, [](router::Knobs& knobs) { knobs.mirror = Mirror::sync; });
    EXPECT_EQ(desk.run("cutover").course_changes, 1u);
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(changes(), 3u);
    look_again();
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(changes(), 3u);
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::target);
}

// Which call of a program that only does that is the last one of the name.
int last_call(const std::string& name, const std::string& verb, const nlohmann::json& arguments) {
    World world = consistent_world();
    Desk desk{world};
    EXPECT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run(verb, arguments).exit_code, 0);
    const auto found = std::find(world.names.rbegin(), world.names.rend(), name);
    return static_cast<int>(world.names.rend() - found) - 1;
}

// What is found then is its own.
TEST_F(OtherSegue, IsNobodyWhereTheEndOfAChangeCouldNotBeRead) {
    world.records[0]->attempt += 20;  // The new side has a count of its own.
    world.trouble_at = last_call("read", "cutover", nlohmann::json::object());
    world.trouble = test::Trouble::error;
    EXPECT_EQ(desk.run("cutover").exit_code, 0);
    ASSERT_EQ(desk.board.read().record->attempt, 0u) << "it was read";
    const std::uint64_t before = changes();
    look_away();
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(world.records[1]->authority, Side::target) << "taken for the follower";
    look_again();
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(changes(), before);
    put_on_record(world, [](router::Knobs& knobs) { knobs.shift_percent = 5; });
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 5);
    EXPECT_EQ(changes(), before + 1);
}

// A sync that is in doubt keeps the gate closed, until something else was written in its place.
TEST_F(OtherSegue, OrALostAnswerLeavesNoGateClosedInAPause) {
    world.trouble_at = last_call("compare_and_set", "mirror", {{"mode", "sync"}});
    world.trouble = test::Trouble::lost_unwritten;
    world.second_at = world.trouble_at + 1;
    world.second = test::Trouble::error;
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    ASSERT_TRUE(world.gate);
    EXPECT_EQ(desk.run("pause").exit_code, 0);
    EXPECT_FALSE(world.gate);
}

TEST_F(OtherSegue, WithTheLeaseIsReadAndNotGlancedAt) {
    world.moved_by_another = true;
    world.names.clear();
    put_on_record(world, [](router::Knobs& knobs) { knobs.shift_percent = 7; });
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 7);
    EXPECT_EQ(std::count(world.names.begin(), world.names.end(), "glance"), 0);
    EXPECT_EQ(changes(), 0u) << "its plan is the one that minds";
    world.records[0]->attempt += 2;
    EXPECT_TRUE(desk.operations.tick());
    world.moved_by_another = false;
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(changes(), 0u) << "that was before";
}

TEST_F(OtherSegue, WithTheLeaseIsWhereSyncBegins) {
    world.moved_by_another = true;
    const VerbResult refused = desk.run("mirror", {{"mode", "sync"}});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("there"), std::string::npos) << refused.text;
    EXPECT_EQ(desk.run("mirror", {{"mode", "async"}}).exit_code, 0);
}

TEST(Operations, LearnThatAnotherSegueHasStartedTheMigration) {
    World world = consistent_world();
    const auto records = world.records;
    world.records = {};
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const auto ticks = [&] {
        for (int i = 0; i < 10; ++i) {
            if (!desk.operations.tick()) return false;
        }
        return true;
    };
    EXPECT_TRUE(ticks()) << "nothing is moved";
    world.records = records;
    world.records[0]->migration = "other";
    EXPECT_TRUE(ticks()) << "the migration of somebody else";
    world.records = records;
    EXPECT_FALSE(ticks());
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_TRUE(desk.program.traffic.serving);
    EXPECT_TRUE(world.mover_started);
    EXPECT_EQ(world.sessions_ended, 0) << "they are where they belong";
    EXPECT_TRUE(ticks()) << "it knows now";
}

TEST(Operations, EndSessionsOnTheSourceWhereAnotherSegueHasStartedAndCutOverMeanwhile) {
    World world = consistent_world();
    const auto records = world.records;
    world.records = {};
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    ASSERT_TRUE(desk.operations.tick());
    world.records = records;
    for (auto& record : world.records) {
        record->authority = Side::target;
        record->epoch += 1;
    }
    world.fence_closed = {true, false};
    bool same = true;
    for (int i = 0; i < 10 && same; ++i) same = desk.operations.tick();
    EXPECT_FALSE(same);
    EXPECT_EQ(world.sessions_ended, 1);
    EXPECT_FALSE(desk.program.traffic.serving);
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::target);
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
