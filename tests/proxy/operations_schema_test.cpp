// What becomes of `mirror sync` while a change of the schema cannot be made on the follower.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/status.hpp"
#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using router::Mirror;
using test::Desk;
using test::World;
using ::testing::Contains;
using ::testing::HasSubstr;

class SchemaStop : public testing::Test {
protected:
    SchemaStop() {
        for (auto& record : world.records)
            if (record) record->knobs.mirror = Mirror::sync;
        desk.operations.schema_stop_patience = std::chrono::milliseconds{0};
    }
    Mirror on_record() const { return world.records[0]->knobs.mirror; }
    std::string given_up() const { return desk.board.read().sync_given_up(); }

    World world = test::consistent_world();
    Desk desk{world};
};

TEST_F(SchemaStop, GivesSyncUpOnRecordAndTakesItUpAgain) {
    ASSERT_TRUE(desk.operations.recover());
    ASSERT_TRUE(world.gate);
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    desk.operations.tick();
    EXPECT_FALSE(world.gate);
    EXPECT_EQ(on_record(), Mirror::async);
    EXPECT_EQ(given_up(), world.schema_stop);
    EXPECT_THAT(desk.program.journal.lines, Contains(HasSubstr("mirror! async until")));
    desk.operations.tick();
    EXPECT_FALSE(world.gate);

    world.schema_stop.clear();
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(on_record(), Mirror::sync);
    EXPECT_EQ(given_up(), "");
}

TEST_F(SchemaStop, IsTakenUpAgainByTheNextRun) {
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    desk.operations.tick();
    ASSERT_FALSE(world.gate);

    Desk next{world};
    ASSERT_TRUE(next.operations.recover());
    EXPECT_EQ(next.board.read().sync_given_up(), world.schema_stop);
    next.operations.tick();
    EXPECT_FALSE(world.gate);
    world.schema_stop.clear();
    next.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(on_record(), Mirror::sync);
    EXPECT_EQ(next.board.read().sync_given_up(), "");
}

// It stands in the stream as well, whether it waits for a lock or is long.
TEST_F(SchemaStop, IsAChangeThatTakesLong) {
    desk.operations.schema_stop_patience = std::chrono::hours{1};
    ASSERT_TRUE(desk.operations.recover());
    world.schema_work = "CREATE INDEX of app.t is being carried to the target";
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
    world.schema_work_for = std::chrono::hours{2};
    desk.operations.tick();
    EXPECT_FALSE(world.gate);
    EXPECT_EQ(on_record(), Mirror::async);
    EXPECT_EQ(given_up(), world.schema_work);
    world.schema_work.clear();
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(on_record(), Mirror::sync);
}

// Letters of more than one byte, wherever the text is cut.
TEST_F(SchemaStop, KeepsNoMoreOfTheReasonThanTheRecordHolds) {
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "x";
    for (int i = 0; i < 9000; ++i) world.schema_stop += "\xc3\xa4";
    desk.operations.tick();
    EXPECT_EQ(given_up().size(), 3999u);
    EXPECT_TRUE(given_up().ends_with("\xc3\xa4"));
}

TEST_F(SchemaStop, GivesSyncUpAlsoWhereTheReasonCannotBeKept) {
    ASSERT_TRUE(desk.operations.recover());
    world.keeps_ascii_only = true;
    world.schema_stop = "ALTER TABLE of app.\xc5\x82 cannot be carried";
    desk.operations.tick();
    EXPECT_FALSE(world.gate);
    EXPECT_EQ(on_record(), Mirror::async);
    EXPECT_THAT(given_up(), HasSubstr("a change of the schema"));
    EXPECT_THAT(desk.program.journal.lines, Contains(HasSubstr(world.schema_stop)));
    world.schema_stop.clear();
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(on_record(), Mirror::sync);
}

// The record is what a forced rollback goes by.
TEST_F(SchemaStop, HoldsWhatItCannotPutOnRecord) {
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    world.down[0] = true;
    for (int i = 0; i < 3; ++i) desk.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_THAT(desk.program.journal.lines,
                Contains(HasSubstr("sync cannot be given up")).Times(1));
    world.down[0] = false;
    desk.operations.tick();
    EXPECT_FALSE(world.gate);
}

TEST_F(SchemaStop, IsWaitedForAWhile) {
    desk.operations.schema_stop_patience = std::chrono::hours{1};
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "the follower waits for a lock";
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
}

TEST_F(SchemaStop, LeavesToBoundedWhatIsIts) {
    desk.config.mirror_policy = MirrorPolicy::bounded;
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(on_record(), Mirror::sync);
}

TEST_F(SchemaStop, TakesUpNothingThatTheOperatorHasPutDown) {
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    desk.operations.tick();
    EXPECT_EQ(desk.run("mirror", {{"mode", "async"}}).exit_code, 0);
    world.schema_stop.clear();
    desk.operations.tick();
    EXPECT_FALSE(world.gate);
    EXPECT_EQ(on_record(), Mirror::async);
}

// To another Segue, in this very moment.
TEST_F(SchemaStop, IsNoReasonAgainstWhatTheOperatorHasPutOnRecord) {
    const auto say_async = [&] {
        router::Knobs& knobs = world.records[0]->knobs;
        knobs.mirror = Mirror::async;
        knobs.sync_given_up.clear();
        world.records[0]->attempt += 1;
        world.glances_in_vain = 1000;
        desk.operations.tick();
        EXPECT_EQ(on_record(), Mirror::async);
        EXPECT_EQ(world.records[0]->knobs.sync_given_up, "");
        world.glances_in_vain = 0;
        desk.operations.tick();
        EXPECT_FALSE(world.gate);
    };
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    say_async();
    ASSERT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    desk.operations.tick();
    ASSERT_NE(given_up(), "");
    world.schema_stop.clear();
    say_async();
}

}  // namespace
}  // namespace segue::proxy
