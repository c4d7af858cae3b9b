#pragma once
// The comparison of one table, range after range, each under whatever twin its caller has.

#include <array>
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
            // ranges that are all equal prove the tables equal; one that is not proves nothing.
    none,  // There is no key: the table is one range.
};
RangeUse range_use(const Table& table);

class TableComparison {
public:
    explicit TableComparison(const Table& table) : table_(table), use_(range_use(table)) {}

    // Compares the next range under `twin`; one that fails is compared again by the next call. Rows
    // that it counted are in rows(); they become fewer where ranges turn out to prove nothing and
    // the table is begun anew.
    Status next(Twin& twin);
    bool finished() const { return finished_; }
    // A range was too much for its twin.
    void make_smaller();

    std::uint64_t rows() const { return rows_; }
    std::vector<VerifyDifference>& differences() { return differences_; }

private:
    // bucket -> count, sum, sum
    using Sums = std::map<std::string, std::array<std::string, 3>>;
    using Listed =
        std::map<std::array<std::string, 3>, std::uint64_t>;  // (key, hash, hash) -> how many

    Status compare(Twin& twin, const KeyRange& range, std::uint64_t rows_estimate);
    Status list(Twin& twin,
                const KeyRange& range,
                std::uint64_t buckets,
                const std::string& bucket,
                std::vector<VerifyDifference>& found);
    Result<std::optional<std::vector<std::string>>> range_end(Twin& twin,
                                                              const KeyRange& range) const;
    void report(const std::string& key,
                std::uint64_t on_source,
                std::uint64_t on_target,
                std::vector<VerifyDifference>& found) const;

    const Table& table_;
    RangeUse use_;
    std::uint64_t range_rows_ = 0;  // Zero until the first range.
    std::optional<std::vector<std::string>> low_;
    bool finished_ = false;
    std::uint64_t rows_ = 0;
    std::vector<VerifyDifference> differences_;
};

}  // namespace segue::backfill::postgres
