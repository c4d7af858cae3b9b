#pragma once
// Tables whose rows are suspected to differ, because reads of them have: which are to be compared
// next, and what their comparison has come to. Time is an argument. Thread-safe.

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backfill/verification.hpp"

namespace segue::backfill {

// What a read of the application's reads.
struct ReadTables {
    std::vector<Verification::TableName> tables;  // Those that have rows: partitions, not parents.
    std::vector<std::string> functions;  // "schema.name", of the database's own, that it calls.
};

// Kept at most; reads of further tables are not followed up.
inline constexpr std::size_t suspects_max = 1000;
// Named of each.
inline constexpr std::size_t suspect_rows_named_max = 5;
// After a comparison the table rests: so long where it was equal, so long where it was different
// (its rows are named already), and ten times as long as the comparison took. Until then a read
// that differs waits. A comparison may have been paused for days: no rest is longer than the last.
inline constexpr std::chrono::minutes suspect_pause_equal{1}, suspect_pause_different{10};
inline constexpr int suspect_pause_factor = 10;
inline constexpr std::chrono::hours suspect_pause_max{6};
// After a comparison that failed.
inline constexpr std::chrono::minutes suspect_pause_failed{1};

struct Suspect {
    Verification::TableName name;
    TableVerdict verdict = TableVerdict::waiting;  // Of the last comparison.
    bool mended = false;                           // And nothing was found since.
    std::uint64_t differences = 0;
    std::vector<VerifyDifference> first;         // The first of them.
    std::optional<WallTime> begun_at, ended_at;  // Of that comparison.
    std::optional<WallTime> wanted_since;  // A read has differed then, which none is later than.
    std::string problem;                   // Why it cannot be compared, or was not.
    std::optional<std::uint64_t> rows_compared;  // While it is being compared (again).
    std::uint64_t rows_estimate = 0;
};

class Suspects {
public:
    using Name = Verification::TableName;
    using Clock = std::chrono::steady_clock;

    // A read of them that `authority` answered has differed at `seen_at`. What is known of reads
    // that the other side answered is forgotten. Whether one of them may be compared for it now.
    bool add(Side authority,
             const std::vector<Name>& tables,
             WallTime seen_at,
             Clock::time_point now);
    // Those that may be compared now.
    std::vector<Name> due(Side authority, Clock::time_point now) const;
    // Whether a comparison that began then is later than a read that waits for one.
    bool is_shown_by(const Name& table, WallTime begun_at) const;
    // How far a comparison of the table is, whoever has asked for it.
    void note(const Name& name, const VerifiedTable& table, Clock::time_point now);
    void failed(const Name& name, const std::string& why, Clock::time_point now);
    void gone(const Name& name, Clock::time_point now);  // It is not moved.
    void mended(const Name& name);
    void let_go();  // Nobody waits for a comparison any more. What is known stays.
    std::vector<Suspect> list(Side authority) const;  // In the order of their names.

private:
    struct Entry {
        Suspect told;
        bool wanted = true;
        WallTime first_seen, last_seen;  // By reads that no comparison is later than.
        Clock::time_point not_before;
    };
    bool make_room(Clock::time_point now);
    static void take(Entry& entry, const VerifiedTable& table, Clock::time_point now);

    mutable std::mutex mutex_;
    Side authority_ = Side::source;
    std::map<Name, Entry> tables_;
};

}  // namespace segue::backfill
