// Law 4 made deterministic: PostgreSQL delivers a commit in the stream before snapshots show it.
// With a synchronous standby that never answers, chosen commits stay in that gap for as long as the
// test wants, while chunks are opened and compared.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// Opens and closes the gap again and again until it ends. Commits of sessions with
// synchronous_commit = on are in it.
class Gap {
public:
    explicit Gap(PostgresServer& server) : server_(server), thread_([this] { run(); }) {}
    ~Gap() {
        over_ = true;
        thread_.join();
    }
    int rounds() const { return rounds_; }

private:
    void run() {
        Sql control{server_.socket_url("postgres")};
        control.query("SET synchronous_commit = local");
        while (!over_) {
            set(control, "'nobody'");
            // Until several commits are invisible, and then for a while longer.
            within(2s, [&] {
                return over_ ||
                       std::stoi(control.value(
                           "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")) >=
                           4;
            });
            within(600ms, [&] { return over_.load(); });
            set(control, "''");
            ++rounds_;
            within(100ms, [&] { return over_.load(); });
        }
    }
    void set(Sql& control, const std::string& names) {
        control.query("ALTER SYSTEM SET synchronous_standby_names = " + names);
        control.query("SELECT pg_reload_conf()");
    }

    PostgresServer& server_;
    std::atomic<bool> over_{false};
    std::atomic<int> rounds_{0};
    std::thread thread_;
};

TEST(VisibilityGap, CopyingAndComparingAreExactWhileCommitsAreInvisible) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    // Enough chunks that many are opened while commits are invisible.
    move.source().run(
        "INSERT INTO app.keyed SELECT i, repeat('x', 300) FROM generate_series(200000, 500000) i; "
        "ANALYZE",
        "shop");
    move.segue().run();
    WorkloadOptions waiting{move.through() + "?options=-c%20synchronous_commit%3Don"};
    waiting.workers = 5;
    WorkloadOptions passing{move.through() + "?options=-c%20synchronous_commit%3Dlocal"};
    passing.workers = 3;
    passing.first_worker = 20;
    passing.seed = 2;
    Workload invisible{waiting}, visible{passing};
    invisible.start();
    visible.start();
    ASSERT_TRUE(visible.wait_for_more(50));
    move.segue().expect_done({"start"});
    {
        Gap gap{move.source()};
        EXPECT_TRUE(move.segue().wait_consistent(180s));
        EXPECT_TRUE(eventually(30s, [&] { return gap.rounds() >= 1; }));
        for (int round = 0; round < 2; ++round) {
            const CommandResult verified = move.segue().verb({"verify"}, 180s);
            EXPECT_EQ(verified.exit_code, 0) << "a false alarm: " << verified.out << verified.err;
        }
    }
    ASSERT_TRUE(invisible.wait_for_more(20));
    invisible.stop();
    visible.stop();
    std::vector<Attempt> journal = invisible.journal();
    const std::vector<Attempt> others = visible.journal();
    journal.insert(journal.end(), others.begin(), others.end());
    for (const Workload* workload : {&invisible, &visible})
        expect_no_client_noticed(workload->report());
    move.expect_equal_soon();
    expect_journal(move.superuser(move.source()), journal);
    expect_journal(move.superuser(move.target()), journal);
}

}  // namespace
}  // namespace segue::test
