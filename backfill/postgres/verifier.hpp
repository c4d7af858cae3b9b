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
#include <set>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/twin.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Connected; shows nothing yet.
using OpenTwin = std::function<Result<std::unique_ptr<TableTwin>>()>;

// A twin holds locks, and snapshots open on both sides and with them the dead rows; after this it
// is taken anew.
inline constexpr std::chrono::milliseconds verify_twin_age_max{1000};
// For one twin to be taken, the waits for locks included.
inline constexpr std::chrono::seconds verify_twin_time{5};
// Tables that may share a twin: each at most of this size, together at most this and so many.
inline constexpr std::uint64_t verify_shared_rows_max = 50'000;
inline constexpr std::size_t verify_shared_tables_max = 50;
// A range whose twin was not to be had or was lost (a lock, a TRUNCATE, a broken connection) is
// compared again under a new one; beyond this the verification fails and names the table. What it
// has compared stays, and the next one goes on there.
inline constexpr int verify_attempts_max = 20;
// Of a table or column that only one side has, or whose rows a side cannot show: the follower may
// be about to get it; then the table is `unlike`, and the others go on.
inline constexpr int verify_unlike_attempts_max = 6;
// Pauses between these attempts, doubling: together they outlast DDL or a restart that takes some
// seconds.
struct VerifyPauses {
    std::chrono::milliseconds min{50}, max{1000};
};

// Where a verification that goes on is kept.
class VerifyBook {
public:
    virtual ~VerifyBook() = default;
    // That table has got further. Not every call writes: what is lost in a crash is compared again.
    virtual Status note(const Verification& verification, const Verification::TableName& table) = 0;
    // All of it is durable on both sides when this returns.
    virtual Status close(const Verification& verification) = 0;
};

struct VerifyWork {
    const OpenTwin& open_twin;
    VerifyBook& book;
    std::atomic<std::uint64_t>& rows_so_far;  // Grows as rows are compared.
    // Read before every range: at most so many rows a second; zero is no limit. A wait holds no
    // twin.
    const std::atomic<std::uint64_t>& rows_per_second;
    const std::atomic<bool>& stopping;  // Ends it with Errc::closed.
    // The tables as the mover knows them now: DDL may have changed one.
    std::function<std::vector<Table>()> tables_now;
    VerifyPauses pauses = {};
    // The follower's sequences that stand behind the authority's where they should not.
    std::function<Result<std::set<Verification::TableName>>()> sequences_behind = {};
    // Nothing but these is compared. Empty: everything is.
    std::set<Verification::TableName> only = {};
};

// Compares what of `verification` is not done; `tables` are the authority's, and are meant by name
// on both sides. Tables that it does not name yet are added. An Error names the table that could
// not be compared, and why. It stays `running` while a table waits.
Status verify_tables(const std::vector<Table>& tables,
                     Verification& verification,
                     const VerifyWork& work);

}  // namespace segue::backfill::postgres
