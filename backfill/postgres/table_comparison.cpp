#include "backfill/postgres/table_comparison.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <future>
#include <utility>

#include "backfill/postgres/verifier.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::uint64_t bucket_rows = 1000;
constexpr std::uint64_t buckets_min = 64, buckets_max = 1u << 16;
// A range grows at most so much over the one before it.
constexpr std::uint64_t growth_max = 4;

std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string cell(const Twin::Row& row, std::size_t column) { return row[column].value_or(""); }

using Answer = Result<std::vector<Twin::Row>>;

// Both sides work at the same time. By index(side).
std::array<Answer, 2> ask_both(Twin& twin,
                               const std::string& sql,
                               const KeyRange& range,
                               std::size_t rows_max) {
    const auto parameters = range_parameters(range);
    const auto ask = [&](Side side) { return twin.query(side, sql, parameters, rows_max); };
    auto target = std::async(std::launch::async, ask, Side::target);
    Answer source = ask(Side::source);
    return {std::move(source), target.get()};
}

}  // namespace

RangeUse range_use(const Table& table) {
    if (table.key.empty()) return RangeUse::none;
    return key_orders_alike(table) ? RangeUse::exact : RangeUse::equal;
}

void TableComparison::make_smaller() {
    range_rows_ = std::max(range_rows_ / 2, verify_range_rows_min);
}

Status TableComparison::next(Twin& twin) {
    if (range_rows_ == 0) range_rows_ = verify_range_rows;
    const auto begun_at = std::chrono::steady_clock::now();
    KeyRange range{low_, std::nullopt};
    if (use_ != RangeUse::none) {
        auto end = range_end(twin, range);
        if (!end) return end.error();
        range.high = std::move(*end);
    }
    const std::uint64_t estimate = use_ == RangeUse::none ? table_.rows_estimate : range_rows_;
    if (Status compared = compare(twin, range, estimate); !compared) return compared;
    if (use_ == RangeUse::equal && !differences_.empty()) {
        use_ = RangeUse::none;
        low_.reset();
        rows_ = 0;
        differences_.clear();
        return Done{};
    }
    const auto took = std::chrono::steady_clock::now() - begun_at + std::chrono::microseconds{1};
    const double fitting = static_cast<double>(range_rows_) *
                           (verify_range_time / std::chrono::duration<double>(took));
    const auto most =
        static_cast<double>(std::min(range_rows_ * growth_max, verify_range_rows_max));
    range_rows_ = static_cast<std::uint64_t>(
        std::clamp(fitting, static_cast<double>(verify_range_rows_min), most));
    finished_ = !range.high.has_value();
    low_ = std::move(range.high);
    return Done{};
}

// The end of the next range as the source's snapshot has it; none: the rest of the table is one
// range.
Result<std::optional<std::vector<std::string>>> TableComparison::range_end(
    Twin& twin, const KeyRange& range) const {
    const auto rows = twin.query(
        Side::source, range_end_query(table_, range, range_rows_), range_parameters(range), 1);
    if (!rows) return rows.error();
    if (rows->empty()) return std::optional<std::vector<std::string>>{};
    std::vector<std::string> key;
    for (std::size_t i = 0; i < rows->front().size(); ++i) key.push_back(cell(rows->front(), i));
    return std::optional{std::move(key)};
}

// Counts only when the whole range was compared.
Status TableComparison::compare(Twin& twin, const KeyRange& range, std::uint64_t rows_estimate) {
    const std::uint64_t buckets =
        std::clamp(std::bit_ceil(rows_estimate / bucket_rows + 1), buckets_min, buckets_max);
    const auto answers = ask_both(twin, bucket_query(table_, range, buckets), range, buckets);
    Sums sums[2];
    for (const Side side : {Side::source, Side::target}) {
        const Answer& answer = answers[index(side)];
        if (!answer) return answer.error();
        for (const Twin::Row& row : *answer)
            sums[index(side)][cell(row, 0)] = {cell(row, 1), cell(row, 2), cell(row, 3)};
    }
    const auto& [source, target] = sums;
    std::vector<VerifyDifference> found;
    std::uint64_t rows = 0;
    for (const auto& [bucket, sum] : source) {
        rows += number(sum[0]);
        const auto same = target.find(bucket);
        if (same != target.end() && same->second == sum) continue;
        if (auto listed = list(twin, range, buckets, bucket, found); !listed) return listed;
    }
    for (const auto& [bucket, sum] : target) {
        if (source.contains(bucket)) continue;
        if (auto listed = list(twin, range, buckets, bucket, found); !listed) return listed;
    }
    rows_ += rows;
    std::move(found.begin(), found.end(), std::back_inserter(differences_));
    return Done{};
}

Status TableComparison::list(Twin& twin,
                             const KeyRange& range,
                             std::uint64_t buckets,
                             const std::string& bucket,
                             std::vector<VerifyDifference>& found) {
    const auto answers = ask_both(
        twin, list_query(table_, range, buckets, number(bucket)), range, verify_listed_rows_max);
    Listed listed[2];
    for (const Side side : {Side::source, Side::target}) {
        const Answer& answer = answers[index(side)];
        if (!answer) return answer.error();
        for (const Twin::Row& row : *answer) {
            listed[index(side)][{cell(row, 0), cell(row, 1), cell(row, 2)}] += number(cell(row, 3));
        }
    }
    auto& [source, target] = listed;
    // What both have cancels out; what is left of a key on one side is missing or extra, on both
    // different.
    for (auto& [row, times] : source) {
        const auto same = target.find(row);
        if (same == target.end()) continue;
        const std::uint64_t both = std::min(times, same->second);
        times -= both;
        same->second -= both;
    }
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_key;
    for (const auto& [row, times] : source) by_key[row[0]].first += times;
    for (const auto& [row, times] : target) by_key[row[0]].second += times;
    for (const auto& [key, times] : by_key) report(key, times.first, times.second, found);
    return Done{};
}

void TableComparison::report(const std::string& key,
                             std::uint64_t on_source,
                             std::uint64_t on_target,
                             std::vector<VerifyDifference>& found) const {
    // Without a key nothing tells which rows belong together: each is missing or extra.
    const std::uint64_t different = table_.key.empty() ? 0 : std::min(on_source, on_target);
    const auto add = [&](std::uint64_t times, const char* kind) {
        for (std::uint64_t i = 0; i < times; ++i) found.push_back({table_.plain_name(), key, kind});
    };
    add(different, "different");
    add(on_source - different, "missing");
    add(on_target - different, "extra");
}

}  // namespace segue::backfill::postgres
