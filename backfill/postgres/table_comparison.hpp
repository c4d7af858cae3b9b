#pragma once
// The comparison of one table, range after range, each under whatever twin its caller has.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/verify_query.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// How ranges of a table's key can be used.
enum class RangeUse : std::uint8_t {
    exact,  // They hold the same keys on both sides.
    equal,  // The sides may order the key differently. Every row is in some range on each side, so
            // ranges that are all equal prove the tables equal; of one that is not, the rows are
            // compared by key, and where that says otherwise the order was what differed.
    none,   // There is no key, or no order: slices.
};
RangeUse range_use(const Table& table);

// Rows of one range: first this, then as many as one takes about verify_range_time for.
inline constexpr std::uint64_t verify_range_rows = 20'000;
inline constexpr std::uint64_t verify_range_rows_min = 500, verify_range_rows_max = 1'000'000;
inline constexpr std::chrono::milliseconds verify_range_time{700};
// Rows listed of one bucket; far above what a bucket holds.
inline constexpr std::size_t verify_listed_rows_max = 1'000'000;

// Rows of one slice. Each of them costs a reading of the table, of those columns that it goes by.
inline constexpr std::uint64_t verify_slice_rows = 2'000'000, verify_slices_max = 64;

class TableComparison {
public:
    // What is found is told in `found`, which may be half done: it then goes on there. At most
    // `listed_max` differences are listed. `authority`: the other side's rows are the ones that are
    // missing or extra.
    TableComparison(const Table& table,
                    Side authority,
                    VerifiedTable& found,
                    std::size_t listed_max);

    // Compares the next range under `twin`; one that fails is compared again by the next call. The
    // table is begun anew where ranges turn out to prove nothing.
    Status next(Twin& twin);
    bool finished() const { return finished_; }
    // A range was too much for its twin.
    void make_smaller();
    // No range has more rows than that.
    void limit_range(std::uint64_t rows);

private:
    struct Sums {
        std::string count, first, second;
        friend bool operator==(const Sums&, const Sums&) = default;
    };
    using Buckets = std::map<std::string, Sums>;
    using Listed =
        std::map<std::array<std::string, 3>, std::uint64_t>;  // (key, hash, hash) -> how many
    struct RangeResult {
        RowSums sums[2];
        std::uint64_t differences = 0;
        std::vector<VerifyDifference> listed;
    };

    Status compare(Twin& twin,
                   const KeyRange& range,
                   std::uint64_t rows_estimate,
                   RangeResult& result);
    // Whether the rows that were listed are the very ones that differ, key by key.
    Result<bool> confirmed(Twin& twin, const RangeResult& result) const;
    void compare_listed(Listed (&listed)[2], RangeResult& result) const;
    Status columns_alike(Twin& twin) const;
    Result<KeyRange> next_range(Twin& twin) const;
    void go_on_above(const KeyRange& range);
    Status list(Twin& twin,
                const KeyRange& range,
                std::uint64_t buckets,
                const std::string& bucket,
                RangeResult& result);
    Result<std::optional<std::vector<std::string>>> range_end(Twin& twin,
                                                              const KeyRange& range) const;
    void report(const std::string& key,
                std::uint64_t on_authority,
                std::uint64_t on_follower,
                RangeResult& result) const;
    bool goes_on() const;  // Where `found` was.
    void begin();
    void take(RangeResult result);
    void fit_range(std::chrono::steady_clock::duration took);

    const Table& table_;
    Side authority_;
    VerifiedTable& found_;
    std::size_t listed_max_;
    RangeUse use_;
    std::uint64_t range_rows_ = verify_range_rows, range_rows_max_ = verify_range_rows_max;
    std::uint64_t slice_ = 0, slices_ = 1;
    bool finished_ = false;
};

}  // namespace segue::backfill::postgres
