// The mover between two real servers, without the proxy: copying and following under concurrent
// writes, restarts, both directions, twins.

#include "backfill/mover.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "backfill/event_log.hpp"
#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"
#include "tests/support/workload.hpp"

namespace segue::backfill {
namespace {

TEST_F(MoverTest, CopiesAndFollowsUnderEveryKindOfWrite) {
    test::create_workload_schema(databases->url(Side::source), 3);
    test::WorkloadOptions options;
    options.url = databases->url(Side::source);
    options.two_phase = true;
    test::Workload workload{options};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(200));
    workload.set_two_phase(false);  // A prepared transaction would hold up the slot.
    prepare();
    workload.set_two_phase(true);
    start();
    wait_consistent();
    ASSERT_TRUE(workload.wait_for_more(1000));
    workload.stop();
    catch_up();
    expect_same();
    test::expect_journal(databases->url(Side::target), workload.journal());
    EXPECT_EQ(mover->strays(Side::target), 0u);
}

// Table `big`: many chunks, keys that move across their borders, values out of line.
class BigTable {
public:
    explicit BigTable(test::Databases& databases) : databases_(databases) {
        databases.run(
            Side::source,
            "CREATE TABLE big (id bigint PRIMARY KEY, n int NOT NULL, body text);"
            " ALTER TABLE big ALTER body SET STORAGE EXTERNAL;"
            " INSERT INTO big SELECT i, 0, repeat('x', 100) FROM generate_series(1, 240000) i;"
            " UPDATE big SET body = repeat('toast', 1000) WHERE id % 500 = 0; ANALYZE big");
    }
    ~BigTable() { stop(); }
    void start() {
        for (unsigned i = 0; i < 3; ++i) threads_.emplace_back([this, i] { write(i); });
    }
    void stop() {
        over_ = true;
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
    }

private:
    void write(unsigned seed) {
        test::Sql sql{databases_.url(Side::source)};
        const std::string mine = std::to_string(seed);
        // Ids of one writer have one remainder, so that two never want the same new key.
        const std::string pick = "(3 * (random() * 80000)::bigint + " + mine + ")";
        while (!over_) {
            sql.query("UPDATE big SET n = n + 1 WHERE id = " + pick);
            sql.query("WITH p AS (SELECT " + pick + " AS a, " + pick +
                      " AS b) UPDATE big SET id = p.b FROM p"
                      " WHERE big.id = p.a AND NOT EXISTS (SELECT FROM big o WHERE o.id = p.b)");
            sql.query("WITH p AS (SELECT 500 * (3 * (random() * 160)::bigint + " + mine +
                      ") AS a, " + pick +
                      " AS b) UPDATE big SET id = p.b FROM p WHERE big.id = p.a"
                      " AND NOT EXISTS (SELECT FROM big o WHERE o.id = p.b)");
            sql.query("BEGIN; DELETE FROM big WHERE id = 3 * 7 + " + mine +
                      "; SAVEPOINT s;"
                      " INSERT INTO big VALUES (3 * 7 + " +
                      mine +
                      ", 1, 'again'); ROLLBACK TO s;"
                      " INSERT INTO big VALUES (3 * 7 + " +
                      mine + ", 2, 'again'); COMMIT");
        }
    }
    test::Databases& databases_;
    std::atomic<bool> over_{false};
    std::vector<std::thread> threads_;
};

TEST_F(MoverTest, CutsALargeTableAndSurvivesRestartsWhileKeysMove) {
    BigTable big{*databases};
    prepare();
    big.start();
    for (int restart = 0; restart < 4; ++restart) {
        start();
        // Some chunks more than last time, then away with it in the middle of the next.
        const auto loaded = [&] {
            return databases->value(Side::target, "SELECT count(*) FROM segue.chunk");
        };
        const std::string before = loaded();
        test::within(5s, [&] { return loaded() != before; });
        mover.reset();
    }
    start();
    wait_consistent();
    big.stop();
    catch_up();
    expect_same();
    EXPECT_GT(std::stoi(databases->value(Side::target, "SELECT count(*) FROM segue.chunk")), 3);
}

TEST_F(MoverTest, ATruncateInTheMiddleStartsThatTableAgain) {
    BigTable big{*databases};
    databases->run(Side::source,
                   "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)");
    prepare();
    start();
    test::eventually(10s, [&] {
        return databases->value(Side::target,
                                "SELECT count(*) FROM segue.chunk WHERE table_name = 'big'") != "0";
    });
    databases->run(Side::source,
                   "BEGIN; INSERT INTO big VALUES (-1, 1, 'a'); TRUNCATE big, other;"
                   " INSERT INTO big VALUES (7, 7, 'b'); COMMIT; INSERT INTO other VALUES (2)");
    wait_consistent();
    catch_up();
    expect_same();
    databases->run(Side::source, "TRUNCATE big; INSERT INTO big VALUES (8, 8, 'c')");
    catch_up();
    expect_same();
}

// What random schemas have shown not to be moved.
TEST_F(MoverTest, FollowsTablesOfUnusualShape) {
    databases->run(Side::source, R"sql(
        CREATE TYPE pair AS (a int, b text);
        CREATE TABLE bare ();
        INSERT INTO bare SELECT FROM generate_series(1, 3);
        CREATE TABLE computed (g int GENERATED ALWAYS AS (1 + 1) STORED);
        INSERT INTO computed DEFAULT VALUES;
        CREATE TABLE loose (b bool, i inet, c char(5), p pair, n numeric, x xml, q "char");
        INSERT INTO loose VALUES (true, '10.0.0.1', 'a', (1, NULL), 1.0, '<a/>', 'x');
        INSERT INTO loose VALUES (NULL), (NULL);
        CREATE TABLE paired (p pair PRIMARY KEY, v int);
        INSERT INTO paired VALUES ((1, 'a'), 1), ((2, 'b'), 2);
        CREATE TABLE whole (id int PRIMARY KEY);
        CREATE TABLE pieces (id int PRIMARY KEY, w int REFERENCES whole) PARTITION BY RANGE (id);
        CREATE TABLE piece_1 PARTITION OF pieces FOR VALUES FROM (0) TO (10);
        CREATE TABLE piece_2 PARTITION OF pieces FOR VALUES FROM (10) TO (20);
        INSERT INTO whole VALUES (1), (2);
        INSERT INTO pieces VALUES (1, 1), (11, 2))sql");
    prepare();
    start();
    wait_consistent();
    databases->run(Side::source, R"sql(
        INSERT INTO bare DEFAULT VALUES;
        INSERT INTO bare DEFAULT VALUES;
        DELETE FROM bare WHERE ctid = '(0,1)';
        INSERT INTO computed DEFAULT VALUES;
        DELETE FROM computed WHERE ctid = '(0,1)';
        UPDATE loose SET n = 2 WHERE b;
        UPDATE loose SET b = false, c = 'b' WHERE b;
        DELETE FROM loose WHERE ctid = (SELECT min(ctid) FROM loose WHERE b IS NULL);
        UPDATE paired SET v = 3 WHERE (p).a = 1;
        UPDATE paired SET p = (3, NULL) WHERE (p).a = 2;
        TRUNCATE whole CASCADE;
        INSERT INTO whole VALUES (3))sql");
    catch_up();
    expect_same();
}

TEST_F(MoverTest, TwinsAreTheSameStateUnderLoad) {
    BigTable big{*databases};
    prepare();
    start();
    wait_consistent();
    big.start();
    const std::string sql =
        "SELECT count(*), sum(hashtextextended(b::text, 0)::numeric) FROM public.big b";
    for (int i = 0; i < 10; ++i) {
        auto twin = mover->open_twin("", Clock::now() + 20s);
        ASSERT_TRUE(twin) << twin.error().detail;
        const auto source = (*twin)->query(Side::source, sql, {}, 1);
        const auto target = (*twin)->query(Side::target, sql, {}, 1);
        ASSERT_TRUE(source && target);
        EXPECT_EQ(*source, *target) << i;
    }
    const auto verified = mover->verify({});
    ASSERT_TRUE(verified) << verified.error().detail;
    EXPECT_EQ(verified->differences(), 0u);
    big.stop();
    catch_up();
    expect_same();
}

// Also on the follower, whose fence lets nobody else make anything.
TEST_F(MoverTest, ATwinAsksWithTheRightsOfTheRoleForWhichItWasOpened) {
    const std::string role = "reader_of_" + migration;  // It stays, as its server does not.
    for (const Side side : {Side::source, Side::target})
        databases->run(side, "CREATE ROLE " + role);
    databases->run(Side::source,
                   "CREATE TABLE t (i int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one');"
                   "GRANT SELECT ON t TO " +
                       role + "; CREATE TABLE secret (i int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    const auto ask = [&](const std::string& statement, Side side) -> std::string {
        auto twin = mover->open_twin(role, Clock::now() + 60s);
        if (!twin) return "no twin: " + twin.error().detail;
        const auto rows = (*twin)->ask(side, {{}, statement, {}, {}}, 1);
        return rows ? rows->front().front().value_or("NULL") : rows.error().sqlstate;
    };
    for (const Side side : {Side::source, Side::target}) {
        EXPECT_EQ(ask("SELECT current_user || v FROM public.t", side), role + "one");
        EXPECT_EQ(ask("SELECT count(*) FROM public.secret", side), "42501");
    }
    EXPECT_FALSE(mover->open_twin("segue_nobody", Clock::now() + 60s));
    EXPECT_EQ(mover->strays(Side::target), 0u);
}

// Only there could the statement be asked as if the role had logged in.
TEST_F(MoverTest, NoTwinAsksForARoleWhereSegueIsASuperuserOnOneSideOnly) {
    const std::string reader = "reader_of_" + migration;
    user = "segue_of_" + migration;
    password = "us";
    for (const Side side : {Side::source, Side::target}) {
        databases->run(side,
                       "CREATE ROLE " + reader + "; CREATE ROLE " + user +
                           " LOGIN SUPERUSER REPLICATION PASSWORD 'us'; GRANT postgres, " + reader +
                           " TO " + user);
    }
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    const auto twin = mover->open_twin(reader, Clock::now() + 60s);
    EXPECT_TRUE(twin) << twin.error().detail;
    databases->run(Side::target,
                   "GRANT SET ON PARAMETER session_replication_role TO " + user + "; ALTER ROLE " +
                       user + " NOSUPERUSER");
    const auto other = mover->open_twin(reader, Clock::now() + 60s);
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().detail.find("a superuser on one of"), std::string::npos)
        << other.error().detail;
}

TEST_F(MoverTest, ATwinWaitsForTablesThatAreLockedAndYieldsMeanwhile) {
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    prepare();
    start();
    wait_consistent();
    test::Sql ddl{databases->url(Side::source)};
    ddl.query("BEGIN");
    ddl.query("LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE");
    auto opening =
        std::async(std::launch::async, [&] { return mover->open_twin("", Clock::now() + 30s); });
    EXPECT_TRUE(databases->asked_again(Side::source, "public.t"));
    EXPECT_EQ(databases->value(Side::target,
                               "SELECT count(*) FROM pg_locks WHERE relation = 'public.t'::regclass"
                               " AND mode = 'AccessShareLock'"),
              "0");
    ddl.query("COMMIT");
    const auto twin = opening.get();
    ASSERT_TRUE(twin) << twin.error().detail;
    const auto rows = (*twin)->query(Side::target, "SELECT count(*) FROM public.t", {}, 1);
    ASSERT_TRUE(rows);
    EXPECT_EQ(rows->front().front(), "1");
}

// Who rolls back by force or finishes needs no lease: the holder looks at the records all the time.
TEST_F(MoverTest, TheHolderOfTheLeaseNoticesAtOnceWhatOthersWriteIntoTheRecords) {
    prepare();
    start();
    wait_consistent();
    databases->run(Side::source,
                   "UPDATE segue.control SET epoch = epoch + 1000, since = "
                   "pg_current_wal_insert_lsn()");
    EXPECT_TRUE(test::eventually(60s, [&] { return mover->status().superseded; })) << problems();
    EXPECT_FALSE(mover->lease(Side::source)) << "it may not change the authority any more";
    mover.reset();
    start();
    ASSERT_TRUE(test::eventually(60s, [&] {
        return mover->status().streams[index(Side::source)].connected;
    })) << problems();
    EXPECT_TRUE(mover->lease(Side::source) && mover->lease(Side::target));
    databases->run(Side::target, "UPDATE segue.control SET phase = 'finished'");
    EXPECT_TRUE(test::eventually(60s, [&] { return mover->status().superseded; })) << problems();
}

TEST_F(MoverTest, SaysThatAFailoverHasLostTheRecordOfTheAuthority) {
    prepare();
    start();
    wait_consistent();
    mover->stop();
    auto known = steps->control(Side::source).read();
    ASSERT_TRUE(known && *known);
    (*known)->epoch += 3;
    ASSERT_TRUE(mover->start(**known));
    EXPECT_TRUE(test::eventually(60s, [&] {
        return problems().find("a failover or a restored backup has lost it") != std::string::npos;
    })) << problems();
    EXPECT_FALSE(mover->status().superseded);
}

TEST_F(MoverTest, TheStreamTurnsAroundAndStraysAreCounted) {
    databases->run(Side::source,
                   "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
    prepare();
    start();
    wait_consistent();
    EXPECT_TRUE(mover->status().streams[index(Side::target)].reverse_ready);
    EXPECT_EQ(mover->strays(Side::target), 0u);
    ASSERT_TRUE(steps->arm_fence(Side::source, Clock::now() + 20s));
    const auto tell_record = [&](Side side, const std::string& set) {
        databases->run(side, "UPDATE segue.control SET " + set);
    };
    tell_record(Side::source, "phase = 'switching'");
    ASSERT_TRUE(steps->close_fence(Side::source, Clock::now() + 20s));
    catch_up(Side::source);
    catch_up(Side::target);
    const auto since = steps->log_end(Side::target);
    ASSERT_TRUE(since);
    ASSERT_TRUE(mover->become(Side::target, *since));
    tell_record(Side::target, "authority = 'target'");
    ASSERT_TRUE(steps->open_fence(Side::target));
    databases->run(Side::target,
                   "INSERT INTO t VALUES (2, 2); UPDATE t SET v = 5, id = 9 WHERE id = 1");
    catch_up(Side::target);
    expect_same();
    EXPECT_EQ(mover->strays(Side::source), 0u);
    const auto verified = mover->verify({});
    ASSERT_TRUE(verified) << verified.error().detail;
    EXPECT_EQ(verified->rows(), 2u);
    EXPECT_EQ(verified->differences(), 0u);
    // A rogue on the old authority, with its fence open.
    steps->release_fence_lock(Side::source);
    tell_record(Side::source, "phase = 'steady'");
    ASSERT_TRUE(steps->open_fence(Side::source));
    databases->run(Side::source, "CREATE TABLE unrelated (x int)");
    databases->run(Side::source, "INSERT INTO unrelated VALUES (1)");
    databases->run(Side::target,
                   "INSERT INTO segue.event (kind, detail) SELECT 'stray write source " +
                       std::to_string(since->value) + "', '{public.t}' FROM generate_series(1, " +
                       std::to_string(events_kept_max + 100) + ")");
    databases->run(Side::source, "INSERT INTO t VALUES (77, 7)");
    EXPECT_TRUE(test::eventually(20s, [&] { return mover->strays(Side::source) == 1; }));
    EXPECT_EQ(
        databases->value(Side::target, "SELECT count(*) FROM segue.event WHERE kind LIKE 'stray%'"),
        std::to_string(events_kept_max + 2))
        << "it stays a few rows: one tells of the older ones";
    EXPECT_EQ(mover->status().stray_write_tables, (std::vector<std::string>{"public.t"}));
}

}  // namespace
}  // namespace segue::backfill
