#include "proxy/statement_figures.hpp"

#include <algorithm>
#include <tuple>

#include "protocol/postgres/redacted.hpp"

namespace segue::proxy {

void StatementFigures::add(std::string_view text,
                           Comparison outcome,
                           std::chrono::microseconds authority,
                           std::chrono::microseconds follower) {
    const std::string statement = protocol::postgres::redacted(text);
    if (statement.empty()) return;
    const std::lock_guard lock{mutex_};
    if (sums_.size() >= statements_measured_max && !sums_.contains(statement)) return;
    Sums& sums = sums_[statement];
    ++sums.compared;
    sums.different += outcome == Comparison::different ? 1 : 0;
    sums.unconfirmed += outcome == Comparison::unconfirmed ? 1 : 0;
    sums.authority += authority;
    sums.follower += follower;
}

std::vector<StatementReport> StatementFigures::sums() const {
    std::vector<StatementReport> reports;
    const std::lock_guard lock{mutex_};
    for (const auto& [statement, sums] : sums_) {
        reports.push_back({statement,
                           sums.compared,
                           sums.different,
                           sums.unconfirmed,
                           sums.authority,
                           sums.follower});
    }
    return reports;
}

std::vector<StatementReport> StatementFigures::report() const {
    std::vector<StatementReport> reports = sums();
    const auto rank = [](const StatementReport& one) {
        return std::tuple{
            one.different, one.unconfirmed, one.follower - one.authority, one.compared};
    };
    const auto end = reports.begin() +
                     static_cast<std::ptrdiff_t>(std::min(reports.size(), statements_reported_max));
    std::partial_sort(reports.begin(), end, reports.end(), [&](const auto& a, const auto& b) {
        return rank(a) > rank(b);
    });
    reports.erase(end, reports.end());
    for (StatementReport& one : reports) {
        one.authority /= static_cast<std::int64_t>(one.compared);
        one.follower /= static_cast<std::int64_t>(one.compared);
    }
    return reports;
}

}  // namespace segue::proxy
