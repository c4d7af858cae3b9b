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
    std::string given_up() const { return desk.board.read().sync_given_up; }

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

// The record is what a forced rollback goes by.
TEST_F(SchemaStop, HoldsWhatItCannotPutOnRecord) {
    ASSERT_TRUE(desk.operations.recover());
    world.schema_stop = "ALTER TABLE of app.t cannot be carried";
    world.down[0] = true;
    desk.operations.tick();
    EXPECT_TRUE(world.gate);
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

}  // namespace
}  // namespace segue::proxy
