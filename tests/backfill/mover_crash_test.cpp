// kill -9 of a mover at its named points, again and again, under a workload: afterwards both sides
// are equal. The mover runs in a child that is this same program.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/process.hpp"
#include "tests/support/workload.hpp"

namespace segue::backfill {
namespace {

// Only run by the tests below: a mover that goes on until it is killed or its parent ends.
TEST(MoverChild, DISABLED_Run) {
    MoverSettings settings;
    settings.migration = std::getenv("MOVER_MIGRATION");
    settings.url[0] = std::getenv("MOVER_SOURCE");
    settings.url[1] = std::getenv("MOVER_TARGET");
    const auto mover = make_postgres_mover(settings);
    ControlRecord record;
    record.migration = settings.migration;
    record.migration_id = "id" + settings.migration;
    record.backfill = std::string{std::getenv("MOVER_BACKFILL")} == "consistent"
                          ? router::Backfill::consistent
                          : router::Backfill::copying;
    ASSERT_TRUE(mover->start(record));
    test::within(std::chrono::minutes{5}, [] { return false; });
}

class MoverCrash : public MoverTest {
protected:
    test::Child child(const std::string& crash_at) {
        test::Command command;
        command.arguments = {"/proc/self/exe",
                             "--gtest_also_run_disabled_tests",
                             "--gtest_filter=MoverChild.DISABLED_Run"};
        command.environment = {
            {"MOVER_MIGRATION", migration},
            {"MOVER_SOURCE", databases->url(Side::source)},
            {"MOVER_TARGET", databases->url(Side::target)},
            {"MOVER_BACKFILL",
             databases->value(Side::source, "SELECT backfill FROM segue.control")},
            {"SEGUE_CRASH_AT", crash_at},
            {"GTEST_TOTAL_SHARDS", "1"},  // Also where this program runs a part of its tests.
            {"GTEST_SHARD_INDEX", "0"}};
        return test::Child{command, log_folder_ / "child.log", SIGKILL};
    }

    // Lets a child run into the point, where it kills itself; false when it never gets there.
    bool crash(const std::string& point) {
        test::Child running = child(point);
        return running.wait(60s) == 128 + SIGKILL;
    }

    void TearDown() override {
        MoverTest::TearDown();
        std::filesystem::remove_all(log_folder_);
    }
    std::filesystem::path log_folder_ = test::make_folder("mover-crash-");
};

TEST_F(MoverCrash, EveryNamedInstantOfCopyingAndApplyingIsSurvived) {
    test::create_workload_schema(databases->url(Side::source), 2);
    databases->run(Side::source,
                   "CREATE TABLE public.many (id int PRIMARY KEY, body text);"
                   " INSERT INTO public.many SELECT i, repeat('x', 300)"
                   " FROM generate_series(1, 60000) i; ANALYZE public.many;"
                   " CREATE TABLE public.locked (id int PRIMARY KEY)");
    test::WorkloadOptions options;
    options.url = databases->url(Side::source);
    options.workers = 3;
    test::Workload workload{options};
    prepare();
    workload.start();
    const auto crash_at_each = [&](std::initializer_list<const char*> points) {
        for (const char* const point : points)
            EXPECT_TRUE(crash(point)) << point << " was not reached";
    };
    {
        // A table that cannot be read keeps the copy from ending before every point of it was met.
        test::Sql lock{databases->url(Side::source)};
        lock.query("BEGIN; LOCK TABLE public.locked");
        crash_at_each({"copy.after_open:2",
                       "copy.after_read:3",
                       "copy.before_loaded:4",
                       "copy.after_loaded:2",
                       "apply.before_commit:5",
                       "apply.after_commit:5",
                       "apply.before_confirm",
                       "apply.after_confirm"});
    }
    crash_at_each({"copy.before_reverse_slot",
                   "copy.before_reverse_progress",
                   "copy.after_reverse_slot",
                   "copy.before_consistent",
                   "copy.after_consistent",
                   "apply.before_commit:20",
                   "apply.after_commit:20",
                   "apply.after_confirm:2"});
    start();
    wait_consistent();
    ASSERT_TRUE(workload.wait_for_more(200));
    workload.stop();
    catch_up();
    expect_same();
    test::expect_journal(databases->url(Side::target), workload.journal());
}

// Law 4 made deterministic: commits stay invisible while chunks are opened.
TEST_F(MoverCrash, ChunksAreExactWhileCommitsAreInvisible) {
    databases->run(Side::source,
                   "CREATE TABLE public.t (id int PRIMARY KEY, n int);"
                   " INSERT INTO public.t SELECT i, 0 FROM generate_series(1, 200) i");
    for (int i = 0; i < 12; ++i) {
        databases->run(Side::source,
                       "CREATE TABLE public.t" + std::to_string(i) +
                           " AS TABLE public.t; ALTER TABLE public.t" + std::to_string(i) +
                           " ADD PRIMARY KEY (id)");
    }
    prepare();
    std::atomic<bool> over{false};
    constexpr int writers = 3;
    const auto write = [&](int writer) {
        test::Sql sql{databases->url(Side::source)};
        for (int i = writer * 1000; !over; ++i) {
            const std::string table = "public.t" + std::to_string(i % 12);
            const std::string id =
                std::to_string(1 + i * 7 % 66 * writers + writer);  // No two writers share one.
            sql.query("UPDATE " + table + " SET n = n + 1 WHERE id = " + id);
            sql.query("DELETE FROM " + table + " WHERE id = " + id);
            sql.query("INSERT INTO " + table + " VALUES (" + id + ", " + std::to_string(i) + ")");
        }
    };
    const auto gap = [&] {
        test::PostgresServer& server = test::Databases::server(Side::source);
        test::Sql control{server.socket_url("postgres")};
        control.query("SET synchronous_commit = local");
        const auto set = [&](const std::string& names) {
            control.query("ALTER SYSTEM SET synchronous_standby_names = " + names);
            control.query("SELECT pg_reload_conf()");
        };
        while (!over) {
            set("'nobody'");
            test::within(300ms, [&] { return over.load(); });
            set("''");
            test::within(50ms, [&] { return over.load(); });
        }
        set("''");
    };
    {
        std::vector<std::jthread> threads;
        for (int writer = 0; writer < writers; ++writer) threads.emplace_back(write, writer);
        threads.emplace_back(gap);
        start();
        wait_consistent(30s);
        over = true;
    }
    if (HasFatalFailure()) return;
    catch_up();
    expect_same();
    EXPECT_TRUE(mover->status().problems.empty()) << problems();
}

TEST_F(MoverCrash, ASlotBeyondTheDurableMarkMakesTheCopyInvalid) {
    databases->run(Side::source, "CREATE TABLE public.t (id int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    mover.reset();
    // As if a backup of the target had been restored.
    auto target = databases->open(Side::target, "id" + migration);
    ASSERT_TRUE(target.execute(
        "UPDATE segue.progress SET restart = '0/1', applied = '0/1' WHERE stream = 'source'"));
    start();
    EXPECT_TRUE(test::eventually(20s, [&] {
        return problems().find("the copy is invalid") != std::string::npos;
    })) << problems();
}

TEST_F(MoverCrash, AtTheCapTheSlotIsGivenUpAndSaidSo) {
    databases->run(
        Side::source,
        "CREATE TABLE public.t (id int, body text); ALTER TABLE public.t REPLICA IDENTITY FULL");
    prepare();
    start();
    wait_consistent();
    mover.reset();
    databases->run(
        Side::source,
        "INSERT INTO public.t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i");
    retained_log_bytes_max = 4 << 20;
    start();
    EXPECT_TRUE(test::eventually(30s, [&] {
        return problems().find("retained_log_mb") != std::string::npos;
    })) << problems();
    EXPECT_EQ(databases->value(
                  Side::source,
                  "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"),
              "0");
}

TEST_F(MoverCrash, ATwinGivesWayToWhoeverQueuesBehindItsLock) {
    databases->run(Side::source, "CREATE TABLE public.t (id int PRIMARY KEY)");
    prepare();
    start();
    wait_consistent();
    auto twin = mover->open_twin("", Clock::now() + 20s);
    ASSERT_TRUE(twin) << twin.error().detail;
    test::Sql sql{databases->url(Side::source)};
    sql.query("SET statement_timeout = '10s'");
    sql.query("TRUNCATE public.t");
    catch_up();
    EXPECT_FALSE((*twin)->query(Side::source, "SELECT 1 FROM public.t", {}, 1));
}

}  // namespace
}  // namespace segue::backfill
