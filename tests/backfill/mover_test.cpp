// The mover between two real servers, without the proxy: copying and following under concurrent
// writes, restarts, both directions, twins.

#include "backfill/mover.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

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
        test::eventually(5s, [&] { return loaded() != before; });
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
        auto twin = mover->open_twin(Clock::now() + 20s);
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

TEST_F(MoverTest, ATwinWaitsForTablesThatAreLockedAndYieldsMeanwhile) {
    databases->run(Side::source, "CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    prepare();
    start();
    wait_consistent();
    test::Sql ddl{databases->url(Side::source)};
    ddl.query("BEGIN");
    ddl.query("LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE");
    auto opening =
        std::async(std::launch::async, [&] { return mover->open_twin(Clock::now() + 30s); });
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

TEST_F(MoverTest, VerifyEndsWhileTablesAreTruncatedAllTheTime) {
    databases->run(
        Side::source,
        "CREATE TABLE scratch (i int PRIMARY KEY); CREATE TABLE large (i int PRIMARY KEY, t text);"
        " INSERT INTO large SELECT g, repeat('x', 200) FROM generate_series(1, 60000) g; ANALYZE");
    prepare();
    start();
    wait_consistent();
    std::atomic<bool> over{false};
    std::atomic<int> truncated{0};
    std::thread truncating{[&] {
        test::Sql sql{databases->url(Side::source)};
        while (!over) {
            sql.query("TRUNCATE scratch; INSERT INTO scratch SELECT generate_series(1, 100)");
            ++truncated;
            test::eventually(30ms, [&] { return over.load(); });
        }
    }};
    for (int i = 0; i < 5; ++i) {
        const int before = truncated;
        const auto verified = mover->verify({});
        EXPECT_TRUE(verified) << verified.error().detail;
        EXPECT_TRUE(!verified || verified->differences() == 0u);
        EXPECT_TRUE(test::eventually(10s, [&] { return truncated > before; }));
    }
    over = true;
    truncating.join();
    catch_up();
    expect_same();
}

TEST_F(MoverTest, VerifyFindsWhatARogueChangedAndRefreshMendsIt) {
    databases->run(Side::source,
                   "CREATE TABLE t (a int, b text, v text, PRIMARY KEY (a, b));"
                   " INSERT INTO t SELECT i, 'k' || i, 'v' FROM generate_series(1, 1000) i");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(rogue.execute(
        "SET session_replication_role = replica; UPDATE public.t SET v = 'w' WHERE a = 3;"
        " DELETE FROM public.t WHERE a = 4; INSERT INTO public.t VALUES (5000, 'extra', 'x')"));
    const auto found = mover->verify({});
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_EQ(found->differences(), 3u);
    const auto mended = mover->repair("somebody");
    ASSERT_TRUE(mended) << mended.error().detail;
    EXPECT_EQ(mended->rows, 3u);
    const auto again = mover->verify({});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->differences(), 0u);
    expect_same();
}

// Rows that are wrong beyond those that are listed hold the unique values that the listed ones
// need. Another table cannot be mended at all, and keeps nobody from it.
TEST_F(MoverTest, RepairsMoreRowsThanAreListedHoweverTheirUniqueValuesCollide) {
    const std::string rows = std::to_string(verify_differences_max + 3000);
    databases->run(Side::source,
                   "CREATE TABLE t (a int PRIMARY KEY, v int UNIQUE, w text, g text GENERATED "
                   "ALWAYS AS ('g' || lower(w)) STORED UNIQUE);"
                   " CREATE UNIQUE INDEX ON t (lower(w)) WHERE a > 5;"
                   " INSERT INTO t SELECT i, i, 'W' || i FROM generate_series(1, " +
                       rows +
                       ") i;"
                       " CREATE TABLE broken (a int PRIMARY KEY); INSERT INTO broken VALUES (1)");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.broken;"
                      " ALTER TABLE public.broken ADD CHECK (a > 1);"
                      " BEGIN; UPDATE public.t SET v = -v, w = '-' || w; UPDATE public.t SET v = 1 "
                      "- v, w = 'w' || (a + 1); COMMIT"));
    auto found = mover->verify({});
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_GT(found->differences(), verify_differences_max);
    int rounds = 0;
    for (; found->differences() > 1 && rounds < 5; ++rounds) {
        const auto mended = mover->repair("somebody");
        ASSERT_TRUE(mended) << mended.error().detail;
        ASSERT_EQ(mended->failed.size(), 1u);
        EXPECT_TRUE(mended->failed.front().starts_with("public.broken: "));
        found = mover->verify({});
        ASSERT_TRUE(found) << found.error().detail;
    }
    EXPECT_EQ(found->differences(), 1u) << "after " << rounds << " rounds";
    ASSERT_TRUE(rogue.execute("ALTER TABLE public.broken DROP CONSTRAINT broken_a_check"));
    ASSERT_TRUE(mover->repair("somebody"));
    found = mover->verify({});
    EXPECT_EQ(found->differences(), 0u);
    expect_same();
}

// A round of the background that has found what is repaired then forgets it.
TEST_F(MoverTest, TheBackgroundComparesWhatWasRepairedAgain) {
    databases->run(Side::source,
                   "CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE z (i int PRIMARY KEY);"
                   " INSERT INTO a SELECT generate_series(1, 60000);"
                   " INSERT INTO z SELECT generate_series(1, 120000); ANALYZE");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.a WHERE i = 1"));
    mover->verify_in_background(50'000);
    ASSERT_TRUE(test::eventually(60s, [&] { return mover->background().differences == 1; }));
    mover->verify_in_background(500);  // It is at work on the second table for a long time.
    mover->hold_background(true);
    const auto mended = mover->repair("somebody");
    ASSERT_TRUE(mended) << mended.error().detail;
    EXPECT_EQ(mended->rows, 1u);
    const auto verified = mover->verify({});
    ASSERT_TRUE(verified) << verified.error().detail;
    EXPECT_EQ(verified->differences(), 0u);
    const auto read = [&](const std::string& sql) { return databases->value(Side::source, sql); };
    EXPECT_EQ(read("SELECT sum(t.differences) FROM segue.verified_table t"), "0");
    const std::uint64_t rounds = mover->background().rounds;
    mover->verify_in_background(10'000'000);
    mover->hold_background(false);
    ASSERT_TRUE(test::eventually(60s, [&] { return mover->background().rounds > rounds; }));
    EXPECT_EQ(mover->background().differences, 0u);
    const auto standing = mover->verified();
    ASSERT_TRUE(standing && *standing);
    EXPECT_EQ((*standing)->verdict, Verdict::equal);
}

TEST_F(MoverTest, AMissStopsTheTableAndIsNeverPaperedOver) {
    databases->run(
        Side::source,
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.t WHERE id = 1"));
    databases->run(Side::source,
                   "UPDATE t SET v = 10 WHERE id = 1; UPDATE t SET v = 20 WHERE id = 2");
    const Position before = mover->applied(Side::source).current();
    EXPECT_TRUE(test::eventually(20s, [&] {
        const MoverStatus status = mover->status();
        return !status.tables.empty() && status.tables[0].state == "stopped" &&
               status.tables[0].stopped_because.find("public.t") != std::string::npos;
    })) << problems();
    const auto end = steps->log_end(Side::source);
    ASSERT_TRUE(end);
    EXPECT_GE(mover->applied(Side::source).current(), before);
    EXPECT_LT(mover->applied(Side::source).current(), *end);
    EXPECT_EQ(databases->value(Side::target, "SELECT v FROM t WHERE id = 2"), "2");
    // What was lost is put back: it goes on by itself.
    ASSERT_TRUE(rogue.execute("INSERT INTO public.t VALUES (1, 1)"));
    EXPECT_TRUE(test::eventually(20s, [&] {
        return databases->value(Side::target, "SELECT v FROM t WHERE id = 2") == "20";
    }));
    expect_same();
}

TEST_F(MoverTest, VerifyFindsASequenceThatIsBehindAndRepairMendsIt) {
    databases->run(Side::source,
                   "CREATE TABLE t (id serial PRIMARY KEY, v int); INSERT INTO t (v) SELECT i FROM "
                   "generate_series(1, 300) i");
    prepare();
    start();
    wait_consistent();
    const auto place = [&] {
        return std::stoll(databases->value(Side::target, "SELECT last_value FROM t_id_seq"));
    };
    EXPECT_GE(place(), 300) << "it is kept ahead from the first moment on";
    // The application uses it faster than anybody looks.
    for (int i = 0; i < 5; ++i) {
        databases->run(Side::source, "SELECT nextval('t_id_seq') FROM generate_series(1, 3000)");
        const auto quiet = mover->verify({"", "", 0, true});
        ASSERT_TRUE(quiet) << quiet.error().detail;
        EXPECT_EQ(quiet->differences(), 0u);
    }
    databases->run(Side::target, "SELECT setval('t_id_seq', 17)");
    const auto found = mover->verify({"", "", 0, true});
    ASSERT_TRUE(found) << found.error().detail;
    ASSERT_EQ(found->differences(), 1u);
    EXPECT_EQ(found->listed().front().table, "public.t_id_seq");
    EXPECT_EQ(found->listed().front().kind, "behind");
    const auto repaired = mover->repair("somebody");
    ASSERT_TRUE(repaired) << repaired.error().detail;
    EXPECT_EQ(repaired->failed, std::vector<std::string>{});
    EXPECT_GE(place(), 15'300);
    const auto again = mover->verify({});
    ASSERT_TRUE(again) << again.error().detail;
    EXPECT_EQ(again->verdict, Verdict::equal);
}

// It would stop the stream again before anybody could compare it.
TEST_F(MoverTest, AStreamThatWasPassedOnStaysStrictAlsoForARowThatIsChangedAllTheTime) {
    databases->run(
        Side::source,
        "CREATE TABLE t (id int, \"a \"\"key\" text, v int, PRIMARY KEY (\"a \"\"key\", id)); "
        "INSERT INTO t SELECT i, 'of, \"' || i || '\\', 0 FROM generate_series(1, 5) i");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.t WHERE id = 2"));
    std::atomic<bool> done{false};
    std::thread application{[&] {
        test::Sql session{databases->url(Side::source)};
        while (!done.load()) session.query("UPDATE t SET v = v + 1 WHERE id = 2");
    }};
    const auto stopped = [&] { return mover->status().tables[0].state == "stopped"; };
    EXPECT_TRUE(test::eventually(60s, stopped)) << problems();
    const auto passed = mover->pass_stopped("somebody");
    EXPECT_TRUE(passed) << passed.error().detail;
    const std::uint64_t runs = mover->status().runs_failed;
    for (int i = 0; i < 20; ++i) catch_up();
    EXPECT_EQ(mover->status().runs_failed, runs) << problems();
    done = true;
    application.join();
    catch_up();
    expect_same();
    // And strict as ever.
    ASSERT_TRUE(rogue.execute("DELETE FROM public.t WHERE id = 3"));
    databases->run(Side::source, "UPDATE t SET v = 31 WHERE id = 3");
    EXPECT_TRUE(test::eventually(60s, stopped)) << problems();
}

TEST_F(MoverTest, ATableThatHasStoppedWhileCopyingIsCopiedAgain) {
    databases->run(Side::source,
                   "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, i FROM "
                   "generate_series(1, 9) i; CREATE TABLE b (id int PRIMARY KEY)");
    prepare();
    test::Sql holder{databases->url(Side::source)};
    holder.query("BEGIN");
    holder.query("LOCK TABLE b");
    start();
    const auto state = [&](const char* table) -> std::string {
        for (const TableProgress& one : mover->status().tables)
            if (one.name == table) return one.state;
        return "";
    };
    ASSERT_TRUE(test::eventually(60s, [&] { return state("a") == "loaded"; })) << problems();
    EXPECT_TRUE(mover->copy_stopped_again()->empty()) << "nothing has stopped";
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.a WHERE id = 4; "
                      "INSERT INTO public.a VALUES (77, 7)"));
    databases->run(Side::source, "UPDATE a SET v = 40 WHERE id = 4; DELETE FROM a WHERE id = 5");
    ASSERT_TRUE(test::eventually(60s, [&] { return state("a") == "stopped"; })) << problems();
    const auto again = mover->copy_stopped_again();
    ASSERT_TRUE(again) << again.error().detail;
    EXPECT_EQ(*again, (std::vector<std::string>{"public.a"}));
    holder.query("ROLLBACK");
    wait_consistent();
    catch_up();
    expect_same();
}

// An update and a delete that miss, an insert that meets a row, and another table that stops next.
TEST_F(MoverTest, AStoppedStreamGoesOnOnTheOperatorsWordAndIsMended) {
    databases->run(
        Side::source,
        "CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE); INSERT INTO t SELECT i, i FROM "
        "generate_series(1, 9) i; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u "
        "VALUES (1, 'a'), (2, 'b')");
    prepare();
    start();
    wait_consistent();
    EXPECT_TRUE(mover->pass_stopped("somebody")->tables.empty()) << "nothing has stopped";
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(rogue.execute(
        "SET session_replication_role = replica; DELETE FROM public.t WHERE id IN (1, 2); INSERT "
        "INTO public.t VALUES (50, 50), (70, 7000); DELETE FROM public.t WHERE id = 9; DELETE FROM "
        "public.u WHERE id = 2"));
    // Their stream may not get far between two runs of the other one.
    ASSERT_TRUE(test::eventually(60s, [&] { return mover->strays(Side::target) > 0; }));
    databases->run(Side::source,
                   "UPDATE t SET v = 10 WHERE id = 1; UPDATE t SET v = 30 WHERE id = 3");
    databases->run(Side::source,
                   "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (51, 50), (70, 70)");
    databases->run(Side::source, "UPDATE u SET v = 'c' WHERE id = 2");
    databases->run(Side::source, "UPDATE u SET v = 'd' WHERE id = 1");
    const auto stopped = [&](const char* table) {
        for (const TableProgress& one : mover->status().tables)
            if (one.name == table && one.state == "stopped") return true;
        return false;
    };
    ASSERT_TRUE(test::eventually(60s, [&] { return stopped("t"); })) << problems();
    const auto passed = mover->pass_stopped("somebody");
    ASSERT_TRUE(passed) << passed.error().detail;
    EXPECT_EQ(passed->tables, (std::vector<std::string>{"public.t", "public.u"}));
    EXPECT_GE(passed->changes, 5u) << "more where a transaction was tried again";
    EXPECT_FALSE(stopped("t") || stopped("u"));
    catch_up();
    EXPECT_EQ(databases->value(Side::target, "SELECT v FROM t WHERE id = 3"), "30");
    EXPECT_EQ(databases->value(Side::target, "SELECT v FROM u WHERE id = 1"), "d");
    // It stands as a difference until it has been compared.
    const auto standing = mover->verified();
    ASSERT_TRUE(standing && *standing);
    EXPECT_EQ((*standing)->verdict, Verdict::mended);
    const auto found = mover->verify({});
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_EQ(found->differences(), 1u) << "what was passed over is mended; row 9 of t is found";
    ASSERT_TRUE(mover->repair("somebody"));
    const auto again = mover->verify({});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->differences(), 0u);
    EXPECT_GT(again->strays, 0u) << "they have been compared, and refuse no cutover";
    expect_same();
    // Strict as ever afterwards.
    ASSERT_TRUE(rogue.execute("DELETE FROM public.t WHERE id = 3"));
    databases->run(Side::source, "UPDATE t SET v = 31 WHERE id = 3");
    EXPECT_TRUE(test::eventually(60s, [&] { return stopped("t"); })) << problems();
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
    databases->run(Side::source, "INSERT INTO t VALUES (77, 7)");
    EXPECT_TRUE(test::eventually(20s, [&] { return mover->strays(Side::source) == 1; }));
    EXPECT_EQ(mover->status().stray_write_tables, (std::vector<std::string>{"public.t"}));
}

}  // namespace
}  // namespace segue::backfill
