#include "router/guardrails.hpp"

#include <algorithm>
#include <cstdio>

#include "router/counted.hpp"

namespace segue::router {

namespace {

using Count = std::optional<std::uint64_t> Counters::*;

std::string whole(std::uint64_t number) { return std::to_string(number); }

std::string milliseconds(Seconds time) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f ms", time.count() * 1000);
    return buffer;
}

std::string seconds(Seconds time) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, time.count() < 10 ? "%.1f s" : "%.0f s", time.count());
    return buffer;
}

std::string percent(double part) { return plain(part * 100) + " %"; }

// Since that look. Empty: not known at one of the two, or it went back: another process counts.
std::optional<std::uint64_t> grown(const Counters& from, const Counters& to, Count which) {
    if (!(from.*which) || !(to.*which) || *(to.*which) < *(from.*which)) return std::nullopt;
    return *(to.*which) - *(from.*which);
}

// A session that is ended in the middle of its request never sees it answered.
std::uint64_t requests_since(const Counters& from, const Counters& to) {
    return std::max(grown(from, to, &Counters::requests).value_or(0),
                    grown(from, to, &Counters::errors).value_or(0));
}

std::uint64_t reads_since(const Counters& from, const Counters& to) {
    return grown(from, to, &Counters::served).value_or(0) +
           grown(from, to, &Counters::fallbacks).value_or(0);
}

class Judge {
public:
    Judge(const AutoPlan& plan,
          const PlanStep& step,
          const Watch& watch,
          const Figures& figures,
          double shadow_percent,
          Moment now)
        : plan_(plan),
          step_(step),
          rails_(step.guardrails),
          watch_(watch),
          figures_(figures),
          now_counters_(figures.counters),
          compares_(compares(step, shadow_percent)),
          now_(now) {}

    Judgement judge() {
        look_at_follower();
        look_at_errors();
        if (step_.deed == Deed::shift) look_at_fallbacks();
        if (compares_) {
            look_at_differences();
            look_at_latency();
        }
        look_for_silence();
        Judgement judged = breach_ ? *breach_ : unknown_ ? *unknown_ : look_at_samples_and_time();
        judged.readings = std::move(readings_);
        return judged;
    }

private:
    void breach(const char* code, std::string reason) {
        if (!breach_) breach_ = Judgement{Finding::breach, code, std::move(reason)};
    }
    void unknown(const char* code, std::string reason) {
        if (!unknown_) unknown_ = Judgement{Finding::unknown, code, std::move(reason)};
    }

    void read(const char* code, std::optional<double> value, double limit) {
        readings_.push_back({code, value, limit});
    }

    // To take a cutover back because the old side lags would only make it worse: a soak waits.
    void look_at_follower() {
        const bool shifted = step_.deed == Deed::shift;
        read("lag", now_counters_.lag_seconds, rails_.lag_max.count());
        if (now_counters_.follower_there == false) {
            const char* const reason = "the follower does not take part: its stream does not run";
            shifted ? breach("follower", reason) : unknown("follower", reason);
            return;
        }
        if (!now_counters_.follower_there || !now_counters_.lag_seconds)
            return unknown("lag", "the follower's lag is not known");
        const Seconds lag{*now_counters_.lag_seconds};
        if (lag <= rails_.lag_max) return;
        const std::string reason =
            "the follower lags " + seconds(lag) + " (at most " + seconds(rails_.lag_max) + ")";
        shifted ? breach("lag", reason) : unknown("lag", reason);
    }

    void look_at_errors() {
        const auto seen = rate(&Counters::errors, requests_since, watch_.requests_from());
        read("errors", value_of(seen), rails_.error_rate_max);
        if (!grown(watch_.window_first(), now_counters_, &Counters::requests) ||
            !grown(watch_.window_first(), now_counters_, &Counters::errors))
            return unknown("errors", "how many errors clients are sent is not known");
        if (!seen || seen->value() <= rails_.error_rate_max) return;
        breach("errors",
               "clients were sent " + counted(seen->count, "error", "errors") + " in answer to " +
                   counted(seen->of, "request", "requests") + ", " + percent(seen->value()) +
                   " (at most " + percent(rails_.error_rate_max) + ")");
    }

    void look_at_fallbacks() {
        const auto seen = rate(&Counters::fallbacks, reads_since, watch_.reads_from());
        read("fallbacks", value_of(seen), rails_.fallback_rate_max);
        if (!grown(watch_.window_first(), now_counters_, &Counters::served) ||
            !grown(watch_.window_first(), now_counters_, &Counters::fallbacks))
            return unknown("fallbacks", "how many reads the follower fails to answer is not known");
        if (!seen || seen->value() <= rails_.fallback_rate_max) return;
        breach("fallbacks",
               "the follower did not answer " + whole(seen->count) + " of " +
                   counted(seen->of, "read", "reads") + " chosen for it, " +
                   percent(seen->value()) + " (at most " + percent(rails_.fallback_rate_max) + ")");
    }

    struct Rate {
        std::uint64_t count = 0, of = 0;
        double value() const { return static_cast<double>(count) / static_cast<double>(of); }
    };
    static std::optional<double> value_of(const std::optional<Rate>& rate) {
        return rate ? std::optional{rate->value()} : std::nullopt;
    }
    using Of = std::uint64_t (*)(const Counters& from, const Counters& to);
    // In the window, or of the last ones where few come. Empty: too few to tell.
    std::optional<Rate> rate(Count counted, Of of, const Counters& last) const {
        for (const Counters* from : {&watch_.window_first(), &last}) {
            const auto count = grown(*from, now_counters_, counted);
            if (!count) continue;
            const Rate seen{*count, of(*from, now_counters_)};
            if (seen.of >= std::max<std::uint64_t>(rails_.rate_samples_min, 1)) return seen;
        }
        return std::nullopt;
    }

    void look_at_differences() {
        const auto since = grown(watch_.first().counters, now_counters_, &Counters::different);
        const auto limit = static_cast<double>(rails_.differences_max);
        if (!since) {
            read("differences", std::nullopt, limit);
            return unknown("differences", "how many reads differ is not known");
        }
        const std::uint64_t different = watch_.before().different + *since;
        read("differences", static_cast<double>(different), limit);
        if (different <= rails_.differences_max) return;
        breach("differences",
               counted(different, "read was", "reads were") + " confirmed to differ (at most " +
                   whole(rails_.differences_max) + "): `segue verify` lists what does");
    }

    // The worst one: a total would hide one statement without its index among many. Suspected is
    // the side that has just been given work: the follower, and in a soak the authority.
    void look_at_latency() {
        const bool soak = step_.deed == Deed::soak;
        double worst = 0, highest = 0;
        std::string reason;
        for (const auto& [statement, sums] : figures_.statements) {
            StatementFigure since = sums;
            const auto before = watch_.first().statements.find(statement);
            if (before != watch_.first().statements.end()) {
                if (since.compared < before->second.compared) continue;  // It began anew.
                since.compared -= before->second.compared;
                since.authority -= before->second.authority;
                since.follower -= before->second.follower;
            }
            if (since.compared < latency_samples_min) continue;
            const auto count = static_cast<double>(since.compared);
            const Seconds authority = since.authority / count, follower = since.follower / count;
            const Seconds suspected = soak ? authority : follower;
            const Seconds other = soak ? follower : authority;
            const double ratio = suspected / std::max(other, Seconds{1e-6});
            if (suspected - other <= rails_.latency_slack) continue;
            highest = std::max(highest, ratio);
            if (ratio <= rails_.latency_ratio_max || ratio <= worst) continue;
            worst = ratio;
            reason = "a statement takes " + milliseconds(suspected) + " on the " +
                     (soak ? "authority" : "follower") + " and " + milliseconds(other) +
                     " on the " + (soak ? "follower" : "authority") + ", " + plain(ratio) +
                     " times as long (at most " + plain(rails_.latency_ratio_max) +
                     "): `segue status --json` names it in shadow_statements";
        }
        // Where no statement is beyond the slack none is slower in the limit's sense.
        read("latency", highest, rails_.latency_ratio_max);
        if (worst > 0) breach("latency", std::move(reason));
    }

    void look_for_silence() {
        // Of shifted reads the authority, where transactions are counted, sees nothing.
        if (step_.deed == Deed::shift) {
            must_grow("served", "reads answered by the follower", &Counters::served);
        } else {
            must_grow("transactions", "transactions of clients", &Counters::transactions);
        }
        if (compares_) must_grow("compared", "compared reads", &Counters::compared);
    }

    void must_grow(const char* code, const char* what, Count which) {
        const auto since = grown(watch_.window_first(), now_counters_, which);
        if (!since) return unknown(code, "the number of " + std::string{what} + " is not known");
        if (*since > 0) return;
        // Also before the window is full: a watch that has seen nothing yet, after a restart say,
        // does not know more than one that sees nothing any more.
        unknown(code,
                "the number of " + std::string{what} + " has not grown for " +
                    seconds(watch_.in_window(now_)) + ": nothing is known of how it goes");
    }

    Judgement look_at_samples_and_time() const {
        const bool shifted = step_.deed == Deed::shift, soaks = step_.deed == Deed::soak;
        const auto [watched, samples, different] = progress(step_, watch_, now_counters_);
        const std::string so_far =
            shifted ? counted(samples, "read", "reads") + " answered by the follower"
            : soaks ? counted(samples, "transaction", "transactions")
                    : counted(samples, "comparison", "comparisons");
        if (samples < rails_.samples_min) {
            return {Finding::waiting,
                    "samples",
                    so_far + " of " + whole(rails_.samples_min) + " that are needed"};
        }
        if (watched < step_.watch) {
            return {
                Finding::waiting,
                "watching",
                "watched for " + seconds(watched) + " of " + seconds(step_.watch) + ", " + so_far};
        }
        // Of what was before a restart only the sums are known.
        if (!watch_.window_full(now_, plan_.window)) {
            return {Finding::waiting,
                    "watching",
                    "watched for long enough, but only for " + seconds(watch_.lasted(now_)) +
                        " of " + seconds(plan_.window) + " since a restart"};
        }
        return {Finding::good,
                "good",
                "watched for " + seconds(watched) + ", " + so_far + ", within every limit"};
    }

    const AutoPlan& plan_;
    const PlanStep& step_;
    const Guardrails& rails_;
    const Watch& watch_;
    const Figures& figures_;
    const Counters& now_counters_;
    const bool compares_;
    const Moment now_;
    std::optional<Judgement> breach_, unknown_;
    std::vector<Reading> readings_;
};

}  // namespace

void Watch::look(Moment now,
                 const Counters& counters,
                 Seconds window,
                 std::uint64_t rate_samples_min) {
    requests_.look(counters, requests_since(requests_.next(), counters), rate_samples_min);
    reads_.look(counters, reads_since(reads_.next(), counters), rate_samples_min);
    gap_ = std::min<Seconds>(now - looks_.back().at, window);
    looks_.push_back({now, counters});
    while (looks_.size() > 2 && now - looks_[1].at >= window) looks_.pop_front();
    if (looks_.size() > window_looks_max) looks_.pop_front();
}

WatchProgress progress(const PlanStep& step, const Watch& watch, const Counters& now) {
    const Count samples = step.deed == Deed::shift  ? &Counters::served
                          : step.deed == Deed::soak ? &Counters::transactions
                                                    : &Counters::compared;
    const Counters& first = watch.first().counters;
    return {watch.watched(),
            watch.before().samples + grown(first, now, samples).value_or(0),
            watch.before().different + grown(first, now, &Counters::different).value_or(0)};
}

bool compares(const PlanStep& step, double shadow_percent) {
    if (step.deed == Deed::shadow) return true;
    if (step.deed == Deed::shift) return shadow_percent > 0 && step.percent < 100;
    return step.percent > 0;
}

Judgement judge(const AutoPlan& plan,
                const PlanStep& step,
                const Watch& watch,
                const Figures& figures,
                double shadow_percent,
                Moment now) {
    return Judge{plan, step, watch, figures, shadow_percent, now}.judge();
}

}  // namespace segue::router
