#include "proxy/history.hpp"

#include <utility>

#include "proxy/status.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

void keep(std::deque<json>& list, json entry, std::size_t most) {
    list.push_back(std::move(entry));
    if (list.size() > most) list.pop_front();
}

}  // namespace

History::Compared History::compared_in(const json& status) {
    Compared sums;
    for (const json& one : status["shadow_statements"]) {
        if (!one["authority_ms"].is_number() || !one["follower_ms"].is_number()) continue;
        const double reads = one["compared"].get<double>();
        sums.reads += reads;
        sums.authority_ms += reads * one["authority_ms"].get<double>();
        sums.follower_ms += reads * one["follower_ms"].get<double>();
    }
    return sums;
}

void History::add(WallTime at, const json& status) {
    const Compared now = compared_in(status);
    const json authority = status["authority"];
    // What was compared in the other direction is another sum, which begins anew.
    const bool turned = std::exchange(authority_, authority) != authority;
    const double reads = turned ? 0 : now.reads - compared_.reads;
    // Fewer than before: a statement has left the list.
    const auto mean = [&](double sum, double before) {
        return reads > 0 && sum >= before ? json((sum - before) / reads) : json(nullptr);
    };
    keep(samples_,
         {{"at", format_time(at)},
          {"authority", authority},
          {"transactions", status["sessions"]["transactions"]},
          {"lag_bytes", status["mirror"]["lag_bytes"]},
          {"authority_ms", mean(now.authority_ms, compared_.authority_ms)},
          {"follower_ms", mean(now.follower_ms, compared_.follower_ms)}},
         history_samples_max);
    compared_ = now;

    const json& change = status["last_change"];
    if (!change.is_object() || !change["longest_wait_ms"].is_number()) return;
    if (!changes_.empty() && changes_.back()["at"] == change["at"]) return;
    keep(changes_,
         {{"at", change["at"]},
          {"kind", change["kind"]},
          {"longest_wait_ms", change["longest_wait_ms"]}},
         history_changes_max);
}

json History::list() const {
    return {{"step_seconds", history_step.count()}, {"samples", samples_}, {"changes", changes_}};
}

}  // namespace segue::proxy
