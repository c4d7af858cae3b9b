#include "proxy/statement_figures.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "protocol/postgres/redacted.hpp"
#include "proxy/status_reads.hpp"

namespace segue::proxy {

using backfill::postgres::PlanQuestion;
using router::LatencyHistogram;

namespace {

std::int64_t time_lost(const StatementReport& one) {
    return (one.follower.mean - one.authority.mean).count() *
           static_cast<std::int64_t>(one.follower.count);
}

auto remarkable(const StatementReport& one) {
    return std::tuple{one.different, one.unconfirmed, time_lost(one), one.compared};
}

auto slow(const StatementReport& one) {
    return std::tuple{one.slower, time_lost(one), one.compared};
}

template <class Rank>
void keep_first(std::vector<StatementReport>& reports, std::size_t count, Rank rank) {
    const auto end = reports.begin() + static_cast<std::ptrdiff_t>(std::min(reports.size(), count));
    std::partial_sort(reports.begin(), end, reports.end(), [&](const auto& a, const auto& b) {
        return rank(a) > rank(b);
    });
    reports.erase(end, reports.end());
}

std::size_t size_of(const backfill::postgres::PlanContext& context) {
    std::size_t size = context.role.size();
    for (const auto& [name, value] : context.settings) size += name.size() + value.size();
    return size;
}

double mean(std::uint64_t sum, std::uint64_t count) {
    return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
}

}  // namespace

void StatementFigures::learn_question(Figures& figures, const MeasuredRead& read) {
    std::string text = protocol::postgres::plannable(read.text);
    if (text.empty() || plannable_bytes_ + text.size() > plannable_bytes_max) return;
    plannable_bytes_ += text.size();
    figures.question.statement = std::move(text);
    figures.question.parameter_types = read.parameter_types;
}

StatementFigures::Figures* StatementFigures::find(std::uint64_t fingerprint,
                                                  const MeasuredRead& read) {
    if (const auto known = figures_.find(fingerprint); known != figures_.end())
        return &known->second;
    if (figures_.size() >= statements_measured_max) {
        ++unmeasured_;
        return nullptr;
    }
    Figures& figures = figures_[fingerprint];
    figures.statement = protocol::postgres::redacted(read.text);
    learn_question(figures, read);
    return &figures;
}

void StatementFigures::add(const MeasuredRead& read) {
    const auto fingerprint = protocol::postgres::fingerprint(read.text);
    if (!fingerprint) return;
    const std::lock_guard lock{mutex_};
    Figures* const figures = find(*fingerprint, read);
    if (figures == nullptr) return;
    const bool compared = read.outcome != Comparison::impossible;
    figures->compared += compared ? 1 : 0;
    figures->timed += compared ? 0 : 1;
    figures->different += read.outcome == Comparison::different ? 1 : 0;
    if (read.outcome == Comparison::different)
        figures->different_at = std::max(figures->different_at, read.found_at);
    figures->unconfirmed += read.outcome == Comparison::unconfirmed ? 1 : 0;
    if (read.context && size_of(*read.context) <= plan_context_bytes_max)
        figures->question.context = read.context;
    if (read.suspected) learn_tables(*figures, *read.suspected);
    if (read.answers) add_answers(*figures, read.answers->first, read.answers->second);
}

// One text may read other tables under another search path.
void StatementFigures::learn_tables(Figures& figures, const SuspectedRead& read) {
    if (!figures.suspected_since) figures.suspected_since = read.seen_at;
    const auto learn = [&](auto& known, const auto& more) {
        for (const auto& one : more) {
            if (std::find(known.begin(), known.end(), one) != known.end()) continue;
            if (suspected_names_ == suspected_names_max) return;
            ++suspected_names_;
            known.push_back(one);
        }
    };
    learn(figures.reads.tables, read.reads->tables);
    learn(figures.reads.functions, read.reads->functions);
}

void StatementFigures::add_answers(Figures& figures,
                                   const MeasuredRead::Answer& authority,
                                   const MeasuredRead::Answer& follower) {
    if (figures.now.follower.count() == router::latency_window)
        figures.before = std::exchange(figures.now, {});
    ++figures.executions;
    figures.authority += authority.latency;
    figures.follower += follower.latency;
    Window& now = figures.now;
    now.authority.add(authority.latency);
    now.follower.add(follower.latency);
    now.authority_rows += authority.rows;
    now.follower_rows += follower.rows;
    figures.slower =
        router::is_slower(LatencyHistogram::of(now.authority, figures.before.authority),
                          LatencyHistogram::of(now.follower, figures.before.follower),
                          limits_);
}

StatementReport StatementFigures::reported(std::uint64_t fingerprint,
                                           const Figures& figures,
                                           const std::vector<backfill::Suspect>& suspects) {
    const Window &now = figures.now, &before = figures.before;
    StatementReport one;
    one.fingerprint = fingerprint;
    one.statement = figures.statement;
    one.compared = figures.compared;
    one.different = figures.different;
    one.unconfirmed = figures.unconfirmed;
    one.timed = figures.timed;
    one.authority = LatencyHistogram::of(now.authority, before.authority);
    one.follower = LatencyHistogram::of(now.follower, before.follower);
    one.authority_rows = mean(now.authority_rows + before.authority_rows, one.authority.count);
    one.follower_rows = mean(now.follower_rows + before.follower_rows, one.follower.count);
    one.slower = figures.slower;
    if (figures.suspected_since) {
        one.rows = rows_found(figures.reads, *figures.suspected_since, suspects);
        one.rows->confirmed = figures.different > 0;
    }
    return one;
}

std::vector<StatementReport> StatementFigures::all() const {
    std::vector<StatementReport> reports;
    const auto suspects = suspects_ ? suspects_() : std::vector<backfill::Suspect>{};
    {
        const std::lock_guard lock{mutex_};
        reports.reserve(figures_.size());
        for (const auto& [fingerprint, figures] : figures_) {
            if (figures.compared + figures.timed > 0)
                reports.push_back(reported(fingerprint, figures, suspects));
        }
    }
    keep_first(reports, reports.size(), slow);
    return reports;
}

std::vector<StatementSums> StatementFigures::sums() const {
    std::vector<StatementSums> sums;
    const std::lock_guard lock{mutex_};
    const std::string since = forgotten_ == 0 ? "" : "." + std::to_string(forgotten_);
    for (const auto& [fingerprint, figures] : figures_) {
        sums.push_back({fingerprint_text(fingerprint) + since,
                        figures.executions,
                        figures.authority,
                        figures.follower});
    }
    return sums;
}

// Of all of them, also of those that are not reported.
void StatementFigures::count_rows(const std::vector<StatementReport>& all,
                                  ShadowReport& report) const {
    const std::lock_guard lock{mutex_};
    for (const StatementReport& one : all) {
        const RowsState state = one.rows ? one.rows->state : RowsState::waiting;
        if (state == RowsState::different) ++report.rows_different;
        const bool known = state == RowsState::different || state == RowsState::equal ||
                           state == RowsState::mended;
        if (known || one.different == 0) continue;
        ++report.rows_unknown;
        const auto figures = figures_.find(one.fingerprint);
        if (figures != figures_.end())
            report.rows_unknown_at = std::max(report.rows_unknown_at, figures->second.different_at);
    }
}

void StatementFigures::report(ShadowReport& report) const {
    report.statements = all();
    count_rows(report.statements, report);
    if (suspects_) report.suspects = suspects_();
    for (const StatementReport& one : report.statements) {
        if (!one.slower) break;
        ++report.slower_count;
        if (report.slower.size() < slower_reported_max) report.slower.push_back(one);
    }
    keep_first(report.statements, statements_reported_max, remarkable);
    const std::lock_guard lock{mutex_};
    report.unmeasured = unmeasured_;
}

std::optional<PlanQuestion> StatementFigures::question(std::uint64_t fingerprint) const {
    const std::lock_guard lock{mutex_};
    const auto known = figures_.find(fingerprint);
    if (known == figures_.end()) return std::nullopt;
    return known->second.question;
}

void StatementFigures::forget() {
    const std::lock_guard lock{mutex_};
    figures_.clear();
    plannable_bytes_ = 0;
    suspected_names_ = 0;
    unmeasured_ = 0;
    ++forgotten_;
}

}  // namespace segue::proxy
