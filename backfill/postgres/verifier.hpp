#pragma once
// Compares every table of both sides under twin snapshots, in ranges of the key. One statement a side and range
// sums two 64-bit hashes of the rows' texts in buckets; only buckets that differ are listed by key. What is
// reported is therefore exact under any load, and a difference is a difference.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/catalog.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

using OpenTwin = std::function<Result<std::unique_ptr<Twin>>()>;

// Rows of one range: small enough that a query takes about a second, large enough that a query's cost is its rows.
inline constexpr std::uint64_t verify_range_rows = 50'000;
// A twin holds snapshots open on both sides and with them the dead rows; after this it is taken anew.
inline constexpr std::chrono::seconds verify_twin_age_max{10};
// A range whose twin was lost (a TRUNCATE, a broken connection) is compared again under a new one.
inline constexpr int verify_attempts_max = 20;
// Pauses between these attempts, doubling: together they outlast DDL or a restart that takes some seconds.
struct VerifyPauses {
    std::chrono::milliseconds min{50}, max{1000};
};
// Rows listed of one bucket; far above what a bucket holds.
inline constexpr std::size_t verify_listed_rows_max = 1'000'000;
inline constexpr std::size_t verify_differences_max = 1000;

// `tables` are the source's. `rows_so_far` grows as rows are compared; `stopping` ends it with Errc::closed.
// An Error names the table that could not be compared, and why.
Result<VerifyResult> verify_tables(const std::vector<Table>& tables,
                                   const OpenTwin& open_twin,
                                   std::atomic<std::uint64_t>& rows_so_far,
                                   const std::atomic<bool>& stopping,
                                   VerifyPauses pauses = {});

}  // namespace segue::backfill::postgres
