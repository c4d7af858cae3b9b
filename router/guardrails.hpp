#pragma once
// What is observed while a step of a plan lasts, and what it means. Pure: figures and times come
// in, findings go out. What is not known, or has stopped to grow, never counts as good: it holds.

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
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
    // Of clients, by whichever side they were answered; a transaction has one or many.
    std::optional<std::uint64_t> requests;

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

// A statement that was compared less often than this says nothing of its latency.
inline constexpr std::uint64_t latency_samples_min = 20;

// How far a watch has come: what goes on record, and on after a restart.
struct WatchProgress {
    Seconds watched{0};  // Time in which somebody looked and nothing was missing or exceeded.
    std::uint64_t samples = 0;
    std::uint64_t different = 0;  // Reads confirmed to differ.

    friend bool operator==(const WatchProgress&, const WatchProgress&) = default;
};

// Where the last ones of something began that comes one by one: so many at least, and no more than
// twice as many and those of one look.
class Recent {
public:
    Recent() = default;
    explicit Recent(const Counters& began) : from_(began), next_(began) {}
    // `since`: how many have come since `next`.
    void look(const Counters& now, std::uint64_t since, std::uint64_t at_least) {
        if (since >= at_least) from_ = std::exchange(next_, now);
    }
    const Counters& next() const { return next_; }
    const Counters& from() const { return from_; }

private:
    Counters from_, next_;
};

// What is remembered of a step since it began, or since a restart in it. A value.
class Watch {
public:
    Watch() = default;
    // `before`: what an earlier process has seen of the same step.
    Watch(Moment began, Figures figures, WatchProgress before = {})
        : began_(began),
          first_(std::move(figures)),
          before_(before),
          requests_(first_.counters),
          reads_(first_.counters) {
        looks_.push_back({began, first_.counters});
    }
    // `rate_samples_min`: as in Guardrails.
    void look(Moment now, const Counters& counters, Seconds window, std::uint64_t rate_samples_min);
    // What the last look has found lets the time before it count. Nobody knows more of a gap
    // between two looks than the window shows.
    void count() { counted_ += std::exchange(gap_, Seconds{0}); }

    // With the time before the last look, as if it counted.
    Seconds watched() const { return before_.watched + counted_ + gap_; }
    const Figures& first() const { return first_; }
    const WatchProgress& before() const { return before_; }
    // The oldest look within the window, or the one just before it: the window's beginning.
    const Counters& window_first() const { return looks_.front().counters; }
    // Where the last requests began, and the last reads that were chosen for the follower.
    const Counters& requests_from() const { return requests_.from(); }
    const Counters& reads_from() const { return reads_.from(); }
    // A whole window was looked at. (Of one as long as it may be the last look or two before it can
    // be forgotten.)
    bool window_full(Moment now, Seconds window) const { return lasted(now) >= window; }
    Seconds lasted(Moment now) const { return now - began_; }
    Seconds in_window(Moment now) const { return now - looks_.front().at; }

private:
    struct Look {
        Moment at;
        Counters counters;
    };
    Moment began_;
    Figures first_;
    WatchProgress before_;
    Recent requests_, reads_;
    std::deque<Look> looks_;  // No more than the window needs, and window_looks_max.
    Seconds counted_{0}, gap_{0};
};

enum class Finding : std::uint8_t {
    good,     // Every condition for the next step holds.
    waiting,  // Not long enough, not enough samples.
    unknown,  // A figure is missing or silent.
    breach,   // A limit is exceeded.
};

// One figure as it was judged, beside its limit.
struct Reading {
    std::string code;             // "lag" (seconds), "errors", "fallbacks" (rates), "differences",
                                  // "latency" (a ratio)
    std::optional<double> value;  // Empty: not known, or too few to tell.
    double limit = 0;             // Good up to it.

    friend bool operator==(const Reading&, const Reading&) = default;
};

struct Judgement {
    Finding finding = Finding::unknown;
    std::string code;    // Stable; names the figure: "lag", "differences", "compared" ...
    std::string reason;  // With the figures. Never a statement's text.
    std::vector<Reading> readings = {};

    friend bool operator==(const Judgement&, const Judgement&) = default;
};

// Whether reads are compared while a step lasts, so that comparisons must be seen to go on. (At a
// shift of 100 the authority answers none that could be compared.)
bool compares(const PlanStep& step, double shadow_percent);

// How far it has come, when the last look counts.
WatchProgress progress(const PlanStep& step, const Watch& watch, const Counters& now);

// A watched step, as it stands at `now`. The first breach, else the first thing that is unknown,
// else what is waited for. `shadow_percent`: in force.
Judgement judge(const AutoPlan& plan,
                const PlanStep& step,
                const Watch& watch,
                const Figures& figures,
                double shadow_percent,
                Moment now);

}  // namespace segue::router
