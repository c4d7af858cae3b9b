#pragma once
// A simulated database: rows, a change log, snapshots that are no prefix of it (DESIGN law 4),
// commits that are lost in a crash where nobody waited for the disk, and the tables in which the
// mover keeps what it knows. What was lost may be written again at the same positions under the
// same ids.

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "backfill/chunk.hpp"
#include "backfill/control.hpp"
#include "backfill/snapshot.hpp"
#include "backfill/unseen.hpp"
#include "protocol/position.hpp"

namespace segue::simulation {

inline constexpr int rows_table = 0;     // Copied in chunks, in the order of its key.
inline constexpr int journal_table = 1;  // One row a transaction; copied whole.
inline constexpr int tables = 2;

struct RowChange {
    enum class Kind : std::uint8_t { insert, update, rename, remove, truncate };
    Kind kind = Kind::insert;
    int table = rows_table;
    int key = 0;
    int new_key = 0;            // Of rename.
    std::uint64_t value = 0;    // Of insert and update.
    bool value_unsent = false;  // Of rename: the stream leaves the value out.
};

using Rows = std::map<std::pair<int, int>, std::uint64_t>;  // (table, key) -> value

// False, and nothing is changed, when there is not exactly the row that the change speaks of.
bool apply_strictly(Rows& rows, const RowChange& change);
// As somebody would who papers over what does not fit.
void apply_somehow(Rows& rows, const RowChange& change);

struct StoredProgress {
    Position applied;
    std::vector<Position> beyond;
    Position restart;
    backfill::Unseen::Durable unseen;
};
struct StoredChunk {
    int table = 0;
    std::uint64_t number = 0;
    backfill::ChunkRange range;
    Position loaded_at;
};
// Schema segue.
struct Meta {
    std::optional<backfill::ControlRecord> control;
    std::optional<StoredProgress> progress;  // Of the other side's stream.
    std::vector<StoredChunk> chunks;
};

struct Commit {
    std::uint64_t xid = 0;
    Position start, end;
    std::vector<RowChange> changes;
    bool is_mover = false;
    bool visible = false;
    std::optional<Meta> meta;  // As it is after this commit, where it changes it.
};

struct Slot {
    Position confirmed, persisted;
};

class Database {
public:
    // With the rows of before the move, or without any.
    explicit Database(bool with_rows);

    // Applications. A write takes its row's lock until the transaction is visible or aborted.
    std::uint64_t begin();
    bool write(std::uint64_t xid, const RowChange& change);
    void abort(std::uint64_t xid);
    Position commit(std::uint64_t xid);
    // Makes a commit visible; not before it is flushed, unless it is asynchronous. False: not yet.
    bool show(std::uint64_t xid, bool asynchronous);
    bool writers_open() const;         // Also those that are not visible yet.
    bool truncating(int table) const;  // Somebody holds the lock of a TRUNCATE.

    // One of ours: in the log, flushed and visible at once.
    void commit_ours(std::vector<RowChange> changes, Meta meta, bool is_mover);
    void commit_ticket();

    void unlock(int table) { readers[table] = std::max(0, readers[table] - 1); }
    void flush() { flushed_ = inserted_; }
    void make_noise() { inserted_.value += 3; }  // Changes of transactions that are still open.
    void crash();

    backfill::Snapshot snapshot() const;
    Rows rows_seen(const backfill::Snapshot& snapshot) const;
    const Rows& rows() const { return latest_; }
    const Meta& meta() const { return meta_; }
    Position inserted() const { return inserted_; }
    Position flushed() const { return flushed_; }
    const std::vector<Commit>& log() const { return log_; }

    bool fence_closed = false;
    bool fence_locked = false;  // By a living session of ours.
    bool reachable = true;
    std::optional<Slot> slot;
    std::uint64_t crashes = 0;
    int readers[tables] = {};  // Who reads a table under a lock keeps TRUNCATE off.

private:
    Commit& append(std::uint64_t xid, std::vector<RowChange> changes);
    bool locked_by_others(std::uint64_t xid, const RowChange& change) const;
    bool conflicts(const std::vector<RowChange>& held, const RowChange& wanted) const;

    std::vector<Commit> log_;
    std::map<std::uint64_t, std::vector<RowChange>> open_;
    std::vector<std::size_t> invisible_;  // Places in the log, rising.
    Rows latest_;                         // Of everything in the log.
    Meta meta_;
    Position inserted_{1000}, flushed_{1000};
    std::uint64_t next_xid_ = 100;
    std::uint64_t ended_xid_ = 99;  // The highest that has become visible or was aborted.
};

}  // namespace segue::simulation
