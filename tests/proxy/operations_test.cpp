// What the verbs do and refuse, with their exit codes, over databases, a mover and sessions in
// memory.

#include "proxy/operations.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;
using test::consistent_world;
using test::Desk;
using test::Trouble;
using test::World;

TEST(Operations, RefusesArgumentsOfTheWrongTypeAndGoesOn) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    for (const auto& [verb, arguments] : std::vector<std::pair<std::string, json>>{
             {"mirror", {{"mode", 5}}}, {"finish", {{"unfence", 1}}}, {"verify", {{"last", 1}}}}) {
        EXPECT_EQ(desk.run(verb, arguments).exit_code, 2) << verb;
    }
    EXPECT_EQ(desk.run("pause").exit_code, 0);
}

TEST(Operations, ServeTheSourceWhereNothingIsMoved) {
    World world;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_TRUE(desk.program.traffic.serving);
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::source);
    for (const char* verb :
         {"pause", "resume", "verify", "repair", "rehearse", "cutover", "rollback", "finish"}) {
        SCOPED_TRACE(verb);
        const VerbResult result = desk.run(verb);
        EXPECT_EQ(result.exit_code, 1);
        EXPECT_FALSE(result.text.empty());
    }
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    EXPECT_EQ(desk.run("shadow", {{"percent", 5}}).exit_code, 1);
    EXPECT_EQ(desk.run("dance").exit_code, 2);
}

TEST(Operations, StartBeginsToCopyAndIsIdempotent) {
    World world;
    world.mover_backfill = router::Backfill::copying;
    Desk desk{world};
    desk.operations.start_wait = std::chrono::seconds{5};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("start").exit_code, 0);
    EXPECT_EQ(world.records[0]->backfill, router::Backfill::copying);
    EXPECT_EQ(world.records[0]->knobs.mirror, router::Mirror::async);
    const std::string id = world.records[0]->migration_id;
    EXPECT_EQ(id.size(), 32u);
    EXPECT_EQ(desk.run("start").exit_code, 0);
    EXPECT_EQ(world.records[0]->migration_id, id);
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    EXPECT_EQ(desk.run("shift", {{"percent", 1}}).exit_code, 1);
    EXPECT_EQ(desk.run("cutover").exit_code, 1);

    world.mover_backfill = router::Backfill::consistent;
    desk.operations.tick();
    EXPECT_EQ(world.records[0]->backfill, router::Backfill::consistent);
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
}

// It says so on the source before anybody has asked it; then its server goes away.
TEST(Operations, RememberThatItIsConsistentWhileTheMoverReconnects) {
    World world = consistent_world();
    world.records[0]->backfill = world.records[1]->backfill = router::Backfill::copying;
    world.mover_backfill = router::Backfill::copying;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.mover_backfill = router::Backfill::consistent;
    world.mover_between_runs = true;
    world.mover_failure = "a standby was promoted";
    const VerbResult refused = desk.run("cutover");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("a standby was promoted"), std::string::npos) << refused.text;
    EXPECT_EQ(world.records[0]->backfill, router::Backfill::consistent);
}

TEST(Operations, StartRefusesWhatCheckFindsAndTouchesNothing) {
    World world;
    Desk desk{world};
    desk.findings = {{backfill::Severity::fail,
                      "wal_level",
                      "source",
                      "wal_level is replica",
                      "ALTER SYSTEM SET wal_level = logical"}};
    ASSERT_TRUE(desk.operations.recover());
    const VerbResult result = desk.run("start");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.text.find("wal_level is replica"), std::string::npos);
    EXPECT_NE(result.text.find("ALTER SYSTEM"), std::string::npos);
    EXPECT_FALSE(world.records[0].has_value());
}

TEST(Operations, StartWaitsForPreparedTransactionsAndForNothingElse) {
    World world;
    world.mover_backfill = router::Backfill::copying;
    Desk desk{world};
    desk.operations.start_wait = std::chrono::seconds{60};
    ASSERT_TRUE(desk.operations.recover());
    const backfill::Finding prepared{
        backfill::Severity::fail, "prepared_transaction", "source: transaction 'a'", "open", "..."};
    const backfill::Finding slots{
        backfill::Severity::fail, "replication_slots", "source", "all in use", "..."};
    desk.findings = {prepared, slots};
    EXPECT_EQ(desk.run("start").exit_code, 1);
    EXPECT_EQ(desk.checks, 1);
    desk.findings = {prepared};
    desk.findings_go_after = 3;
    const VerbResult started = desk.run("start");
    EXPECT_EQ(started.exit_code, 0) << started.text;
    EXPECT_EQ(desk.checks, 3);
}

TEST(Operations, StartIsRefusedWhereSessionsAreMovedAtRandom) {
    World world;
    Desk desk{world};
    desk.config.move_percent = 20;
    ASSERT_TRUE(desk.operations.recover());
    const VerbResult result = desk.run("start");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.text.find("move_percent"), std::string::npos);
    EXPECT_FALSE(world.records[0].has_value());
}

TEST(Operations, GoOnAfterAnInterruptedStartWithTheSameMigration) {
    World world;
    world.mover_backfill = router::Backfill::copying;
    Desk desk{world};
    desk.operations.start_wait = std::chrono::seconds{5};
    ASSERT_TRUE(desk.operations.recover());
    backfill::ControlRecord earlier;
    earlier.migration = "segue";
    earlier.migration_id = "chosen before";
    earlier.backfill = router::Backfill::copying;
    world.records[0] = earlier;
    EXPECT_EQ(desk.run("start").exit_code, 0);
    EXPECT_EQ(world.records[1]->migration_id, "chosen before");
}

TEST(Operations, StartDoesNotPrepareAgainWhileTheMoverIsBetweenTwoRuns) {
    World world = consistent_world();
    world.records[0]->backfill = world.records[1]->backfill = router::Backfill::copying;
    world.mover_backfill = router::Backfill::copying;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.mover_between_runs = true;
    world.mover_runs_failed = 1;
    world.mover_failure = "earlier sessions do not end";
    const auto prepared = [&] {
        return std::count(world.names.begin(), world.names.end(), "prepare");
    };
    const VerbResult between = desk.run("start");
    EXPECT_EQ(between.exit_code, 1);
    EXPECT_NE(between.text.find(world.mover_failure), std::string::npos) << between.text;
    world.mover_between_runs = false;
    EXPECT_EQ(desk.run("start").exit_code, 0);
    EXPECT_EQ(prepared(), 0);
}

// Right after `run` or `resume` the streams need a moment.
TEST(Operations, GiveTheMoverAMomentToConnect) {
    for (const auto& [verb, arguments] :
         std::vector<std::pair<std::string, json>>{{"mirror", {{"mode", "sync"}}},
                                                   {"verify", json::object()},
                                                   {"rehearse", json::object()},
                                                   {"cutover", json::object()}}) {
        SCOPED_TRACE(verb);
        World world = consistent_world();
        Desk desk{world};
        ASSERT_TRUE(desk.operations.recover());
        world.mover_connects_after = 4;
        const VerbResult refused = desk.run(verb, arguments);
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE(refused.text.find("the stream of the source is not connected"), std::string::npos)
            << refused.text;
        EXPECT_NE(refused.text.find("segue status"), std::string::npos) << refused.text;
        desk.operations.change_limits.connect = std::chrono::seconds{10};
        world.mover_connects_after = 4;
        const VerbResult done = desk.run(verb, arguments);
        EXPECT_EQ(done.exit_code, 0) << done.text;
    }
}

TEST(Operations, TellOnceWhyTheMoverStartedAnew) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const auto told = [&] {
        const auto& lines = desk.program.journal.lines;
        return std::count(lines.begin(), lines.end(), "mover! the server went away");
    };
    world.mover_failure = "the server went away";
    for (int i = 0; i < 3; ++i) {
        world.mover_between_runs = true;
        ++world.mover_runs_failed;
        desk.operations.tick();
        EXPECT_EQ(told(), 1);
    }
    world.mover_between_runs = false;
    desk.operations.tick();
    ++world.mover_runs_failed;
    desk.operations.tick();
    EXPECT_EQ(told(), 2) << "it had been connected meanwhile";
}

TEST(Operations, AKnobIsOnRecordBeforeItTakesEffect) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(world.records[0]->knobs.mirror, router::Mirror::sync);
    EXPECT_EQ(desk.run("pause").exit_code, 1) << "every commit would wait for ever";
    EXPECT_EQ(desk.run("shadow", {{"percent", 12.5}}).exit_code, 0);
    EXPECT_EQ(desk.program.traffic.shadow_percent.load(), 12.5);
    EXPECT_EQ(desk.run("shift", {{"percent", 101}}).exit_code, 2);
    EXPECT_EQ(desk.run("shift", {{"percent", 50}}).exit_code, 0);
    EXPECT_EQ(world.records[0]->knobs.shift_percent, 50);
    const auto told = [&](const std::string& what) {
        const auto& lines = desk.program.journal.lines;
        return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
            return line.find(what) != line.npos;
        });
    };
    EXPECT_TRUE(told("shadow: done (shadow: 12.5 percent of reads)"));
    EXPECT_TRUE(told("pause: refused or failed ("));

    world.down[0] = true;
    EXPECT_EQ(desk.run("shift", {{"percent", 60}}).exit_code, 1);
    EXPECT_EQ(desk.program.traffic.shift_percent.load(), 50);
    EXPECT_EQ(desk.run("mirror", {{"mode", "async"}}).exit_code, 1);
    EXPECT_TRUE(world.gate);

    // And they survive a restart.
    world.down[0] = false;
    world.gate = false;
    Desk next{world};
    ASSERT_TRUE(next.operations.recover());
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(next.program.traffic.shift_percent.load(), 50);
    EXPECT_EQ(next.program.traffic.shadow_percent.load(), 12.5);

    EXPECT_EQ(world.suspected_none, 0);
    EXPECT_EQ(next.run("shadow", {{"percent", 0}}).exit_code, 0);
    EXPECT_EQ(world.suspected_none, 1) << "what reads have brought up is compared no more";
}

TEST(Operations, CountTheVerbsThatHaveChangedTheCourse) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const auto changes = [&](const std::string& verb, const nlohmann::json& arguments) {
        return desk.run(verb, arguments).course_changes;
    };
    EXPECT_EQ(changes("shadow", {{"percent", 10}}), 1u);
    EXPECT_EQ(changes("shadow", {{"percent", 10}}), 0u) << "it was so already";
    EXPECT_EQ(changes("mirror", {{"mode", "sync"}}), 0u) << "no plan minds";
    EXPECT_EQ(changes("shift", {{"percent", 5}, {"users", {"app"}}}), 1u);
    EXPECT_EQ(changes("shift", {{"percent", 5}, {"everything", true}}), 1u);
    EXPECT_EQ(changes("shift", {{"percent", 101}}), 0u);
    EXPECT_EQ(changes("cutover", nlohmann::json::object()), 1u);
    EXPECT_EQ(desk.board.read().course_changes, 4u);
}

// Who goes by the record that a lost side leaves believes that both have what was acknowledged.
TEST(Operations, SyncIsOnRecordOnlyOnceTheFollowerHasWhatWasAcknowledgedBeforeTheGate) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.tickets_stuck_behind_gate = 1;
    const VerbResult refused = desk.run("mirror", {{"mode", "sync"}});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("too far behind"), std::string::npos) << refused.text;
    EXPECT_FALSE(world.gate) << "nobody waits for what is not promised";
    EXPECT_EQ(world.records[0]->knobs.mirror, router::Mirror::async);
    // With time left it is tried again.
    desk.operations.sync_wait = std::chrono::minutes{1};
    world.tickets_stuck_behind_gate = 2;
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    EXPECT_TRUE(world.gate);
    EXPECT_EQ(world.records[0]->knobs.mirror, router::Mirror::sync);
}

TEST(Operations, WhatMayBeOnRecordAsSyncIsKept) {
    World world = consistent_world();
    int written_at = -1;
    {
        World same = consistent_world();
        Desk desk{same};
        ASSERT_TRUE(desk.operations.recover());
        ASSERT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
        for (int call = 0; call < same.calls; ++call) {
            if (same.names[static_cast<std::size_t>(call)] == "compare_and_set") written_at = call;
        }
    }
    ASSERT_GE(written_at, 0);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.trouble_at = written_at;
    world.trouble = Trouble::lost_written;
    world.second_at = written_at + 1;  // And the record cannot be read then.
    world.second = Trouble::error;
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 1);
    EXPECT_EQ(world.records[0]->knobs.mirror, router::Mirror::sync);
    EXPECT_TRUE(world.gate);
}

TEST(Operations, CutoverAndRollbackTellWhatTheyCostAndRefuseToRepeatThemselves) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("rollback").exit_code, 1);
    const VerbResult rehearsed = desk.run("rehearse");
    EXPECT_EQ(rehearsed.exit_code, 0) << rehearsed.text;
    EXPECT_EQ(desk.board.read().last_change->kind, "rehearsal");
    const VerbResult cutover = desk.run("cutover");
    EXPECT_EQ(cutover.exit_code, 0) << cutover.text;
    EXPECT_NE(cutover.text.find("2.0 ms"), std::string::npos);
    EXPECT_EQ(cutover.details["longest_wait_ms"], 1.5);
    EXPECT_EQ(desk.board.read().record->authority, Side::target);
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    EXPECT_EQ(desk.run("rollback").exit_code, 0);
    EXPECT_EQ(desk.board.read().record->authority, Side::source);
    EXPECT_EQ(desk.board.read().record->epoch, 6u);
    EXPECT_EQ(desk.board.read().last_change->kind, "rollback");
}

TEST(Operations, AChangeThatIsGivenUpSaysWhyAndIsAnAbort) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.strays[1] = 2;
    const VerbResult result = desk.run("cutover");
    EXPECT_EQ(result.exit_code, 1);
    const BoardState state = desk.board.read();
    EXPECT_EQ(state.last_change->kind, "abort");
    EXPECT_FALSE(state.last_change->ok);
    EXPECT_FALSE(state.last_change->hold.has_value());
    EXPECT_EQ(state.record->authority, Side::source);
}

TEST(Operations, StartIsDoneAlreadyWhileTheOtherSideIsAway) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.down[1] = true;
    world.mover_between_runs = true;
    const VerbResult again = desk.run("start");
    EXPECT_EQ(again.exit_code, 0) << again.text;
    EXPECT_NE(again.text.find("the target cannot be reached"), std::string::npos) << again.text;
    world.down[1] = false;
    world.records[1].reset();
    EXPECT_EQ(desk.run("start").exit_code, 1) << "another database is configured";
}

TEST(Operations, FinishLeavesATombstoneThatServesTheRightSide) {
    World world = consistent_world(Side::target, 7);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    world.down[0] = true;
    EXPECT_EQ(desk.run("finish").exit_code, 1);
    EXPECT_TRUE(world.gate) << "a finish that is refused gives nothing up";
    EXPECT_TRUE(world.mover_started);
    world.down[0] = false;
    EXPECT_EQ(desk.run("finish").exit_code, 0);
    EXPECT_FALSE(world.gate);
    EXPECT_FALSE(world.mover_started);
    EXPECT_TRUE(world.fence_closed[0]);
    const VerbResult again = desk.run("finish");
    EXPECT_EQ(again.exit_code, 0);
    EXPECT_TRUE(again.text.starts_with("finished already")) << again.text;
    EXPECT_EQ(std::count(world.names.begin(), world.names.end(), "finish"), 2)
        << "what an earlier one has left is put back";
    for (const char* verb : {"start", "cutover", "rollback", "pause", "verify"})
        EXPECT_EQ(desk.run(verb).exit_code, 1) << verb;

    world.down[1] = true;  // The tombstone on the source alone says where to go.
    Desk next{world};
    ASSERT_TRUE(next.operations.recover());
    EXPECT_EQ(next.program.traffic.authority.load(), Side::target);
    EXPECT_EQ(next.program.traffic.epoch.load(), 7u);
    EXPECT_FALSE(world.mover_started);
    EXPECT_EQ(next.run("finish", {{"unfence", true}}).exit_code, 1);
    world.down[1] = false;
    EXPECT_EQ(next.run("finish", {{"unfence", true}}).exit_code, 0);
    EXPECT_FALSE(world.fence_closed[0]);
}

TEST(Operations, ForcedRollbackAsksForTheNameAndIsAboveEveryEpoch) {
    World world = consistent_world(Side::target, 5);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const json force = {{"force", true}, {"confirm", "segue"}};
    EXPECT_EQ(desk.run("rollback", force).exit_code, 1) << "the target answers";
    world.down[1] = true;
    const auto hinted = desk.run("rollback");
    EXPECT_EQ(hinted.exit_code, 1);
    EXPECT_NE(hinted.text.find("segue rollback --force"), std::string::npos) << hinted.text;
    const auto asked = desk.run("rollback", {{"force", true}});
    EXPECT_EQ(asked.exit_code, 1);
    EXPECT_EQ(asked.details.value("confirm", ""), "segue");
    EXPECT_EQ(desk.run("rollback", {{"force", true}, {"confirm", "other"}}).exit_code, 1);
    world.fence_closed[1] = true;  // That is: isolated.
    EXPECT_EQ(desk.run("rollback", force).exit_code, 0);
    EXPECT_EQ(world.records[0]->authority, Side::source);
    EXPECT_EQ(world.records[0]->epoch, 5 + forced_epoch_step);
    EXPECT_FALSE(world.fence_closed[0]);
    EXPECT_EQ(desk.program.traffic.authority.load(), Side::source);
    EXPECT_FALSE(world.held);
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    desk.operations.tick();
    EXPECT_FALSE(world.mover_started) << "there is nothing to follow any more";
}

TEST(Operations, WaitForADatabaseThatRecoveryNeedsAndSayWhich) {
    World world = consistent_world(Side::target);
    world.down[1] = true;
    Desk desk{world};
    EXPECT_FALSE(desk.operations.recover());
    EXPECT_FALSE(desk.program.traffic.serving);
    EXPECT_NE(desk.board.read().waiting_for.find("target"), std::string::npos);
    EXPECT_EQ(desk.board.read().unreachable, "the target cannot be reached");
    world.down[0] = true;
    EXPECT_FALSE(desk.operations.recover());
    EXPECT_EQ(desk.board.read().unreachable, "the source and the target cannot be reached");
    world.down[0] = world.down[1] = false;
    EXPECT_TRUE(desk.operations.recover());
    EXPECT_TRUE(desk.program.traffic.serving);
    EXPECT_EQ(desk.board.read().unreachable, "");

    World source = consistent_world();
    source.down[1] = true;
    Desk other_desk{source};
    EXPECT_TRUE(other_desk.operations.recover())
        << "the source says that it is the authority: it is believed alone";
}

TEST(Operations, AreRefusedWithAnotherDatabaseThanTheOneThatIsMoved) {
    World world = consistent_world();
    world.records[1].reset();
    Desk desk{world};
    EXPECT_TRUE(desk.operations.recover()) << "the application is served";
    for (const char* verb : {"start", "finish"}) {
        const VerbResult refused = desk.run(verb);
        EXPECT_EQ(refused.exit_code, 1) << verb;
        EXPECT_NE(refused.text.find("the target holds no record of this migration"),
                  std::string::npos)
            << refused.text;
    }
    EXPECT_EQ(world.records[0]->phase, router::Phase::steady);
}

TEST(Operations, SayThatTheSidesAreSwapped) {
    World world = consistent_world();
    std::swap(world.records[0], world.records[1]);
    Desk desk{world};
    EXPECT_FALSE(desk.operations.recover());
    EXPECT_FALSE(desk.program.traffic.serving);
    EXPECT_NE(desk.board.read().waiting_for.find("the source's URL leads to the target"),
              std::string::npos)
        << desk.board.read().waiting_for;
}

TEST(Operations, DoNotBelieveAPromotedStandbyAlone) {
    World world = consistent_world();
    world.promoted[0] = true;
    world.down[1] = true;
    Desk desk{world};
    EXPECT_FALSE(desk.operations.recover());
    EXPECT_EQ(desk.board.read().unreachable, "") << "what is not known yet is waited for";
    world.down[1] = false;
    EXPECT_TRUE(desk.operations.recover());
}

TEST(Operations, RefuseTheRecordsOfAnotherMigration) {
    World world = consistent_world();
    world.records[1]->migration = "other";
    Desk desk{world};
    EXPECT_FALSE(desk.operations.recover());
    EXPECT_NE(desk.board.read().waiting_for.find("\"other\""), std::string::npos);
}

}  // namespace
}  // namespace segue::proxy
