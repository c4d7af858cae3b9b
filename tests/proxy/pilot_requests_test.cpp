// What operators ask of `segue auto` is so and on record, or refused, and then nothing of it later.

#include "proxy/pilot.hpp"

#include <gtest/gtest.h>

#include <future>

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

TEST(Pilot, RefusesAPlanThatIsNoneAndAnotherOneWhileOneIsUnderWay) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).text, "the plan auto begins");
    ASSERT_TRUE(program.wait("step", "shadow 100 %"));
    EXPECT_EQ(program.pilot.post("[[step]]\n", "p.toml", "ann").error().code, Errc::bad_value);
    EXPECT_EQ(program.post(short_plan).text, "the plan auto is under way already");
    EXPECT_EQ(program.pilot.post(short_plan + "\n", "p.toml", "ann").error().code, Errc::refused);
    // Once it is answered everybody is told so, and it is on record.
    EXPECT_EQ(program.answer(program.pilot.pause("ann")).text, "paused");
    EXPECT_EQ(auto_json(program.pilot.report())["state"], "paused");
    EXPECT_EQ(program.pilot.report()->reason, "paused by ann");
    EXPECT_EQ(program.answer(program.pilot.pause("bob")).text,
              "it is paused already: paused by ann");
    EXPECT_EQ(program.post(short_plan + "\n").exit_code, 0);
    EXPECT_EQ(auto_json(program.pilot.report())["state"], "running");
    EXPECT_EQ(program.answer(program.pilot.give_up("ann")).exit_code, 0);
    EXPECT_FALSE(program.pilot.report());
    EXPECT_FALSE(program.pilot.resume("ann"));
    const std::lock_guard lock{rows.mutex};
    EXPECT_EQ(rows.rows[0]->plan, "");
}

TEST(Pilot, RefusesWhatCannotBeKeptAndNothingOfItTakesEffectLater) {
    Rows rows;
    Life life;
    life.silent = true;
    life.view.where.begun = life.view.where.consistent = true;
    std::optional<Program> program{std::in_place, life, rows};
    ASSERT_TRUE(eventually(
        60s, [&] { return program->pilot.pause("ann").error().detail == "no plan is under way"; }));
    rows.set_down(Side::source, true);
    EXPECT_NE(program->post(short_plan).text.find("cannot be kept: away"), std::string::npos);
    EXPECT_FALSE(program->pilot.report());
    rows.set_down(Side::source, false);
    EXPECT_EQ(program->post(short_plan).exit_code, 0);
    ASSERT_TRUE(program->wait("code", "compared"));
    {
        SCOPED_TRACE("stop");
        rows.set_down(Side::source, true);
        const VerbResult stopped = program->answer(program->pilot.give_up("ann"));
        EXPECT_EQ(stopped.exit_code, 1);
        EXPECT_NE(stopped.text.find("only paused"), std::string::npos) << stopped.text;
        EXPECT_EQ(auto_json(program->pilot.report())["paused_because"], "asked");
        rows.set_down(Side::source, false);
        // By itself, so that it does not revive.
        ASSERT_TRUE(eventually(60s, [&] {
            const std::lock_guard lock{rows.mutex};
            return parse_state(rows.rows[0]->state)->pause == router::Pause::asked;
        }));
    }
    {
        SCOPED_TRACE("resume");
        rows.set_down(Side::source, true);
        EXPECT_EQ(program->answer(program->pilot.resume("ann")).exit_code, 1);
        EXPECT_EQ(auto_json(program->pilot.report())["state"], "paused");
        rows.set_down(Side::source, false);
        program.reset();
        program.emplace(life, rows);
        ASSERT_TRUE(program->wait("paused_because", "asked"));
    }
    EXPECT_EQ(program->answer(program->pilot.give_up("ann")).exit_code, 0);
    program.reset();
    program.emplace(life, rows);
    ASSERT_TRUE(eventually(60s, [&] {
        return program->pilot.pause("ann").error().detail == "no plan is under way";
    })) << "it does not revive";
}

TEST(Pilot, RefusesWhatIsAskedWhileTheMigrationIsBeingFinished) {
    Rows rows;
    Life life;
    life.view.where.begun = life.view.where.consistent = true;
    std::promise<void> asked;
    auto until_asked = asked.get_future().share();
    life.during_verb = [until_asked](const std::string&) { until_asked.wait(); };
    Program program{life, rows};
    ASSERT_TRUE(eventually(
        60s, [&] { return program.pilot.pause("ann").error().detail == "no plan is under way"; }));
    ASSERT_EQ(program.operator_thread.submit("finish", json::object()).index(), 0u);
    const VerbResult told = program.post(short_plan);
    asked.set_value();
    EXPECT_EQ(told.exit_code, 1);
    EXPECT_NE(told.text.find("`segue finish` is running"), std::string::npos) << told.text;
    EXPECT_FALSE(program.pilot.report());
    const std::lock_guard lock{rows.mutex};
    EXPECT_FALSE(rows.rows[0] || rows.rows[1]) << "nothing of it was kept";
}

// The view is closed between the request and the look that would serve it.
TEST(Pilot, RefusesWhatIsAskedWhileNothingCanBeDecided) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_EQ(program.post(short_plan).exit_code, 0);
    ASSERT_TRUE(program.wait("code", "compared"));
    life.close("the authority is not known yet: clients wait");
    for (const bool pause : {true, false}) {
        const auto number = pause ? program.pilot.pause("ann") : program.pilot.give_up("ann");
        const VerbResult told = program.answer(number);
        EXPECT_EQ(told.exit_code, 1);
        EXPECT_NE(told.text.find("the authority is not known"), std::string::npos) << told.text;
    }
    ASSERT_TRUE(program.wait("code", "closed"));
    life.close("");
    ASSERT_TRUE(program.wait("code", "compared"));
    EXPECT_EQ(auto_json(program.pilot.report())["state"], "running") << "it was not paused later";
    life.set_silent(false);
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, ADryRunTellsAndDoesNothing) {
    Rows rows;
    Life life;
    Program program{life, rows};
    const auto told = program.pilot.dry_run(short_plan, "p.toml");
    ASSERT_TRUE(told) << told.error().detail;
    ASSERT_EQ(told->size(), 4u);
    EXPECT_EQ((*told)[0]["verb"], "segue start");
    EXPECT_EQ((*told)[0]["here"], true);
    EXPECT_EQ((*told)[3]["outcome"], "hold");
    EXPECT_NE(forecast_text(*told).find("> start  `segue start`, then advance"), std::string::npos);
    EXPECT_EQ(life.asked(), std::vector<std::string>{});
    EXPECT_FALSE(program.pilot.dry_run("x", "p.toml"));
}

}  // namespace
}  // namespace segue::proxy
