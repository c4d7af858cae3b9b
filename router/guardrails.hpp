#pragma once
// What is observed while a step of a plan lasts, and what it means. Pure: figures and times come
// in, findings go out. What is not known, or has stopped to grow, never counts as good: it holds.

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "router/plan.hpp"

namespace segue::router {

using Moment = std::chrono::steady_clock::time_point;

// Sums since the program began, and the lag as it is. Empty: nobody knows.
struct Counters {
    std::optional<std::uint64_t> compared, different;   // Reads on both sides.
    std::optional<std::uint64_t> served, fallbacks;     // Reads chosen for the follower.
    std::optional<std::uint64_t> transactions, errors;  // Of clients.
    std::optional<double> lag_seconds;                  // Of the follower.
    std::optional<bool> follower_there;  // Its stream runs. False is knowledge, not silence.

    friend bool operator==(const Counters&, const Counters&) = default;
};

struct StatementFigure {
    std::uint64_t compared = 0;
    Seconds authority{0}, follower{0};  // Sums.
};

struct Figures {
    Counters counters;
    std::map<std::string, StatementFigure> statements;  // By its fingerprint.
};

// A statement that was compared less often than this says nothing of its latency, and fewer
// transactions than this nothing of a rate.
inline constexpr std::uint64_t rate_samples_min = 20;

// What is remembered of a step since it began. A value.
class Watch {
public:
    Watch() = default;
    Watch(Moment began, Figures figures) : began_(began), first_(std::move(figures)) {
        looks_.push_back({began, first_.counters});
    }
    void look(Moment now, const Counters& counters, Seconds window);

    Moment began() const { return began_; }
    const Figures& first() const { return first_; }
    // The oldest look within the window, or the one just before it: the window's beginning.
    const Counters& window_first() const { return looks_.front().counters; }
    // The window is full: what has not grown in it is silent.
    bool window_full(Moment now, Seconds window) const { return now - looks_.front().at >= window; }

private:
    struct Look {
        Moment at;
        Counters counters;
    };
    Moment began_{};
    Figures first_;
    std::deque<Look> looks_;  // No more than the window needs.
};

enum class Finding : std::uint8_t {
    good,     // Every condition for the next step holds.
    waiting,  // Not long enough, not enough samples.
    unknown,  // A figure is missing or silent.
    breach,   // A limit is exceeded.
};

struct Judgement {
    Finding finding = Finding::unknown;
    std::string code;    // Stable; names the figure: "lag", "differences", "compared" ...
    std::string reason;  // With the figures. Never a statement's text.

    friend bool operator==(const Judgement&, const Judgement&) = default;
};

// Whether reads are compared while a step lasts, so that comparisons must be seen to go on. (At a
// shift of 100 the authority answers none that could be compared.)
bool compares(const PlanStep& step, double shadow_percent);

// A watched step, as it stands at `now`. The first breach, else the first thing that is unknown,
// else what is waited for. `shadow_percent`: in force.
Judgement judge(const AutoPlan& plan,
                const PlanStep& step,
                const Watch& watch,
                const Figures& figures,
                double shadow_percent,
                Moment now);

}  // namespace segue::router
