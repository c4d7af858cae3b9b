#pragma once
// `segue auto` inside a program: a migration that does as it is told, and both databases' rows.

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>

#include "proxy/pilot.hpp"
#include "tests/proxy/fake_world.hpp"
#include "tests/support/process.hpp"

namespace segue::proxy::test {

using namespace std::chrono_literals;
using nlohmann::json;
using segue::test::eventually;

// Both databases' rows; outlives the programs.
struct Rows {
    std::mutex mutex;
    std::array<std::optional<backfill::StoredPlan>, 2> rows;
    std::array<bool, 2> down = {false, false};
    std::function<void(const backfill::StoredPlan&)> on_write;  // Of the thread that writes.

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
        if (rows_.on_write) rows_.on_write(plan);
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
        if (during_verb) during_verb(verb);
        const std::lock_guard lock{mutex};
        verbs.push_back(verb + " by " + arguments.value("asked_by", "?"));
        if (verb == refuses) return VerbResult::refused("not\nnow");
        router::Course& course = view.where.course;
        const router::Course before = course;
        if (verb == "start") view.where.begun = view.where.consistent = true;
        if (verb == "verify") view.where.verified_equal = true;
        if (verb == "shadow") course.shadow_percent = arguments["percent"];
        if (verb == "shift") course.shift_percent = arguments["percent"];
        VerbResult result = VerbResult::done("");
        result.course_changes = course != before ? 1 : 0;
        view.where.course_changes += result.course_changes;
        return result;
    }
    // A look that takes a while: what is done in it is not seen by it.
    AutoView look() {
        const AutoView seen = now();
        if (looks_until_hand > 0 && --looks_until_hand == 0) hand();
        return seen;
    }
    AutoView now() {
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
    void close(const std::string& why, bool moved_by_another = false) {
        const std::lock_guard lock{mutex};
        view.closed = why;
        view.moved_by_another = moved_by_another;
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
    std::function<void(const std::string& verb)> during_verb;  // On the operator's thread.
    // Of the thread that looks.
    int looks_until_hand = 0;
    std::function<void()> hand;
};

struct PilotProgram {
    PilotProgram(Life& of, Rows& rows)
        : life(of),
          operator_thread(life),
          pilot({[this] { return life.look(); },
                 operator_thread,
                 journal,
                 std::make_unique<FakePlanStore>(rows)}) {
        life.view.where.course_changes = 0;  // Since this program began.
        operator_thread.start();
        pilot.start();
    }
    ~PilotProgram() {
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
    VerbResult by_hand(const std::string& verb, json arguments) {
        arguments["asked_by"] = "bob";
        const auto begun = operator_thread.submit(verb, std::move(arguments));
        if (const auto* refused = std::get_if<Operator::Refused>(&begun))
            return VerbResult::refused(refused->reason);
        std::optional<Operator::View> view;
        EXPECT_TRUE(eventually(60s, [&] {
            view = operator_thread.view(std::get<std::uint64_t>(begun));
            return view && view->result;
        }));
        return view && view->result ? *view->result : VerbResult::refused("no result");
    }
    bool wait(const std::string& key, const json& value) {
        return eventually(60s, [&] {
            const json told = auto_json(pilot.report());
            return told.is_object() && told.at(key) == value;
        });
    }

    Life& life;
    FakeJournal journal;
    Operator operator_thread;
    Pilot pilot;
};

inline const std::string short_plan =
    "[plan]\ninterval_seconds = 0.1\nwindow_seconds = 0.2\nretry_seconds = 0.1\n"
    "[guardrails]\nsamples_min = 10\n"
    "[[step]]\ndo = \"start\"\n[[step]]\ndo = \"verify\"\n"
    "[[step]]\ndo = \"shadow\"\npercent = 100\nwatch_seconds = 0.2\n"
    "[[step]]\ndo = \"shift\"\npercent = 50\nwatch_seconds = 0.2\n";

}  // namespace segue::proxy::test
