#pragma once
// The operator's plan for a whole migration, as a value: the steps that `segue auto` takes by
// itself, and what must hold in each of them before it takes the next one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace segue::router {

enum class Deed : std::uint8_t {
    start,     // until the databases are consistent
    verify,    // until a verdict says equal
    mirror,    // sync
    shadow,    // percent; watched
    shift,     // percent; watched
    rehearse,  // once
    cutover,
    soak,    // after the cutover; watched: what breaks the guardrails takes the cutover back
    finish,  // the end
};

constexpr std::string_view name(Deed deed) {
    switch (deed) {
        case Deed::start:
            return "start";
        case Deed::verify:
            return "verify";
        case Deed::mirror:
            return "mirror";
        case Deed::shadow:
            return "shadow";
        case Deed::shift:
            return "shift";
        case Deed::rehearse:
            return "rehearse";
        case Deed::cutover:
            return "cutover";
        case Deed::soak:
            return "soak";
        case Deed::finish:
            return "finish";
    }
    return "";
}

// Clients are served in a new way while such a step lasts, so it is watched for some time.
constexpr bool is_watched(Deed deed) {
    return deed == Deed::shadow || deed == Deed::shift || deed == Deed::soak;
}

using Seconds = std::chrono::duration<double>;

// Limits of one watched step. What is beyond a limit is a breach.
struct Guardrails {
    // Before the next step: comparisons (shadow), reads answered by the follower (shift),
    // transactions of clients (soak), since the step began.
    std::uint64_t samples_min = 100;
    std::uint64_t differences_max = 0;  // Confirmed ones, since the step began.
    // Errors that clients were sent, for each of their requests, within the window.
    double error_rate_max = 0.05;
    // Of the reads chosen for the follower, those that the authority answered after all.
    double fallback_rate_max = 0.2;
    // These two say nothing of fewer requests and reads than this: where the window has fewer, they
    // are judged over all of the step so far.
    std::uint64_t rate_samples_min = 100;
    // Of any one statement: its mean on the follower, in terms of that on the authority. Counts
    // only where the means lie further apart than the slack.
    double latency_ratio_max = 3;
    Seconds latency_slack{0.005};
    Seconds lag_max{10};

    friend bool operator==(const Guardrails&, const Guardrails&) = default;
};

struct PlanStep {
    Deed deed = Deed::start;
    double percent = 0;    // shadow, shift; of a soak: reads compared meanwhile.
    Seconds watch{0};      // At least so long, where it is watched.
    bool confirm = false;  // Begins only when the operator says so.
    // Of a finish: why it is done although reads differ. Empty: it is not.
    std::string accept_differing_reads = {};
    Guardrails guardrails;

    friend bool operator==(const PlanStep&, const PlanStep&) = default;
};

struct AutoPlan {
    std::string name;
    Seconds interval{5};  // Between two looks.
    // Rates are judged over so much time; a counter that has not grown within it is silent.
    Seconds window{30};
    int breaches_max = 3;  // So many looks in a row must find a breach before it goes back.
    Seconds retry{60};     // After a verb was refused.
    std::uint32_t attempts_max =
        3;  // Of a verb that holds clients; then it waits for the operator.
    std::vector<PlanStep> steps;

    friend bool operator==(const AutoPlan&, const AutoPlan&) = default;
};

inline constexpr std::size_t plan_steps_max = 50;
inline constexpr std::size_t acceptance_size_max = 200;  // Of accept_differing_reads.
// In terms of the interval: every look of the window is remembered.
inline constexpr int window_looks_max = 2000;

// "shift 25 %", as people are told.
std::string title(const PlanStep& step);
// A number without needless zeros.
std::string plain(double number);

struct PlanMistake {
    std::size_t step = 0;
    std::string key;  // Of the step.
    std::string expected;
};
// What no migration could follow: steps in an order that cannot be, percentages that fall, a time
// to watch that is shorter than the window. Empty: none.
std::vector<PlanMistake> mistakes(const AutoPlan& plan);

}  // namespace segue::router
