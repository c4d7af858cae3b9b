#pragma once
// A migration between two real servers without the proxy, for tests of the mover.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "backfill/change_steps.hpp"
#include "backfill/mover.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/compare.hpp"

namespace segue::backfill {

using namespace std::chrono_literals;

class MoverTest : public ::testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<test::Databases>();
        migration = databases->database();
    }

    void TearDown() override {
        mover.reset();
        if (!databases) return;
        for (const Side side : {Side::source, Side::target}) {
            const std::string slots =
                " FROM pg_replication_slots WHERE database = current_database()";
            // The server may still be ending the session that read it.
            EXPECT_TRUE(test::eventually(30s, [&] {
                return databases->value(side, "SELECT count(*)" + slots + " AND active") == "0";
            }));
            databases->run(side, "SELECT pg_drop_replication_slot(slot_name)" + slots);
        }
    }

    void prepare() {
        const Status prepared = try_to_prepare();
        ASSERT_TRUE(prepared) << prepared.error().detail;
    }

    // Once more, it goes on where it was refused.
    Status try_to_prepare() {
        ServerSettings settings;
        settings.migration = migration;
        settings.url[0] = databases->url(Side::source, user, password);
        settings.url[1] = databases->url(Side::target, user, password);
        settings.carry_ddl = carry_ddl;
        steps = make_postgres_change_steps(settings);
        record.migration = migration;
        record.migration_id = "id" + migration;
        record.backfill = router::Backfill::copying;
        record.knobs.mirror = router::Mirror::async;
        return steps->prepare(record);
    }

    void start() {
        MoverSettings settings;
        settings.migration = migration;
        settings.url[0] = databases->url(Side::source, user, password);
        settings.url[1] = databases->url(Side::target, user, password);
        settings.retained_log_bytes_max = retained_log_bytes_max;
        mover = make_postgres_mover(settings);
        auto stored = steps->control(Side::source).read();
        ASSERT_TRUE(stored && *stored);
        const Status started = mover->start(**stored);
        ASSERT_TRUE(started) << started.error().detail;
    }

    std::string problems() const {
        std::string text;
        for (const std::string& problem : mover->status().problems) text += problem + "\n";
        for (const TableProgress& table : mover->status().tables) {
            if (table.state != "loaded" && table.state != "consistent")
                text += table.name + " " + table.state + "\n";
        }
        return text;
    }

    void wait_consistent(std::chrono::seconds limit = 90s) {
        const bool done = test::eventually(
            limit, [&] { return mover->status().backfill == router::Backfill::consistent; });
        ASSERT_TRUE(done) << problems();
    }

    // The follower has everything that the authority has now.
    void catch_up(Side authority = Side::source) {
        const auto end = steps->commit_ticket(authority);
        ASSERT_TRUE(end);
        // A mover that was just started may still be opening its streams.
        ASSERT_TRUE(test::eventually(60s, [&] { return bool{mover->nudge(authority)}; }))
            << problems();
        ASSERT_TRUE(
            mover->applied(authority).wait_for(*end, Clock::now() + 60s * test::busy_factor))
            << problems();
    }

    void expect_same() {
        test::expect_equal(databases->url(Side::source), databases->url(Side::target));
    }

    std::unique_ptr<test::Databases> databases;
    std::string migration;
    std::unique_ptr<ChangeSteps> steps;
    std::unique_ptr<Mover> mover;
    ControlRecord record;
    std::uint64_t retained_log_bytes_max = 0;
    bool carry_ddl = false;
    std::string user = "postgres", password = "postgres";  // Segue's.
};

}  // namespace segue::backfill
