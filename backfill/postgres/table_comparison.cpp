#include "backfill/postgres/table_comparison.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <future>
#include <set>
#include <utility>

namespace segue::backfill::postgres {

namespace {

constexpr std::uint64_t bucket_rows = 1000;
constexpr std::uint64_t buckets_min = 64, buckets_max = 1u << 16;
// A range grows at most so much over the one before it.
constexpr std::uint64_t growth_max = 4;
// More rows of a range that seem to differ come of the order.
constexpr std::size_t confirmed_max = 1000;
// Where slices go on: number, of how many.
constexpr std::size_t slice_texts = 2;
constexpr std::size_t columns_max = 2000;  // A table has at most 1600.
constexpr const char* undefined_column = "42703";

std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string cell(const Twin::Row& row, std::size_t column) { return row[column].value_or(""); }

// Modulo 2^64, of a number of any size.
std::uint64_t wrapped(const std::string& text) {
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c >= '0' && c <= '9') value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return text.starts_with('-') ? 0 - value : value;
}

// Of the definition that a bound belongs to: under another one it says nothing of what is below it.
std::string bound_mark(const Table& table) {
    std::string mark = table.key.empty() ? "slices" : "key";
    for (const int column : table.key) mark += " " + std::to_string(column);
    for (const Column& column : table.columns)
        mark += ", " + column.name + " " + column.type + (column.collation_c ? " C" : "");
    return mark;
}

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

TableComparison::TableComparison(const Table& table,
                                 Side authority,
                                 VerifiedTable& found,
                                 std::size_t listed_max)
    : table_(table),
      authority_(authority),
      found_(found),
      listed_max_(listed_max),
      use_(range_use(table)) {
    if (!goes_on()) begin_again(found_);
    begin();
}

// The table's definition may have changed since.
bool TableComparison::goes_on() const {
    if (!found_.sql.empty() && found_.sql != sums_query(table_)) return false;
    if (!found_.low) return found_.sums[0].rows + found_.sums[1].rows == 0;
    const std::size_t size = use_ == RangeUse::none ? slice_texts : table_.key.size();
    return found_.low->size() == size + 1 && found_.low->back() == bound_mark(table_);
}

void TableComparison::begin() {
    if (found_.sql.empty()) found_.sql = sums_query(table_);
    if (!found_.begun_at) found_.begun_at = std::chrono::system_clock::now();
    found_.verdict = TableVerdict::comparing;
    slices_ = 1;
    slice_ = 0;
    if (use_ != RangeUse::none || !can_be_sliced(table_)) return;
    const std::uint64_t wanted = std::bit_ceil(table_.rows_estimate / verify_slice_rows + 1);
    // One that goes on has its own number of them.
    slices_ = std::min(wanted, verify_slices_max);
    if (!found_.low) return;
    slices_ = std::max<std::uint64_t>(number(found_.low->at(1)), 1);
    slice_ = std::min(number(found_.low->front()), slices_ - 1);
}

void TableComparison::make_smaller() {
    range_rows_ = std::max(range_rows_ / 2, verify_range_rows_min);
}

void TableComparison::limit_range(std::uint64_t rows) {
    range_rows_max_ = std::clamp(rows, verify_range_rows_min, verify_range_rows_max);
    range_rows_ = std::min(range_rows_, range_rows_max_);
}

Result<KeyRange> TableComparison::next_range(Twin& twin) const {
    if (use_ == RangeUse::none) return KeyRange{{}, {}, {slice_, slices_}};
    KeyRange range{found_.low, std::nullopt, {}};
    if (range.low) range.low->pop_back();  // The mark.
    auto end = range_end(twin, range);
    if (!end) return end.error();
    range.high = std::move(*end);
    return range;
}

void TableComparison::go_on_above(const KeyRange& range) {
    if (use_ == RangeUse::none) {
        finished_ = ++slice_ == slices_;
        // With a key it would be taken for a bound: there a crash begins the table anew.
        if (table_.key.empty())
            found_.low = std::vector<std::string>{std::to_string(slice_), std::to_string(slices_)};
    } else {
        finished_ = !range.high.has_value();
        found_.low = range.high;
    }
    if (!finished_) {
        if (found_.low) found_.low->push_back(bound_mark(table_));
        return;
    }
    found_.low.reset();
    found_.verdict = found_.differences == 0 ? TableVerdict::equal : TableVerdict::different;
}

Status TableComparison::next(Twin& twin) {
    const auto begun_at = std::chrono::steady_clock::now();
    if (Status alike = columns_alike(twin); !alike) return alike;
    const auto range = next_range(twin);
    if (!range) return range.error();
    const std::uint64_t estimate =
        use_ == RangeUse::none ? table_.rows_estimate / slices_ : range_rows_;
    RangeResult result;
    if (Status compared = compare(twin, *range, estimate, result); !compared) return compared;
    if (use_ == RangeUse::equal && result.differences > 0) {
        const auto exact = confirmed(twin, result);
        if (!exact) return exact.error();
        if (!*exact) {
            use_ = RangeUse::none;
            begin_again(found_);
            begin();
            return Done{};
        }
    }
    take(std::move(result));
    fit_range(std::chrono::steady_clock::now() - begun_at);
    go_on_above(*range);
    return Done{};
}

// Extra columns of one side, or new ones of both, would stay unseen otherwise.
Status TableComparison::columns_alike(Twin& twin) const {
    std::set<std::string> names[2];
    for (const Side side : {Side::source, Side::target}) {
        const auto rows = twin.query(side, columns_query(table_), {}, columns_max);
        if (!rows) return rows.error();
        for (const Twin::Row& row : *rows) names[index(side)].insert(cell(row, 0));
    }
    std::set<std::string> known;
    for (const Column& column : table_.columns) known.insert(column.name);
    if (names[0] == names[1] && names[0] == known) return Done{};
    if (names[0] == names[1])
        return Error{Errc::refused, "its columns have changed"};  // Here they are of the past.
    std::string detail = "its columns differ:";
    for (const Side side : {Side::source, Side::target}) {
        for (const std::string& one : names[index(side)]) {
            if (!names[index(other(side))].contains(one))
                detail += " " + one + " is only on the " + std::string{name(side)} + ";";
        }
    }
    detail.pop_back();
    return Error{Errc::server, detail, undefined_column};
}

Result<bool> TableComparison::confirmed(Twin& twin, const RangeResult& result) const {
    if (result.differences > confirmed_max || result.listed.size() < result.differences)
        return false;
    std::vector<std::string> keys;
    for (const VerifyDifference& one : result.listed) keys.push_back(one.key);
    const std::string sql = keys_query(table_, keys);
    const auto answers = ask_both(twin, sql, KeyRange{}, verify_listed_rows_max);
    Listed listed[2];
    for (const Side side : {Side::source, Side::target}) {
        const Answer& answer = answers[index(side)];
        if (!answer) return answer.error();
        for (const Twin::Row& row : *answer)
            listed[index(side)][{cell(row, 0), cell(row, 1), cell(row, 2)}] += number(cell(row, 3));
    }
    RangeResult by_key;
    compare_listed(listed, by_key);
    using Names = std::multiset<std::pair<std::string, std::string>>;
    Names ranged, keyed;
    for (const VerifyDifference& one : result.listed) ranged.emplace(one.key, one.kind);
    for (const VerifyDifference& one : by_key.listed) keyed.emplace(one.key, one.kind);
    return ranged == keyed;
}

void TableComparison::take(RangeResult result) {
    for (const Side side : {Side::source, Side::target})
        found_.sums[index(side)].add(result.sums[index(side)]);
    found_.differences += result.differences;
    for (VerifyDifference& one : result.listed) {
        if (found_.listed.size() >= listed_max_) break;
        found_.listed.push_back(std::move(one));
    }
}

void TableComparison::fit_range(std::chrono::steady_clock::duration took) {
    const double fitting =
        static_cast<double>(range_rows_) *
        (verify_range_time / std::chrono::duration<double>(took + std::chrono::microseconds{1}));
    const auto most = static_cast<double>(std::min(range_rows_ * growth_max, range_rows_max_));
    range_rows_ = static_cast<std::uint64_t>(
        std::clamp(fitting, static_cast<double>(verify_range_rows_min), most));
}

// The end of the next range as the authority's snapshot has it; none: the rest of the table is one
// range.
Result<std::optional<std::vector<std::string>>> TableComparison::range_end(
    Twin& twin, const KeyRange& range) const {
    const auto rows = twin.query(
        authority_, range_end_query(table_, range, range_rows_), range_parameters(range), 1);
    if (!rows) return rows.error();
    if (rows->empty()) return std::optional<std::vector<std::string>>{};
    std::vector<std::string> key;
    for (std::size_t i = 0; i < rows->front().size(); ++i) key.push_back(cell(rows->front(), i));
    return std::optional{std::move(key)};
}

Status TableComparison::compare(Twin& twin,
                                const KeyRange& range,
                                std::uint64_t rows_estimate,
                                RangeResult& result) {
    const std::uint64_t buckets =
        std::clamp(std::bit_ceil(rows_estimate / bucket_rows + 1), buckets_min, buckets_max);
    const auto answers = ask_both(twin, bucket_query(table_, range, buckets), range, buckets);
    Buckets sums[2];
    for (const Side side : {Side::source, Side::target}) {
        const Answer& answer = answers[index(side)];
        if (!answer) return answer.error();
        for (const Twin::Row& row : *answer) {
            Sums one{cell(row, 1), cell(row, 2), cell(row, 3)};
            result.sums[index(side)].add(
                {number(one.count), wrapped(one.first), wrapped(one.second)});
            sums[index(side)][cell(row, 0)] = std::move(one);
        }
    }
    const auto& [source, target] = sums;
    for (const auto& [bucket, sum] : source) {
        const auto same = target.find(bucket);
        if (same != target.end() && same->second == sum) continue;
        if (auto listed = list(twin, range, buckets, bucket, result); !listed) return listed;
    }
    for (const auto& [bucket, sum] : target) {
        if (source.contains(bucket)) continue;
        if (auto listed = list(twin, range, buckets, bucket, result); !listed) return listed;
    }
    return Done{};
}

Status TableComparison::list(Twin& twin,
                             const KeyRange& range,
                             std::uint64_t buckets,
                             const std::string& bucket,
                             RangeResult& result) {
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
    compare_listed(listed, result);
    return Done{};
}

void TableComparison::compare_listed(Listed (&listed)[2], RangeResult& result) const {
    auto& ours = listed[index(authority_)];
    auto& theirs = listed[index(other(authority_))];
    // What both have cancels out; what is left of a key on one side is missing or extra, on both
    // changed.
    for (auto& [row, times] : ours) {
        const auto same = theirs.find(row);
        if (same == theirs.end()) continue;
        const std::uint64_t both = std::min(times, same->second);
        times -= both;
        same->second -= both;
    }
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_key;
    const auto key = [&](const std::array<std::string, 3>& row) {
        return table_.key.empty() ? hash_key(row[1], row[2]) : row[0];
    };
    for (const auto& [row, times] : ours) by_key[key(row)].first += times;
    for (const auto& [row, times] : theirs) by_key[key(row)].second += times;
    for (const auto& [name, times] : by_key) report(name, times.first, times.second, result);
}

void TableComparison::report(const std::string& key,
                             std::uint64_t on_authority,
                             std::uint64_t on_follower,
                             RangeResult& result) const {
    // Without a key nothing tells which rows belong together: each is missing or extra.
    const std::uint64_t changed = table_.key.empty() ? 0 : std::min(on_authority, on_follower);
    const auto add = [&](std::uint64_t times, const char* kind) {
        result.differences += times;
        for (std::uint64_t i = 0; i < times && result.listed.size() < listed_max_; ++i)
            result.listed.push_back({table_.plain_name(), key, kind});
    };
    add(changed, "changed");
    add(on_authority - changed, "missing");
    add(on_follower - changed, "extra");
}

}  // namespace segue::backfill::postgres
