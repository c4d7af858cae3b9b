#pragma once
// What outlives the runs of the mover: roles, positions, and figures that status shows.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backfill/applied_position.hpp"
#include "backfill/log_end_trail.hpp"
#include "backfill/mover.hpp"
#include "backfill/passed_over_keys.hpp"
#include "backfill/postgres/mover_authority.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/sequence_keeper.hpp"
#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::backfill::postgres {

// Stray writes of one side's stream since the last change of authority.
class StrayCount {
public:
    void reset(std::uint64_t count, const std::vector<std::string>& tables);
    void add(const std::vector<std::string>& tables);
    void mended(std::uint64_t count, const std::vector<std::string>& tables_left);
    std::uint64_t count() const;
    std::vector<std::string> tables() const;  // At most stray_tables_max.

private:
    mutable std::mutex mutex_;
    std::uint64_t count_ = 0;
    std::set<std::string> tables_;
};

// One side as it was last seen.
struct SideFigures {
    Position log_end;
    LogEndTrail trail;
    std::uint64_t retained_log_bytes = 0;
    // The server's clock minus ours.
    std::chrono::microseconds clock_ahead{0};
    bool known = false;
};

struct TableFigures {
    std::uint64_t rows_copied = 0, bytes_copied = 0;
    std::optional<std::uint64_t> rows_estimate;
    bool started = false, loaded = false;
    std::string stopped_because;
};

// A change of the schema that is being made on the follower. `transaction`: where it starts in the
// stream. One that waits in a circle stays while it begins anew, with the moment when it began
// first.
struct SchemaWork {
    std::string what, waits_for;
    std::chrono::steady_clock::time_point since;
    Position transaction;
};

enum class LeaseState {
    free,  // As far as is known.
    own,
    of_another,
    superseded,  // Ours, but the record is not of the authority that we were told.
};

// Thread-safe by its mutex, except what is atomic or says so.
struct MoverShared {
    MoverSettings settings;  // Constant.
    MoverIdentity identity;  // Constant after start().
    AppliedPosition applied[2];
    StrayCount strays[2];
    SequenceKeeper sequences;
    // Where the present authority's epoch began in its stream. What is recorded of strays is tied
    // to it.
    std::atomic<std::uint64_t> since{0};
    // The present authority's, and that of a change which this process is making, else 0.
    std::atomic<std::uint64_t> epoch{0}, own_epoch{0};
    std::atomic<bool> paused{false};
    // Changes that a table of the set does not take are passed over, on the operator's word.
    std::atomic<bool> passes_over{false};
    std::atomic<std::uint64_t> passed_over{0};  // So many were.
    // How often an applier has made changes of the schema durable.
    std::atomic<std::uint64_t> schema_changes{0};
    // A change of the schema waits for a lock: whoever copies lets its chunks go, and with them its
    // locks, until that is over.
    std::atomic<bool> copiers_make_way{false};
    // The operator has dealt with a command that may have brought code to the follower.
    std::atomic<bool> code_let_pass{false};

    mutable std::mutex mutex;
    Side authority = Side::source;
    router::Backfill backfill = router::Backfill::none;
    LeaseState lease = LeaseState::free;
    // The generations that a run of ours has taken last, by side; empty once they are known to be
    // lost.
    std::optional<std::int64_t> leases[2];
    bool indexing = false;
    SideFigures sides[2];
    std::map<std::pair<std::string, std::string>, TableFigures> tables;
    std::set<std::pair<std::string, std::string>> passed_over_tables;
    std::map<std::pair<std::string, std::string>, PassedOverKeys> passed_over_keys;
    std::vector<std::string> problems;
    std::string stream_problem[2];
    std::string schema_stop;  // As MoverStatus has it, of the last run.
    std::optional<SchemaWork> schema_work;
    // Set when the copy cannot go on at all (law 3, law 11): until the operator starts anew.
    std::string invalid;
    std::optional<std::chrono::steady_clock::time_point> copying_since;
    std::uint64_t copied_when_started = 0;

    Told told() const {
        const std::lock_guard lock{mutex};
        return {authority, epoch.load(), own_epoch.load(), Position{since.load()}};
    }
};

}  // namespace segue::backfill::postgres
