// `segue auto` inside the program: verbs through the operator's thread, and what is kept.

#include "proxy/pilot.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/proxy/pilot_rig.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using segue::test::eventually;
using test::Life;
using Program = test::PilotProgram;
using test::Rows;
using test::short_plan;

TEST(Pilot, FollowsAPlanByVerbsAndKeepsWhereItIs) {
    Rows rows;
    Life life;
    Program program{life, rows};
    EXPECT_FALSE(program.pilot.pause("ann"));
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("state", "done"));
    EXPECT_EQ(life.asked(),
              (std::vector<std::string>{
                  "start by auto", "verify by auto", "shadow by auto", "shift by auto"}));
    EXPECT_TRUE(program.wait("code", "done"));
    const json told = auto_details_json(program.pilot.report());
    EXPECT_TRUE(decision_text(told["decisions"].back()).ends_with("Z  the plan is through"))
        << told;
    EXPECT_TRUE(eventually(60s, [&] {
        const std::lock_guard lock{rows.mutex};
        return rows.rows[0] && rows.rows[0] == rows.rows[1] && rows.rows[0]->plan == short_plan &&
               parse_state(rows.rows[0]->state)->stance == router::Stance::done;
    }));
}

TEST(Pilot, HoldsWhileComparisonsAreSilent) {
    Rows rows;
    Life life;
    Program program{life, rows};
    life.set_silent(true);
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("code", "compared"));
    EXPECT_EQ(program.pilot.report()->outcome, router::Direction::hold);
    {
        const std::lock_guard lock{life.mutex};
        life.silent = false;
    }
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, ARefusedVerbIsAReasonToHold) {
    Rows rows;
    Life life;
    life.refuses = "shift";
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("reason", "`segue shift` was refused: not now"));
    const std::lock_guard lock{life.mutex};
    EXPECT_EQ(life.view.where.course.shift_percent, 0);
}

// Who may only read sees the plan, and the rows that a verification lists are the application's.
TEST(Pilot, TellsNoMoreThanTheFirstLineOfAVerification) {
    Rows rows;
    Life life;
    life.refuses = "verify";
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("reason", "`segue verify` was refused: not"));
}

TEST(Pilot, PausesWhenSomebodyElseChangesTheCourse) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("step", "shadow 100 %"));
    ASSERT_TRUE(program.wait("code", "compared"));
    {
        const std::lock_guard lock{life.mutex};
        life.view.where.course.shadow_percent = 3;
    }
    ASSERT_TRUE(program.wait("paused_because", "taken_over"));
    EXPECT_EQ(program.answer(program.pilot.resume("ann")).text, "resumed");
    ASSERT_TRUE(program.wait("state", "running"));
}

TEST(Pilot, PausesWhenAnotherSegueChangesTheCourseWhileItsOwnVerbRuns) {
    Rows rows;
    Life life;
    life.during_verb = [&](const std::string& verb) {
        const std::lock_guard lock{life.mutex};
        if (verb == "shadow") ++life.view.where.course_changes;
    };
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("paused_because", "taken_over"));
    EXPECT_EQ(life.asked().back(), "shadow by auto");
}

// There and back within one look of the pilot's, whichever of them it is.
TEST(Pilot, NoticesAHandThatComesAndGoesWhileItLooks) {
    for (const int look : {1, 2}) {
        SCOPED_TRACE(look);
        Rows rows;
        Life life;
        life.silent = true;
        Program program{life, rows};
        life.hand = [&] {
            for (const double percent : {1.0, 100.0})
                EXPECT_EQ(program.by_hand("shadow", {{"percent", percent}}).exit_code, 0);
        };
        // The step before has been good, and the next one's verb is about to be given.
        bool about_to = false;
        rows.on_write = [&](const backfill::StoredPlan& plan) {
            const bool was_about_to = about_to;
            about_to = parse_state(plan.state)->step == 3;
            if (about_to && !was_about_to) life.looks_until_hand = look;
        };
        ASSERT_EQ(program.post(short_plan).exit_code, 0);
        ASSERT_TRUE(program.wait("code", "compared"));
        life.set_silent(false);
        ASSERT_TRUE(program.wait("paused_because", "taken_over"));
        EXPECT_EQ(life.asked(),
                  (std::vector<std::string>{"start by auto",
                                            "verify by auto",
                                            "shadow by auto",
                                            "shadow by bob",
                                            "shadow by bob"}));
    }
}

// Of what a verb has changed through a Segue that stood by, the other one's plan has known since.
TEST(Pilot, WhatWasDoneByHandWhileAnotherSegueMovedIsOlderThanItsPlan) {
    Rows rows;
    Life life;
    life.silent = true;
    {
        Program program{life, rows};
        ASSERT_EQ(program.post(short_plan).exit_code, 0);
        ASSERT_TRUE(program.wait("code", "compared"));
    }
    life.close("another moves", true);
    Program program{life, rows};
    for (const double percent : {5.0, 100.0})
        ASSERT_EQ(program.by_hand("shadow", {{"percent", percent}}).exit_code, 0);
    life.close("another still moves", true);
    ASSERT_TRUE(program.wait("reason", "unknown: another still moves"));
    life.close("");
    ASSERT_TRUE(program.wait("code", "compared"));
    ASSERT_EQ(auto_json(program.pilot.report())["state"], "running");
    ASSERT_EQ(program.by_hand("shadow", {{"percent", 5.0}}).exit_code, 0);
    ASSERT_EQ(program.by_hand("shadow", {{"percent", 100.0}}).exit_code, 0);
    EXPECT_TRUE(program.wait("paused_because", "taken_over"));
}

// So many others were given meanwhile that how its own verb ended is forgotten.
TEST(Pilot, GoesOnWhereTheResultOfItsVerbIsLost) {
    Rows rows;
    Life life;
    Program program{life, rows};
    std::atomic<bool> crowded = false;
    life.hand = [&] {
        for (std::size_t i = 0; i < results_kept_max; ++i)
            EXPECT_EQ(program.by_hand("verify", json::object()).exit_code, 0);
        crowded = true;
    };
    life.during_verb = [&](const std::string& verb) {
        if (verb == "shadow") life.looks_until_hand = 1;
    };
    ASSERT_EQ(program.post(short_plan).exit_code, 0);
    EXPECT_TRUE(program.wait("state", "done"));
    EXPECT_TRUE(crowded);
}

TEST(Pilot, ARestartGoesOnOrStaysPaused) {
    Rows rows;
    Life life;
    life.silent = true;
    {
        Program program{life, rows};
        ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
        ASSERT_TRUE(program.wait("code", "compared"));
    }
    {
        Program program{life, rows};
        ASSERT_TRUE(program.wait("step", "shadow 100 %"));
        EXPECT_EQ(program.answer(program.pilot.pause("ann")).text, "paused");
    }
    life.silent = false;
    Program program{life, rows};
    ASSERT_TRUE(program.wait("reason", "paused by ann"));
    EXPECT_EQ(program.answer(program.pilot.resume("ann")).text, "resumed");
    ASSERT_TRUE(program.wait("state", "done"));
}

// It has written nothing of what its shift was limited to: nobody has taken it over for that.
TEST(Pilot, APlanOfAnEarlierBuildGoesOnWithinTheLimitsOfItsShift) {
    const auto stored = [](const std::string& step, const std::string& pause) {
        return backfill::StoredPlan{
            3,
            short_plan + "[[step]]\ndo = \"cutover\"\nconfirm = true\n",
            R"({"step":)" + step + R"(,"stance":)" + (pause.empty() ? "1" : "0") + R"(,"pause":")" +
                pause + R"(","why":"of before","authority":"source",)" +
                R"("shadow_percent":100,"shift_percent":50,"paused":false,"finished":false})",
            ""};
    };
    Life life;
    life.view.where.begun = life.view.where.consistent = life.view.where.verified_equal = true;
    life.view.where.course.shadow_percent = 100;
    life.view.where.course.shift_percent = 50;
    life.view.where.course.shift_scope.users = {"app"};
    {
        SCOPED_TRACE("under way");
        Rows rows;
        for (auto& row : rows.rows) row = stored("3", "");
        Program program{life, rows};
        EXPECT_TRUE(program.wait("paused_because", "confirm"));
        EXPECT_EQ(program.pilot.report()->step, "cutover");
    }
    SCOPED_TRACE("paused before a step that asks for a word");
    Rows rows;
    for (auto& row : rows.rows) row = stored("4", "confirm");
    Program program{life, rows};
    ASSERT_TRUE(program.wait("paused_because", "confirm"));
    EXPECT_EQ(program.pilot.report()->reason, "of before");
    EXPECT_EQ(program.answer(program.pilot.resume("ann")).text, "resumed");
    EXPECT_TRUE(eventually(
        60s, [&] { return life.asked() == std::vector<std::string>{"cutover by auto"}; }));
}

TEST(Pilot, DoesNothingBeforeBothRowsCanBeReadAndSaysSo) {
    Rows rows;
    Life life;
    life.silent = true;
    {
        Program program{life, rows};
        ASSERT_EQ(program.post(short_plan).exit_code, 0);
        ASSERT_TRUE(program.wait("code", "compared"));
    }
    rows.down[1] = true;
    Program program{life, rows};
    ASSERT_TRUE(program.wait("state", "unknown"));
    const auto told = program.pilot.report();
    EXPECT_TRUE(told->reason.starts_with("unknown until the target answers")) << told->reason;
    EXPECT_EQ(told->step, "shadow 100 %") << "what the other side keeps";
    const auto refused = program.pilot.pause("ann");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::timed_out);
    EXPECT_NE(refused.error().detail.find("until the target answers"), std::string::npos);
    life.set_silent(false);
    rows.set_down(Side::target, false);
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, SaysThatAPlanOnRecordIsBeyondItAndTakesANewOne) {
    Rows rows;
    for (auto& row : rows.rows) row = backfill::StoredPlan{3, "[plan]\nfrom_later = 1\n", "{}", ""};
    Life life;
    life.view.where.begun = true;
    Program program{life, rows};
    ASSERT_TRUE(program.wait("state", "unknown"));
    ASSERT_TRUE(eventually(60s, [&] {
        const auto report = program.pilot.report();
        return report && report->reason.find("cannot read the plan") != std::string::npos;
    }));
    EXPECT_EQ(program.post(short_plan).text, "the plan auto begins");
    EXPECT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, DoesNothingThatIsNotOnRecord) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).exit_code, 0);
    ASSERT_TRUE(program.wait("code", "compared"));
    rows.set_down(Side::source, true);
    life.set_silent(false);
    ASSERT_TRUE(program.wait("code", "unsaved"));
    EXPECT_EQ(life.asked(),
              (std::vector<std::string>{"start by auto", "verify by auto", "shadow by auto"}));
    rows.set_down(Side::source, false);
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, WhatAnotherSegueHasWrittenSinceCounts) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).exit_code, 0);
    ASSERT_TRUE(program.wait("code", "compared"));
    {
        // Its revision is not above ours: it has read less often than we have tried to write.
        const std::lock_guard lock{rows.mutex};
        router::AutopilotState state = *parse_state(rows.rows[0]->state);
        state.pause = router::Pause::asked;
        state.why = "paused by bob";
        for (auto& row : rows.rows)
            row = backfill::StoredPlan{row->revision + 1,
                                       "[plan]\nname = \"other\"\n" + short_plan.substr(7),
                                       state_text(state),
                                       "another"};
    }
    life.set_silent(false);  // It would go on now.
    ASSERT_TRUE(program.wait("plan", "other"));
    EXPECT_EQ(program.pilot.report()->reason, "paused by bob");
    EXPECT_EQ(life.asked(),
              (std::vector<std::string>{"start by auto", "verify by auto", "shadow by auto"}));
}

}  // namespace
}  // namespace segue::proxy
