#include "router/guardrails.hpp"

#include <algorithm>
#include <cstdio>

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
        if (breach_) return *breach_;
        if (unknown_) return *unknown_;
        return look_at_samples_and_time();
    }

private:
    void breach(const char* code, std::string reason) {
        if (!breach_) breach_ = Judgement{Finding::breach, code, std::move(reason)};
    }
    void unknown(const char* code, std::string reason) {
        if (!unknown_) unknown_ = Judgement{Finding::unknown, code, std::move(reason)};
    }

    // To take a cutover back because the old side lags would only make it worse: a soak waits.
    void look_at_follower() {
        const bool shifted = step_.deed == Deed::shift;
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
        const Counters& from = watch_.window_first();
        const auto transactions = grown(from, now_counters_, &Counters::transactions);
        const auto errors = grown(from, now_counters_, &Counters::errors);
        if (!transactions || !errors)
            return unknown("errors", "how many errors clients are sent is not known");
        // Sessions in which nothing but errors happens end no transaction.
        const std::uint64_t of = std::max(*transactions, *errors);
        if (of < rate_samples_min) return;
        const double rate = static_cast<double>(*errors) / static_cast<double>(of);
        if (rate <= rails_.error_rate_max) return;
        breach("errors",
               "clients were sent " + whole(*errors) + " errors in " + whole(of) +
                   " transactions, " + percent(rate) + " (at most " +
                   percent(rails_.error_rate_max) + ")");
    }

    void look_at_fallbacks() {
        const Counters& from = watch_.window_first();
        const auto served = grown(from, now_counters_, &Counters::served);
        const auto fallbacks = grown(from, now_counters_, &Counters::fallbacks);
        if (!served || !fallbacks)
            return unknown("fallbacks", "how many reads the follower fails to answer is not known");
        const std::uint64_t of = *served + *fallbacks;
        if (of < rate_samples_min) return;
        const double rate = static_cast<double>(*fallbacks) / static_cast<double>(of);
        if (rate <= rails_.fallback_rate_max) return;
        breach("fallbacks",
               "the follower did not answer " + whole(*fallbacks) + " of " + whole(of) +
                   " reads chosen for it, " + percent(rate) + " (at most " +
                   percent(rails_.fallback_rate_max) + ")");
    }

    void look_at_differences() {
        const auto different = grown(watch_.first().counters, now_counters_, &Counters::different);
        if (!different) return unknown("differences", "how many reads differ is not known");
        if (*different <= rails_.differences_max) return;
        breach("differences",
               whole(*different) + " reads were confirmed to differ (at most " +
                   whole(rails_.differences_max) + "): `segue verify` lists what does");
    }

    // The worst one: a total would hide one statement without its index among many. Suspected is
    // the side that has just been given work: the follower, and in a soak the authority.
    void look_at_latency() {
        const bool soak = step_.deed == Deed::soak;
        double worst = 0;
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
            if (since.compared < rate_samples_min) continue;
            const auto count = static_cast<double>(since.compared);
            const Seconds authority = since.authority / count, follower = since.follower / count;
            const Seconds suspected = soak ? authority : follower;
            const Seconds other = soak ? follower : authority;
            if (suspected - other <= rails_.latency_slack) continue;
            const double ratio = suspected / std::max(other, Seconds{1e-6});
            if (ratio <= rails_.latency_ratio_max || ratio <= worst) continue;
            worst = ratio;
            reason = "a statement takes " + milliseconds(suspected) + " on the " +
                     (soak ? "authority" : "follower") + " and " + milliseconds(other) +
                     " on the " + (soak ? "follower" : "authority") + ", " + plain(ratio) +
                     " times as long (at most " + plain(rails_.latency_ratio_max) +
                     "): `segue status --json` names it in shadow_statements";
        }
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
        if (*since > 0 || !watch_.window_full(now_, plan_.window)) return;
        unknown(code,
                "the number of " + std::string{what} + " has not grown for " +
                    seconds(plan_.window) + ": nothing is known of how it goes");
    }

    Judgement look_at_samples_and_time() const {
        const bool shifted = step_.deed == Deed::shift, soaks = step_.deed == Deed::soak;
        const Count which = shifted ? &Counters::served
                            : soaks ? &Counters::transactions
                                    : &Counters::compared;
        const char* const what = shifted ? "reads answered by the follower"
                                 : soaks ? "transactions"
                                         : "comparisons";
        const std::uint64_t samples =
            grown(watch_.first().counters, now_counters_, which).value_or(0);
        const std::string so_far = whole(samples) + " " + what;
        if (samples < rails_.samples_min) {
            return {Finding::waiting,
                    "samples",
                    so_far + " of " + whole(rails_.samples_min) + " that are needed"};
        }
        const Seconds watched = now_ - watch_.began();
        if (watched < step_.watch) {
            return {
                Finding::waiting,
                "watching",
                "watched for " + seconds(watched) + " of " + seconds(step_.watch) + ", " + so_far};
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
};

}  // namespace

void Watch::look(Moment now, const Counters& counters, Seconds window) {
    looks_.push_back({now, counters});
    while (looks_.size() > 2 && now - looks_[1].at >= window) looks_.pop_front();
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
