#pragma once
// `segue auto` as a machine without I/O: where the migration stands and what is observed go in, one
// decision comes out: advance, hold, or go back, and the verb that this takes. Its owner does the
// verb, tells how it ended, and keeps `state()` durably before an irreversible one.
//
// What it never does: act on what is not known (it holds); act again after it went back, after an
// operator's own verb, or in a step that asks for a word, before `resume`; anything by force (a
// verb that is refused is a reason to hold).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "router/guardrails.hpp"
#include "router/plan.hpp"
#include "router/shift_scope.hpp"
#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::router {

// What an operator's own verb changes under a plan's feet.
struct Course {
    Side authority = Side::source;
    double shadow_percent = 0, shift_percent = 0;
    bool paused = false;
    bool finished = false;
    ShiftScope shift_scope = {};  // What shift_percent is a percentage of.

    friend bool operator==(const Course&, const Course&) = default;
};

// Where the migration stands.
struct Where {
    Course course;
    // How often a verb, or another Segue, has changed the course since the program began: also back
    // to what it was.
    std::uint64_t course_changes = 0;
    bool begun = false;  // Something is being moved, or was.
    bool consistent = false;
    bool mirror_sync = false;
    bool verified_equal = false;  // By a verdict that is recent enough.
    bool verified_different = false;
    std::uint64_t stray_writes = 0;
    std::size_t differing_statements = 0;  // Reads that are confirmed to differ.
    std::string rows_in_question;          // Why rows of theirs may differ; empty: they are equal.
    std::vector<std::string> blockers;     // Why a change of authority could not be made now.
};

enum class Direction : std::uint8_t { advance, hold, go_back };
constexpr std::string_view name(Direction outcome) {
    switch (outcome) {
        case Direction::advance:
            return "advance";
        case Direction::hold:
            return "hold";
        case Direction::go_back:
            return "go back";
    }
    return "";
}

// A verb to be run, as an operator would.
struct Order {
    std::string verb;
    std::optional<double> percent;            // shadow, shift
    std::string accept_differing_reads = {};  // finish

    friend bool operator==(const Order&, const Order&) = default;
};

struct Decision {
    Direction outcome = Direction::hold;
    std::string code;    // Stable: what it is about. An event is told when it changes.
    std::string reason;  // With the figures.
    std::optional<Order> order;
};

// Why nothing is decided until `resume`.
enum class Pause : std::uint8_t {
    none,
    asked,       // `segue auto pause`
    taken_over,  // An operator's verb, or another Segue, has changed the course.
    went_back,
    confirm,  // The next step is to begin when the operator says so.
    refused,  // A verb that holds clients was refused too often.
};
constexpr std::string_view name(Pause pause) {
    switch (pause) {
        case Pause::none:
            return "";
        case Pause::asked:
            return "asked";
        case Pause::taken_over:
            return "taken_over";
        case Pause::went_back:
            return "went_back";
        case Pause::confirm:
            return "confirm";
        case Pause::refused:
            return "refused";
    }
    return "";
}

enum class Stance : std::uint8_t {
    entering,    // The step's verb is to be run, or runs.
    watching,    // It has been; the step's conditions are awaited.
    going_back,  // The verb that takes the step back is to be run, or runs.
    done,        // The plan is through.
};

// What a restart needs.
struct AutopilotState {
    std::size_t step = 0;
    Stance stance = Stance::entering;
    Pause pause = Pause::none;
    std::string why;  // Of the pause, or of going back.
    Course course;    // As it was when last looked at, before a verb of ours that may be under way.
    WatchProgress progress = {};  // Of a watched step, as of some looks ago.

    friend bool operator==(const AutopilotState&, const AutopilotState&) = default;
};

// The step that a plan begins at: the last one whose effect is in force, so that it is watched
// (again) before the next; a verification that is missing comes first. Its size: all is done.
std::size_t step_in_force(const AutoPlan& plan, const Where& where);

// So much of a watch may be lost by a restart: its progress goes on record after so much more of
// it.
inline constexpr Seconds progress_kept_every{30};

class Autopilot {
public:
    // A new plan, at the step that is in force.
    Autopilot(AutoPlan plan, const Where& where, Moment now);
    // After a restart. A watched step goes on from the progress that is in `state`; the time since
    // then does not count. What has changed beyond what its own verb may have done was somebody
    // else. `where.course_changes`: how many of them `state` is after.
    Autopilot(AutoPlan plan, AutopilotState state, const Where& where, Moment now);

    // Now and then, while no verb of ours runs. An order in the answer is to be run at once, and
    // its end to be told.
    Decision look(const Where& where, const Figures& figures, Moment now);
    // `reason`: why it was not done. `where.course_changes`: of them those that were known before
    // it, and its own.
    void ended(
        const Order& order, bool done, const std::string& reason, const Where& where, Moment now);

    void pause(const std::string& who);
    // The step in force begins anew; one that waited for a word begins.
    void resume(const Where& where, Moment now);

    const AutoPlan& plan() const { return plan_; }
    const AutopilotState& state() const { return state_; }
    bool done() const { return state_.stance == Stance::done; }
    // The step it is at; null when all is done.
    const PlanStep* step() const;
    int breaches() const { return breaches_; }
    // How far the present step is watched, and what was read last; none where none was.
    WatchProgress progress() const { return watch_ ? progress_ : state_.progress; }
    const std::vector<Reading>& readings() const { return readings_; }

private:
    Decision decide(const Where& where, const Figures& figures, Moment now);
    Decision enter(const Where& where, Moment now);
    Decision watch(const Where& where, const Figures& figures, Moment now);
    Decision judge_watched(const Where& where, const Figures& figures, Moment now);
    void note_progress(const Judgement& judged, const Figures& figures);
    Decision advance(const Where& where, const std::string& reason);
    Decision go_back(const std::string& reason);
    Decision take_back(Moment now);
    Decision stop(Pause pause, std::string why);
    Decision hold(std::string code, std::string reason) const;
    bool has_begun_to_finish(const Course& course) const;
    Order order_of(const PlanStep& step) const;
    std::string satisfied(const PlanStep& step, const Where& where) const;
    void begin(std::size_t step);

    AutoPlan plan_;
    AutopilotState state_;
    std::uint64_t course_changes_ = 0;  // Those that are known, and not somebody else's.
    std::optional<Watch> watch_;        // Of the present step; empty before its first look.
    WatchProgress progress_;            // Of `watch_`, as of the last look.
    std::vector<Reading> readings_;
    int breaches_ = 0;            // In a row.
    std::uint32_t refusals_ = 0;  // Of the present step's verb.
    std::optional<Moment> retry_at_;
    std::string refusal_;
    bool confirmed_ = false;  // The present step has its word.
};

// What a plan would do at this moment, step by step, were each of them reached now: judged by the
// figures since the program began.
struct Forecast {
    std::size_t step = 0;
    bool behind = false;  // Done already.
    bool here = false;    // It would begin with this one.
    std::optional<Order> order;
    Direction outcome = Direction::hold;
    std::string reason;
};
std::vector<Forecast> dry_run(
    const AutoPlan& plan, const Where& where, const Figures& figures, Moment began, Moment now);

}  // namespace segue::router
