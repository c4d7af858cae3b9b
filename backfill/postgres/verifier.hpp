#pragma once
// Compares every table of both sides under twin snapshots, in ranges of the key. One statement a
// side and range sums two 64-bit hashes of the rows' texts in buckets; only buckets that differ are
// listed by key. What is reported is therefore exact under any load, and a difference is a
// difference.
//
// A twin locks only the tables that are being compared, for about a second: small tables share one,
// a large table has one after another. Where one of several tables spoils their twin, each gets its
// own.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/twin.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Connected; shows nothing yet.
using OpenTwin = std::function<Result<std::unique_ptr<TableTwin>>()>;

// Rows of one range: first this, then as many as one takes about verify_range_time for.
inline constexpr std::uint64_t verify_range_rows = 20'000;
inline constexpr std::uint64_t verify_range_rows_min = 500, verify_range_rows_max = 1'000'000;
inline constexpr std::chrono::milliseconds verify_range_time{700};
// A twin holds locks, and snapshots open on both sides and with them the dead rows; after this it
// is taken anew.
inline constexpr std::chrono::milliseconds verify_twin_age_max{1000};
// For one twin to be taken, the waits for locks included.
inline constexpr std::chrono::seconds verify_twin_time{5};
// Tables that may share a twin: each at most of this size, together at most this and so many.
inline constexpr std::uint64_t verify_shared_rows_max = 50'000;
inline constexpr std::size_t verify_shared_tables_max = 50;
// A range whose twin was not to be had or was lost (a lock, a TRUNCATE, a broken connection) is
// compared again under a new one; beyond this the verification fails and names the table.
inline constexpr int verify_attempts_max = 20;
// Pauses between these attempts, doubling: together they outlast DDL or a restart that takes some
// seconds.
struct VerifyPauses {
    std::chrono::milliseconds min{50}, max{1000};
};
// Rows listed of one bucket; far above what a bucket holds.
inline constexpr std::size_t verify_listed_rows_max = 1'000'000;
inline constexpr std::size_t verify_differences_max = 1000;

// `tables` are the authority's, and are meant by name on both sides. `rows_so_far` grows as rows
// are compared; `stopping` ends it with Errc::closed. An Error names the table that could not be
// compared, and why.
Result<VerifyResult> verify_tables(const std::vector<Table>& tables,
                                   const OpenTwin& open_twin,
                                   std::atomic<std::uint64_t>& rows_so_far,
                                   const std::atomic<bool>& stopping,
                                   VerifyPauses pauses = {});

}  // namespace segue::backfill::postgres
