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
};

class FakePlanStore : public backfill::PlanStore {
public:
    explicit FakePlanStore(Rows& rows) : rows_(rows) {}
    Result<std::optional<backfill::StoredPlan>> read(Side side) override {
        const std::lock_guard lock{rows_.mutex};
        if (rows_.down[index(side)]) return Error{Errc::closed, "away"};
        return rows_.rows[index(side)];
    }
    Status write(Side side, const backfill::StoredPlan& plan) override {
        const std::lock_guard lock{rows_.mutex};
        if (rows_.down[index(side)]) return Error{Errc::closed, "away"};
        auto& row = rows_.rows[index(side)];
        if (row && row->revision >= plan.revision) return Error{Errc::refused, "another's"};
        row = plan;
        return Done{};
    }

private:
    Rows& rows_;
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
        for (auto* sum : {&sums.compared, &sums.served, &sums.transactions})
            *sum = sum->value_or(0) + 50;
        if (silent) sums.compared = 50;
        sums.different = sums.fallbacks = sums.errors = 0;
        sums.follower_there = true;
        sums.lag_seconds = 0.1;
        return view;
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
    bool post(const std::string& text) {
        return eventually(60s, [&] { return pilot.post(text, "p.toml", "ann").has_value(); });
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
    ASSERT_TRUE(program.post(short_plan));
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
    ASSERT_TRUE(program.post(short_plan));
    ASSERT_TRUE(program.wait("step", "shadow 100 %"));
    EXPECT_EQ(program.pilot.post("[[step]]\n", "p.toml", "ann").error().code, Errc::bad_value);
    EXPECT_TRUE(program.pilot.post(short_plan, "p.toml", "ann")) << "it is under way already";
    EXPECT_EQ(program.pilot.post(short_plan + "\n", "p.toml", "ann").error().code, Errc::refused);
    ASSERT_TRUE(program.pilot.pause("ann"));
    ASSERT_TRUE(program.wait("state", "paused"));
    EXPECT_EQ(program.pilot.report()->reason, "paused by ann");
    EXPECT_TRUE(program.pilot.post(short_plan + "\n", "p.toml", "ann"));
    ASSERT_TRUE(program.wait("state", "running"));
    ASSERT_TRUE(program.pilot.give_up("ann"));
    ASSERT_TRUE(eventually(60s, [&] { return !program.pilot.report().has_value(); }));
    const std::lock_guard lock{rows.mutex};
    EXPECT_EQ(rows.rows[0]->plan, "");
}

TEST(Pilot, HoldsWhileComparisonsAreSilent) {
    Rows rows;
    Life life;
    Program program{life, rows};
    life.silent = true;
    ASSERT_TRUE(program.post(short_plan));
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
    ASSERT_TRUE(program.post(short_plan));
    ASSERT_TRUE(program.wait("reason", "`segue shift` was refused: not now"));
    const std::lock_guard lock{life.mutex};
    EXPECT_EQ(life.view.where.course.shift_percent, 0);
}

TEST(Pilot, PausesWhenSomebodyElseChangesTheCourse) {
    Rows rows;
    Life life;
    life.silent = true;
    Program program{life, rows};
    ASSERT_TRUE(program.post(short_plan));
    ASSERT_TRUE(program.wait("step", "shadow 100 %"));
    ASSERT_TRUE(program.wait("code", "compared"));
    {
        const std::lock_guard lock{life.mutex};
        life.view.where.course.shadow_percent = 3;
    }
    ASSERT_TRUE(program.wait("paused_because", "taken_over"));
    ASSERT_TRUE(program.pilot.resume("ann"));
    ASSERT_TRUE(program.wait("state", "running"));
}

TEST(Pilot, ARestartGoesOnOrStaysPaused) {
    Rows rows;
    Life life;
    life.silent = true;
    {
        Program program{life, rows};
        ASSERT_TRUE(program.post(short_plan));
        ASSERT_TRUE(program.wait("code", "compared"));
    }
    {
        Program program{life, rows};
        ASSERT_TRUE(program.wait("step", "shadow 100 %"));
        ASSERT_TRUE(program.pilot.pause("ann"));
        ASSERT_TRUE(program.wait("state", "paused"));
    }
    life.silent = false;
    Program program{life, rows};
    ASSERT_TRUE(program.wait("reason", "paused by ann"));
    ASSERT_TRUE(program.pilot.resume("ann"));
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, DoesNothingBeforeBothRowsCanBeRead) {
    Rows rows;
    Life life;
    life.view.where.begun = life.view.where.consistent = true;
    rows.down[1] = true;
    Program program{life, rows};
    EXPECT_FALSE(program.pilot.post(short_plan, "p.toml", "ann"));
    {
        const std::lock_guard lock{rows.mutex};
        rows.down[1] = false;
    }
    ASSERT_TRUE(program.post(short_plan));
    ASSERT_TRUE(program.wait("state", "done"));
}

TEST(Pilot, DoesNothingThatIsNotOnRecord) {
    Rows rows;
    Life life;
    Program program{life, rows};
    {
        const std::lock_guard lock{life.mutex};
        life.view.where.begun = life.view.where.consistent = true;
    }
    ASSERT_TRUE(eventually(
        60s, [&] { return !program.pilot.pause("ann").error().detail.starts_with("what"); }));
    {
        const std::lock_guard lock{rows.mutex};
        rows.down[0] = true;
    }
    ASSERT_TRUE(program.post(short_plan));
    ASSERT_TRUE(program.wait("code", "unsaved"));
    EXPECT_EQ(life.asked(), std::vector<std::string>{});
    {
        const std::lock_guard lock{rows.mutex};
        rows.down[0] = false;
    }
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
