// What the mover does about differences: verification beside writers, repair, streams that have
// stopped before a change that does not fit.

#include "backfill/mover.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

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
            test::within(30ms, [&] { return over.load(); });
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

// Who reads the tables anew waits for a lock that somebody holds; a repair copies what they have now.
TEST_F(MoverTest, RepairsRowsWithTheColumnsThatTheirTableHasNow) {
    carry_ddl = true;
    databases->run(Side::source,
                   "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2);"
                   " CREATE TABLE u (a int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(rogue.execute(
        "SET session_replication_role = replica; DELETE FROM public.t WHERE a = 1"));
    const auto found = mover->verify({});
    ASSERT_TRUE(found) << found.error().detail;
    ASSERT_EQ(found->differences(), 1u);
    test::Sql lock{databases->url(Side::source)};
    lock.query("BEGIN; LOCK TABLE public.u");
    databases->run(Side::source,
                   "ALTER TABLE public.t ADD COLUMN y int; UPDATE public.t SET y = 7 WHERE a = 2;"
                   " ALTER TABLE public.t ALTER y SET DEFAULT 7; INSERT INTO public.t VALUES (3);"
                   " ALTER TABLE public.t ADD COLUMN z int DEFAULT 8");
    ASSERT_TRUE(test::eventually(60s, [&] {
        return databases->value(Side::target,
                                "SELECT count(*) FROM pg_attribute WHERE attname = 'z' AND "
                                "attrelid = 'public.t'::regclass") == "1";
    }));
    const auto mended = mover->repair("somebody");
    lock.query("ROLLBACK");
    ASSERT_TRUE(mended) << mended.error().detail;
    EXPECT_THAT(mended->failed, testing::IsEmpty());
    catch_up();
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

// Of reads that differ, whether there are rounds or not: the rows are on record as what rounds
// find, nothing is said of other tables, and whoever asks for a verification goes first.
TEST_F(MoverTest, SuspectedTablesAreComparedAtOnceAndGiveWay) {
    databases->run(
        Side::source,
        "CREATE TABLE a (i int PRIMARY KEY, v text); CREATE TABLE b (i int PRIMARY KEY);"
        "CREATE TABLE z (i int PRIMARY KEY);"
        " INSERT INTO a SELECT g, 'v' FROM generate_series(1, 160000) AS g;"
        " INSERT INTO b SELECT generate_series(1, 10); INSERT INTO z VALUES (1); ANALYZE");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica;"
                      "UPDATE public.a SET v = 'w' WHERE i = 155555; DELETE FROM public.z"));
    const auto of = [&](const char* table) {
        for (const Suspect& one : mover->suspects()) {
            if (one.name.second == table) return one;
        }
        return Suspect{};
    };
    mover->hold_background(true);
    mover->suspect({{"public", "a"}, {"public", "b"}, {"public", "nowhere"}},
                   std::chrono::system_clock::now());
    EXPECT_EQ(of("a").verdict, TableVerdict::waiting);
    mover->hold_background(false);
    ASSERT_TRUE(test::eventually(60s, [&] { return of("a").ended_at && of("b").ended_at; }));
    EXPECT_EQ(of("b").verdict, TableVerdict::equal);
    EXPECT_EQ(of("nowhere").verdict, TableVerdict::gone);
    EXPECT_EQ(of("a").verdict, TableVerdict::different);
    ASSERT_EQ(of("a").first.size(), 1u);
    EXPECT_EQ(of("a").first.front().key, "(155555)");
    EXPECT_EQ(of("a").first.front().kind, "changed");
    EXPECT_FALSE(mover->background().every_row_since) << "z was not looked at";
    auto standing = mover->verified();
    ASSERT_TRUE(standing && *standing);
    EXPECT_EQ((*standing)->verdict, Verdict::different) << "it refuses a change of authority";
    ASSERT_EQ((*standing)->listed().size(), 1u);
    const auto read = [&](const std::string& sql) { return databases->value(Side::source, sql); };
    EXPECT_EQ(read("SELECT table_name || key FROM segue.difference"), "a(155555)");
    EXPECT_EQ(read("SELECT verdict FROM segue.verified_table WHERE table_name = 'z'"), "waiting");

    const auto mended = mover->repair("somebody");
    ASSERT_TRUE(mended) << mended.error().detail;
    EXPECT_EQ(mended->rows, 1u);
    EXPECT_TRUE(of("a").mended);
    ASSERT_TRUE(rogue.execute("UPDATE public.a SET v = 'x' WHERE i = 3"));
    mover->suspect({{"public", "a"}}, std::chrono::system_clock::now());
    ASSERT_TRUE(test::eventually(60s, [&] { return of("a").ended_at.has_value(); }));
    EXPECT_EQ(of("a").first.at(0).key, "(3)");
    const auto verified = mover->verify({});
    ASSERT_TRUE(verified) << verified.error().detail;
    EXPECT_EQ(verified->differences(), 2u) << "with the row of z";
    EXPECT_EQ(of("b").verdict, TableVerdict::equal);
}

// What was found stays on record while its table is compared again.
TEST_F(MoverTest, ASuspectThatWasAskedForByAVerificationIsNotComparedAgain) {
    databases->run(Side::source,
                   "CREATE TABLE a (i int PRIMARY KEY);"
                   " INSERT INTO a SELECT generate_series(1, 100); ANALYZE");
    prepare();
    start();
    wait_consistent();
    auto rogue = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(
        rogue.execute("SET session_replication_role = replica; DELETE FROM public.a WHERE i = 1"));
    mover->hold_background(true);
    mover->suspect({{"public", "a"}}, std::chrono::system_clock::now());
    const auto verified = mover->verify({});
    ASSERT_TRUE(verified) << verified.error().detail;
    ASSERT_EQ(mover->suspects().size(), 1u);
    EXPECT_EQ(mover->suspects().front().first.at(0).kind, "missing");
    mover->hold_background(false);
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT count(*) FROM segue.verification WHERE kind = 'background'"),
              "0");
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
    ASSERT_EQ(repaired->tables.size(), 1u);
    EXPECT_EQ(repaired->tables.front().changed, 0u) << "no row was";
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

}  // namespace
}  // namespace segue::backfill
