// The whole life of a migration, through the real program, while clients write everything that is
// hard to move.

#include <gtest/gtest.h>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

TEST(Life, CopiesCutsOverRollsBackAndFinishesUnderLoad) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.segue().run();
    WorkloadOptions options{move.through()};
    options.two_phase = true;
    Workload workload{options};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(100));

    ASSERT_EQ(move.segue().expect_done({"start"}).exit_code, 0);
    ASSERT_TRUE(move.segue().wait_consistent());
    ASSERT_TRUE(workload.wait_for_more(200));
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    ASSERT_TRUE(workload.wait_for_more(200));
    move.segue().expect_done({"verify"});

    // A prepared transaction on the old side refuses a cutover, so none is begun from here on.
    workload.set_two_phase(false);
    ASSERT_TRUE(workload.wait_for_more(50));
    const char* authority[] = {"target", "source", "target"};
    const char* verbs[] = {"cutover", "rollback", "cutover"};
    for (int change = 0; change < 3; ++change) {
        SCOPED_TRACE(change);
        workload.reset_longest();
        const auto before = move.segue().status();
        ASSERT_TRUE(before);
        ASSERT_TRUE(move.segue().change(verbs[change]));
        EXPECT_TRUE(move.segue().wait_status("/authority", authority[change], 5s));
        // One that was given up on the way has used up an epoch, too.
        EXPECT_TRUE(eventually(5s, [&] {
            const auto now = move.segue().status();
            return now && (*now)["epoch"] > (*before)["epoch"];
        }));
        ASSERT_TRUE(workload.wait_for_more(200));
        RecordProperty("longest_ms_" + std::to_string(change),
                       static_cast<int>(workload.report().longest.count()));
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
    EXPECT_TRUE(
        compare_catalogs(move.superuser(move.source()), move.superuser(move.target())).empty());

    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    move.segue().expect_done({"finish"});
    ASSERT_TRUE(workload.wait_for_more(50));
    workload.stop();
    expect_no_client_noticed(workload.report());
    expect_journal(move.superuser(move.target()), workload.journal());
}

TEST(Life, StaysConsistentAcrossRestartsOfEverything) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(100));
    EXPECT_EQ(move.segue().terminate(), 0);
    move.segue().run();
    EXPECT_TRUE(move.segue().wait_status("/backfill/state", "consistent", 20s));
    ASSERT_TRUE(workload.wait_for_more(100));
    move.target().restart();
    ASSERT_TRUE(workload.wait_for_more(100));
    move.source().restart();
    ASSERT_TRUE(workload.wait_for_more(100));
    workload.stop();
    move.expect_right(workload);
    EXPECT_TRUE(move.segue().wait_status("/backfill/state", "consistent", 20s));
}

// Law 10: the follower's loss is never a client's in `async`.
TEST(Life, ClientsDoNotNoticeTheLossOfTheFollowerInAsync) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(100));
    move.target().stop(Stop::immediate);
    ASSERT_TRUE(workload.wait_for_more(300));
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
    move.target().start();
    ASSERT_TRUE(workload.wait_for_more(100));
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
}

TEST(Life, PauseStopsFollowingAndResumeCatchesUp) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    move.segue().expect_done({"pause"});
    EXPECT_TRUE(move.segue().wait_status("/backfill/paused", true));
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-1, 'while paused')");
    move.segue().expect_done({"resume"});
    EXPECT_TRUE(move.segue().wait_status("/backfill/paused", false));
    move.expect_equal_soon();
    EXPECT_EQ(move.target().value("SELECT body FROM app.keyed WHERE id = -1", "shop"),
              "while paused");
}

}  // namespace
}  // namespace segue::test
