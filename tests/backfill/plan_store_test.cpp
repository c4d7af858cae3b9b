// The plan in the databases: read as written, and never over what somebody else has written.

#include "backfill/plan_store.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "backfill/postgres/segue_schema.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/process.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::Sql;

class PlanStoreTest : public ::testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<test::Databases>();
        for (const Side side : {Side::source, Side::target})
            databases->run(side, std::string{postgres::segue_schema_ddl} + control_row(side));
        ours = store();
    }
    static std::string control_row(Side side) {
        return "INSERT INTO segue.control VALUES (true, 'segue', 'id', '" +
               std::string{name(side)} +
               "', 0, 'source', 'steady', 0, '0/0', 'consistent', false, 'async', 0, 0, '', 1)";
    }
    std::unique_ptr<PlanStore> store() const {
        return make_postgres_plan_store(databases->url(Side::source), databases->url(Side::target));
    }
    static StoredPlan plan(std::uint64_t revision, const std::string& writer) {
        return {revision, "a 'plan'\n", "{\"step\":1}", writer};
    }
    static std::optional<StoredPlan> read(PlanStore& from, Side side) {
        const auto stored = from.read(side);
        EXPECT_TRUE(stored) << stored.error().detail;
        return stored ? *stored : std::nullopt;
    }

    std::unique_ptr<test::Databases> databases;
    std::unique_ptr<PlanStore> ours;
};

TEST_F(PlanStoreTest, ReadsOnEachSideWhatWasWrittenThere) {
    EXPECT_EQ(read(*ours, Side::source), std::nullopt);
    EXPECT_TRUE(ours->write(Side::source, plan(4, "us")));
    EXPECT_TRUE(ours->write(Side::source, plan(5, "us")));
    EXPECT_EQ(read(*ours, Side::target), std::nullopt);
    EXPECT_EQ(read(*store(), Side::source), plan(5, "us"));
    // What steers a migration is nobody else's to read or write.
    databases->run(Side::target, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC");
    EXPECT_TRUE(ours->write(Side::target, plan(6, "us")));
    EXPECT_EQ(databases->value(Side::target,
                               "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE "
                               "c.oid = 'segue.autopilot'::regclass AND a.grantee <> c.relowner"),
              "0");
}

TEST_F(PlanStoreTest, NeverReplacesWhatSomebodyElseHasWrittenSinceItWasRead) {
    const auto theirs = store();
    ASSERT_EQ(read(*theirs, Side::source), std::nullopt);
    ASSERT_TRUE(ours->write(Side::source, plan(1, "us")));
    const auto late = theirs->write(Side::source, plan(9, "they"));
    ASSERT_FALSE(late) << "they have not seen ours, and a higher number is no excuse";
    EXPECT_EQ(late.error().code, Errc::refused);
    EXPECT_EQ(late.error().detail, "another Segue has written a plan to the source");
    ASSERT_EQ(read(*theirs, Side::source), plan(1, "us"));
    EXPECT_TRUE(theirs->write(Side::source, plan(2, "they")));
    EXPECT_FALSE(ours->write(Side::source, plan(50, "us")));
    EXPECT_EQ(read(*ours, Side::source), plan(2, "they"));
}

// The answer was lost: nobody knows whether it is there, and it is written again.
TEST_F(PlanStoreTest, WritesAgainWhatItHasWrittenItself) {
    ASSERT_TRUE(ours->write(Side::source, plan(3, "us")));
    const auto without_memory = store();
    EXPECT_TRUE(without_memory->write(Side::source, plan(3, "us")));
    EXPECT_FALSE(store()->write(Side::source, plan(3, "they")));
}

TEST_F(PlanStoreTest, GoesOnWithWhatAnEarlierBuildHasWritten) {
    databases->run(Side::source,
                   "CREATE TABLE segue.autopilot (only_row boolean PRIMARY KEY DEFAULT true,"
                   " revision bigint NOT NULL, plan text NOT NULL, state text NOT NULL,"
                   " changed_at timestamptz NOT NULL DEFAULT now());"
                   "INSERT INTO segue.autopilot VALUES (true, 7, 'old', 'state')");
    EXPECT_EQ(read(*ours, Side::source), (StoredPlan{7, "old", "state", ""}));
    EXPECT_TRUE(ours->write(Side::source, plan(8, "us")));
    EXPECT_EQ(read(*ours, Side::source), plan(8, "us"));
}

// What is asked for while `finish` runs must leave nothing behind.
TEST_F(PlanStoreTest, KeepsNothingOfAMigrationThatIsFinished) {
    const auto expect_refused = [](const Status& written) {
        ASSERT_FALSE(written);
        EXPECT_EQ(written.error().code, Errc::closed);
        EXPECT_EQ(written.error().detail,
                  "the migration is finished, and the source keeps no plan any more");
    };
    const auto there = [&] {
        return databases->value(Side::source, "SELECT to_regclass('segue.autopilot') IS NOT NULL");
    };
    ASSERT_TRUE(ours->write(Side::source, plan(1, "us")));
    Sql finish{databases->url(Side::source)};
    finish.query(
        "BEGIN; UPDATE segue.control SET phase = 'finished';"
        "DROP TABLE segue.autopilot; COMMIT");
    {
        SCOPED_TRACE("it was there");
        expect_refused(ours->write(Side::source, plan(2, "us")));
        EXPECT_EQ(there(), "f");
    }
    {
        SCOPED_TRACE("the tombstone is being written");
        databases->run(Side::source, "UPDATE segue.control SET phase = 'steady'");
        finish.query("BEGIN; UPDATE segue.control SET phase = 'finished'");
        Status written = Done{};
        constexpr const char* gave_up_waiting = "55P03";
        std::thread writer{[&] {
            do {
                written = store()->write(Side::source, plan(2, "us"));
            } while (!written && written.error().sqlstate == gave_up_waiting);
        }};
        EXPECT_TRUE(eventually(60s, [&] {
            return databases->value(Side::source,
                                    "SELECT count(*) FROM pg_stat_activity WHERE application_name "
                                    "= 'segue auto' AND wait_event_type = 'Lock'") == "1";
        }));
        finish.query("COMMIT");
        writer.join();
        expect_refused(written);
        EXPECT_EQ(there(), "f");
    }
}

TEST_F(PlanStoreTest, FindsItsWayBackAfterAConnectionIsLost) {
    ASSERT_TRUE(ours->write(Side::source, plan(1, "us")));
    databases->run(Side::source,
                   "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE "
                   "application_name = 'segue auto' AND datname = current_database()");
    EXPECT_FALSE(ours->read(Side::source));
    EXPECT_EQ(read(*ours, Side::source), plan(1, "us"));
}

}  // namespace
}  // namespace segue::backfill
