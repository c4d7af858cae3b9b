// The mover's lease, and what it makes of the records: what is read is judged by what was known
// when it was read.

#include <gtest/gtest.h>

#include "backfill/mover.hpp"
#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

class MoverLease : public MoverTest {
protected:
    // Nobody reads the target's record any more.
    void lock_record(test::Sql& holder) {
        holder.query("BEGIN");
        holder.query("LOCK TABLE segue.control");
    }
    bool record_is_waited_for() {
        return test::eventually(60s, [&] {
            return databases->value(Side::target,
                                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND"
                                    " relation = 'segue.control'::regclass") != "0";
        });
    }
    // This process makes the target the authority, in epoch 1, while somebody waits for its record.
    void change_authority(test::Sql& holder) {
        const auto since = steps->log_end(Side::target);
        ASSERT_TRUE(since) << since.error().detail;
        mover->expect_change(1);
        const std::string set =
            "UPDATE segue.control SET epoch = 1, authority = 'target', backfill = 'consistent'";
        databases->run(Side::source, set);
        holder.query(set + ", since = '" + postgres::format_lsn(*since) + "'");
        ASSERT_TRUE(mover->become(Side::target, *since));
        mover->expect_change(0);
    }
    bool connected() {
        return test::eventually(60s, [&] {
            const MoverStatus status = mover->status();
            return status.running && status.streams[0].connected && status.streams[1].connected;
        });
    }
};

TEST_F(MoverLease, IsNotLostToAChangeOfItsOwnThatTheLookAtTheRecordsMeets) {
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    ASSERT_TRUE(connected()) << problems();
    const std::uint64_t runs = mover->status().runs_failed;
    test::Sql holder{databases->url(Side::target)};
    lock_record(holder);
    ASSERT_TRUE(record_is_waited_for());
    change_authority(holder);
    holder.query("COMMIT");
    catch_up(Side::target);
    EXPECT_FALSE(mover->status().superseded);
    EXPECT_EQ(mover->status().runs_failed, runs) << problems();
}

TEST_F(MoverLease, IsTakenAgainWhereTheAuthorityChangesWhileTheRecordsAreRead) {
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    ASSERT_TRUE(connected()) << problems();
    mover.reset();
    test::Sql holder{databases->url(Side::target)};
    lock_record(holder);
    start();
    ASSERT_TRUE(record_is_waited_for());
    change_authority(holder);
    holder.query("COMMIT");
    ASSERT_TRUE(connected()) << problems();
    EXPECT_FALSE(mover->status().superseded);
    EXPECT_EQ(mover->status().last_failure.find("another Segue"), std::string::npos)
        << mover->status().last_failure;
    catch_up(Side::target);
}

// Who rolls back by force, or finishes, asks nobody who has the lease.
TEST_F(MoverLease, IsWorthNothingOnceSomebodyElseHasWrittenTheRecord) {
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    ASSERT_TRUE(connected()) << problems();
    EXPECT_FALSE(mover->status().superseded);
    databases->run(Side::target, "UPDATE segue.control SET epoch = 2, authority = 'target'");
    EXPECT_TRUE(test::eventually(60s, [&] { return mover->status().superseded; })) << problems();
    // The run that met it tells so when it has ended.
    const auto told = [&] {
        return mover->status().last_failure.find("another Segue has changed the authority") !=
               std::string::npos;
    };
    EXPECT_TRUE(test::eventually(60s, told)) << mover->status().last_failure;
}

}  // namespace
}  // namespace segue::backfill
