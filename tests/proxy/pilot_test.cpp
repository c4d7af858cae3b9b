// `segue auto` inside the program: verbs through the operator's thread, requests, what is kept.

#include "proxy/pilot.hpp"

#include <gtest/gtest.h>

#include <array>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/proxy/fake_world.hpp"
#include "tests/support/process.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using segue::test::eventually;

// Both databases' rows; outlives the programs.
struct Rows {
    std::mutex mutex;
    std::array<std::optional<backfill::StoredPlan>, 2> rows;
    std::array<bool, 2> down = {false, false};

    void set_down(Side side, bool is_down) {
        const std::lock_guard lock{mutex};
        down[index(side)] = is_down;
    }
};

class FakePlanStore : public backfill::PlanStore {
public:
    explicit FakePlanStore(Rows& rows) : rows_(rows) {}
    Result<std::optional<backfill::StoredPlan>> read(Side side) override {
        const std::lock_guard lock{rows_.mutex};
        if (rows_.down[index(side)]) return Error{Errc::closed, "away"};
        const auto& row = rows_.rows[index(side)];
        seen_[index(side)] = row ? row->revision : 0;
        return row;
    }
    Status write(Side side, const backfill::StoredPlan& plan) override {
        const std::lock_guard lock{rows_.mutex};
        if (rows_.down[index(side)]) return Error{Errc::closed, "away"};
        auto& row = rows_.rows[index(side)];
        const std::uint64_t now = row ? row->revision : 0;
        if (row && row->writer != plan.writer && now != seen_[index(side)])
            return Error{Errc::refused, "another's"};
        row = plan;
        seen_[index(side)] = plan.revision;
        return Done{};
    }

private:
    Rows& rows_;
    std::array<std::uint64_t, 2> seen_ = {0, 0};
};

// A migration that does as it is told, while clients go on.
struct Life : OperatorWork {
    bool recover() override { return true; }
    bool tick() override { return true; }
    VerbResult run(const std::string& verb, const json& arguments) override {
        const std::lock_guard lock{mutex};
        verbs.push_back(verb + " by " + arguments.value("asked_by", "?"));
        if (verb == refuses) return VerbResult::refused("not\nnow");
        router::Course& course = view.where.course;
        if (verb == "start") view.where.begun = view.where.consistent = true;
        if (verb == "verify") view.where.verified_equal = true;
        if (verb == "shadow") course.shadow_percent = arguments["percent"];
        if (verb == "shift") course.shift_percent = arguments["percent"];
        return VerbResult::done("");
    }
    AutoView look() {
        const std::lock_guard lock{mutex};
        router::Counters& sums = view.figures.counters;
        for (auto* sum : {&sums.compared, &sums.served, &sums.transactions, &sums.requests})
            *sum = sum->value_or(0) + 50;
        if (silent) sums.compared = 50;
        sums.different = sums.fallbacks = sums.errors = 0;
        sums.follower_there = true;
        sums.lag_seconds = 0.1;
        return view;
    }
    void set_silent(bool is_silent) {
        const std::lock_guard lock{mutex};
        silent = is_silent;
    }
    void close(const std::string& why) {
        const std::lock_guard lock{mutex};
        view.closed = why;
    }
    std::vector<std::string> asked() {
        const std::lock_guard lock{mutex};
        return verbs;
    }

    std::mutex mutex;
    AutoView view;
    std::string refuses;
    bool silent = false;
    std::vector<std::string> verbs;
};

struct Program {
    Program(Life& of, Rows& rows)
        : life(of),
          operator_thread(life),
          pilot({[this] { return life.look(); },
                 operator_thread,
                 journal,
                 std::make_unique<FakePlanStore>(rows)}) {
        operator_thread.start();
        pilot.start();
    }
    ~Program() {
        pilot.stop();
        operator_thread.stop();
    }
    // What it holds in the databases is known only after its first look.
    VerbResult post(const std::string& text) {
        Result<std::uint64_t> number = Error{Errc::timed_out, "never asked"};
        EXPECT_TRUE(eventually(60s, [&] {
            number = pilot.post(text, "p.toml", "ann");
            return number || number.error().code != Errc::timed_out;
        }));
        return answer(number);
    }
    // Of what was asked for, once there is one.
    VerbResult answer(const Result<std::uint64_t>& number) {
        if (!number) return VerbResult::refused(number.error().detail);
        EXPECT_TRUE(eventually(60s, [&] {
            const auto view = pilot.answer(*number);
            return view && view->result;
        }));
        const auto view = pilot.answer(*number);
        return view && view->result ? *view->result : VerbResult::refused("no answer");
    }
    bool wait(const std::string& key, const json& value) {
        return eventually(60s, [&] {
            const json told = auto_json(pilot.report());
            return told.is_object() && told.at(key) == value;
        });
    }

    Life& life;
    test::FakeJournal journal;
    Operator operator_thread;
    Pilot pilot;
};

const std::string short_plan =
    "[plan]\ninterval_seconds = 0.1\nwindow_seconds = 0.2\nretry_seconds = 0.1\n"
    "[guardrails]\nsamples_min = 10\n"
    "[[step]]\ndo = \"start\"\n[[step]]\ndo = \"verify\"\n"
    "[[step]]\ndo = \"shadow\"\npercent = 100\nwatch_seconds = 0.2\n"
    "[[step]]\ndo = \"shift\"\npercent = 50\nwatch_seconds = 0.2\n";

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
    EXPECT_TRUE(eventually(60s, [&] {
        const std::lock_guard lock{rows.mutex};
        return rows.rows[0] && rows.rows[0] == rows.rows[1] && rows.rows[0]->plan == short_plan &&
               parse_state(rows.rows[0]->state)->stance == router::Stance::done;
    }));
}

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
