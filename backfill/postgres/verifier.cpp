#include "backfill/postgres/verifier.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "backfill/postgres/verify_query.hpp"

namespace segue::backfill::postgres {

namespace {

using Sums = std::map<std::string, std::array<std::string, 3>>;  // bucket -> count, sum, sum
using Listed = std::map<std::array<std::string, 3>, std::uint64_t>;  // (key, hash, hash) -> how many

constexpr std::uint64_t bucket_rows = 1000;
constexpr std::uint64_t buckets_min = 64, buckets_max = 1u << 16;

std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string cell(const Twin::Row& row, std::size_t column) { return row[column].value_or(""); }

class TableComparison {
public:
    TableComparison(const Table& table, VerifyResult& result, std::atomic<std::uint64_t>& rows_so_far)
        : table_(table), result_(result), rows_so_far_(rows_so_far) {}

    // Compares one range under `twin`; counts only when the whole range was compared.
    Status compare(Twin& twin, const KeyRange& range, std::uint64_t rows_estimate) {
        const std::uint64_t buckets =
            std::clamp(std::bit_ceil(rows_estimate / bucket_rows + 1), buckets_min, buckets_max);
        const auto source = sums(twin, Side::source, range, buckets);
        if (!source) return source.error();
        const auto target = sums(twin, Side::target, range, buckets);
        if (!target) return target.error();
        std::vector<VerifyDifference> found;
        std::uint64_t rows = 0;
        for (const auto& [bucket, sum] : *source) {
            rows += number(sum[0]);
            const auto same = target->find(bucket);
            if (same != target->end() && same->second == sum) continue;
            if (auto listed = list(twin, range, buckets, bucket, found); !listed) return listed;
        }
        for (const auto& [bucket, sum] : *target) {
            if (source->contains(bucket)) continue;
            if (auto listed = list(twin, range, buckets, bucket, found); !listed) return listed;
        }
        count(rows, std::move(found));
        return Done{};
    }

private:
    Result<Sums> sums(Twin& twin, Side side, const KeyRange& range, std::uint64_t buckets) {
        const auto rows = twin.query(side, bucket_query(table_, range, buckets), range_parameters(range), buckets);
        if (!rows) return rows.error();
        Sums result;
        for (const Twin::Row& row : *rows) result[cell(row, 0)] = {cell(row, 1), cell(row, 2), cell(row, 3)};
        return result;
    }

    Result<Listed> listed(Twin& twin, Side side, const KeyRange& range, const std::string& sql) {
        const auto rows = twin.query(side, sql, range_parameters(range), verify_listed_rows_max);
        if (!rows) return rows.error();
        Listed result;
        for (const Twin::Row& row : *rows) {
            result[{cell(row, 0), cell(row, 1), cell(row, 2)}] += number(cell(row, 3));
        }
        return result;
    }

    Status list(Twin& twin, const KeyRange& range, std::uint64_t buckets, const std::string& bucket,
                std::vector<VerifyDifference>& found) {
        const std::string sql = list_query(table_, range, buckets, number(bucket));
        auto source = listed(twin, Side::source, range, sql);
        if (!source) return source.error();
        auto target = listed(twin, Side::target, range, sql);
        if (!target) return target.error();
        // What both have cancels out; what is left of a key on one side is missing or extra, on both different.
        for (auto& [row, times] : *source) {
            const auto same = target->find(row);
            if (same == target->end()) continue;
            const std::uint64_t both = std::min(times, same->second);
            times -= both;
            same->second -= both;
        }
        std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_key;
        for (const auto& [row, times] : *source) by_key[row[0]].first += times;
        for (const auto& [row, times] : *target) by_key[row[0]].second += times;
        for (const auto& [key, times] : by_key) report(key, times.first, times.second, found);
        return Done{};
    }

    void report(const std::string& key, std::uint64_t on_source, std::uint64_t on_target,
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

    void count(std::uint64_t rows, std::vector<VerifyDifference> found) {
        result_.rows_compared += rows;
        result_.differences += found.size();
        rows_so_far_.fetch_add(rows, std::memory_order_relaxed);
        for (VerifyDifference& difference : found) {
            if (result_.first_differences.size() >= verify_differences_max) break;
            result_.first_differences.push_back(std::move(difference));
        }
    }

    const Table& table_;
    VerifyResult& result_;
    std::atomic<std::uint64_t>& rows_so_far_;
};

// Keeps one twin open for a while and replaces it when it is old or lost.
class TwinHolder {
public:
    explicit TwinHolder(const OpenTwin& open) : open_(open) {}

    Result<Twin*> get() {
        if (twin_ && Clock::now() - opened_ > verify_twin_age_max) twin_.reset();
        if (!twin_) {
            auto opened = open_();
            if (!opened) return opened.error();
            twin_ = std::move(*opened);
            opened_ = Clock::now();
        }
        return twin_.get();
    }
    void drop() { twin_.reset(); }

private:
    const OpenTwin& open_;
    std::unique_ptr<Twin> twin_;
    Clock::time_point opened_;
};

// The end of the next range as the source's snapshot has it; none: the rest of the table is one range.
Result<std::optional<std::vector<std::string>>> range_end(Twin& twin, const Table& table, const KeyRange& range) {
    const auto rows = twin.query(Side::source, range_end_query(table, range, verify_range_rows),
                                 range_parameters(range), 1);
    if (!rows) return rows.error();
    if (rows->empty()) return std::optional<std::vector<std::string>>{};
    std::vector<std::string> key;
    for (std::size_t i = 0; i < rows->front().size(); ++i) key.push_back(cell(rows->front(), i));
    return std::optional{std::move(key)};
}

// Compares the range above `low` and moves `low` to its end. True when it was the table's last.
Result<bool> compare_next(Twin& twin, const Table& table, TableComparison& comparison,
                          std::optional<std::vector<std::string>>& low) {
    KeyRange range{low, std::nullopt};
    std::uint64_t rows = verify_range_rows;
    if (key_orders_alike(table)) {
        auto end = range_end(twin, table, range);
        if (!end) return end.error();
        range.high = std::move(*end);
    } else {
        rows = table.rows_estimate;
    }
    if (auto compared = comparison.compare(twin, range, rows); !compared) return compared.error();
    low = range.high;
    return !range.high.has_value();
}

Status verify_table(const Table& table, TwinHolder& twins, TableComparison& comparison,
                    const std::atomic<bool>& stopping, VerifyPauses pauses) {
    std::optional<std::vector<std::string>> low;
    auto pause = pauses.min;
    for (int attempts = 0;;) {
        if (stopping.load(std::memory_order_relaxed)) return Error{Errc::closed, "verification was stopped"};
        auto twin = twins.get();
        auto last = twin ? compare_next(**twin, table, comparison, low) : Result<bool>{twin.error()};
        if (!last) {
            twins.drop();
            if (++attempts == verify_attempts_max) {
                return Error{last.error().code, table.plain_name() + ": " + last.error().detail, last.error().sqlstate};
            }
            std::this_thread::sleep_for(pause);
            pause = std::min(pause * 2, pauses.max);
            continue;
        }
        if (*last) return Done{};
        attempts = 0;
        pause = pauses.min;
    }
}

}  // namespace

Result<VerifyResult> verify_tables(const std::vector<Table>& tables,
                                   const OpenTwin& open_twin,
                                   std::atomic<std::uint64_t>& rows_so_far,
                                   const std::atomic<bool>& stopping,
                                   VerifyPauses pauses) {
    VerifyResult result;
    TwinHolder twins{open_twin};
    for (const Table& table : tables) {
        TableComparison comparison{table, result, rows_so_far};
        if (auto done = verify_table(table, twins, comparison, stopping, pauses); !done) return done.error();
    }
    return result;
}

}  // namespace segue::backfill::postgres
