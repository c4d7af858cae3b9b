#pragma once
// Decides for every transaction of one side's stream what becomes of it: applied, buffered in a
// chunk that is being copied, skipped because it is on the follower already, parked while a twin is
// opened, or only watched (a follower's stream: whatever is not the mover's own is a stray write).
// Owns the stream's position. Pure: no I/O, no clock, no threads; one owner (StreamPipe).

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/chunk.hpp"
#include "backfill/snapshot.hpp"
#include "backfill/unseen.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill {

using TableName = std::pair<std::string, std::string>;  // Schema and name.

// What the applier is given, in order. A Change belongs to the CommitDone that follows it.
struct CommitDone {
    Position start, position;
    std::chrono::sys_time<std::chrono::microseconds> committed_at;
};
struct Passed {  // Everything up to here is dealt with, and nothing of it was for the follower.
    Position position;
};
struct ParkedCommit {  // Set aside; comes again as changes and a CommitDone.
    Position start;
};
struct StrayWrite {
    Position position;
    std::vector<std::string> tables;  // At most stray_tables_max.
};
// A chunk that was LOADED must be copied again: its record and its rows go, with this transaction.
struct ForgetChunk {
    TableName table;
    std::uint64_t number = 0;
    ChunkRange range;
};
// All of a table's chunks are void: their records go with this transaction. A truncate follows.
struct ForgetTable {
    TableName table;
};
using ApplyItem = std::variant<Change,
                               CommitDone,
                               Passed,
                               ParkedCommit,
                               StrayWrite,
                               ForgetChunk,
                               ForgetTable,
                               SchemaChange>;

inline constexpr std::size_t stray_tables_max = 16;
// Memory of transactions that wait for a twin to open; beyond it the twin is given up.
inline constexpr std::size_t parked_bytes_max = 64u << 20;

enum class StreamRole : std::uint8_t { applied, watched };

// A table that is being copied.
struct TableInCopy {
    TableName name;
    std::vector<std::string> key_columns;  // What `chunks` is ordered by; empty: one chunk.
    TableChunks chunks;
    // Chunks may be opened once the follower has everything up to here: rows of a former copy are
    // gone.
    Position barrier;
    std::uint64_t next_number = 0;
    // It was altered: what is known of it here is of the past, and the next run copies it.
    bool altered = false;
    // The stream brings its DROP. Nobody copies it, and until then nothing of it is on the
    // follower.
    bool dropped_later = false;
};

class Dispatcher {
public:
    struct Start {
        Position applied;  // What is durably on the follower: delivered again, it is skipped.
        std::vector<Position> beyond;  // Commits above it that are there as well, by start.
        Unseen unseen;
    };
    explicit Dispatcher(Start start);

    // Transactions that begin at or above `since` are applied; those below, and all when watched,
    // are watched. Between transactions only.
    void set_role(StreamRole role, Position since);
    // Before the first event.
    TableInCopy& add_table(TableName name,
                           std::vector<std::string> key_columns,
                           std::shared_ptr<const KeyOrder> order);
    // Every table is on the follower for good: nothing is routed any more.
    void forget_tables();

    // Takes the next event; appends what follows from it. After an error the stream cannot go on.
    Status on(StreamEvent event, std::vector<ApplyItem>& out);

    bool at_boundary() const { return !transaction_; }
    // Nothing is delivered again any more: what the last run had is behind. Before that, a chunk or
    // a twin would miss commits that are skipped here and perhaps invisible there.
    bool caught_up() const { return covers_last_run(position_); }
    // Whether whoever has everything up to `position` from this dispatcher has all that the last
    // run had.
    bool covers_last_run(Position position) const { return position >= delivered_again_up_to_; }
    // Everything up to here was dispatched.
    Position position() const { return position_; }

    // Copying. All between transactions; a chunk is named by table and number and may be gone.
    TableInCopy* table(const TableName& name);
    const std::map<TableName, TableInCopy>& tables() const { return tables_; }
    Result<std::uint64_t> open_chunk(TableInCopy& table, ChunkRange range);
    // The snapshot was accepted (rule R2): what it sees of the buffer is dropped.
    void chunk_read(Chunk& chunk, const Snapshot& snapshot);
    // The buffered changes, in order, all of them invisible in the chunk's snapshot.
    std::vector<Buffered> take_buffer(Chunk& chunk);
    // The chunk is on the follower with everything up to position().
    void chunk_loaded(TableInCopy& table, Chunk& chunk);
    void abandon_chunk(TableInCopy& table, std::uint64_t number);
    std::size_t buffered_bytes() const { return buffered_bytes_; }

    // Twins: from now on commits that the snapshot does not see are parked ...
    void park_unseen_by(Snapshot snapshot);
    // ... until here: they follow now, in stream order.
    Status release_parked(std::vector<ApplyItem>& out);
    bool parking() const { return filter_.has_value(); }
    std::size_t parked_bytes() const { return parked_bytes_; }

    Unseen& unseen() { return unseen_; }
    const Unseen& unseen() const { return unseen_; }

private:
    enum class Fate : std::uint8_t { skip, watch, park, apply };
    struct Transaction {
        std::uint64_t xid = 0;
        Position start;
        std::chrono::sys_time<std::chrono::microseconds> committed_at;
        Fate fate = Fate::skip;
        bool forwarded = false;  // Something was given to the applier.
        std::set<std::string> stray_tables;
        std::vector<TableName> restarted;  // Tables whose barrier is this commit.
    };
    struct RelationRoute {
        TableInCopy* table = nullptr;
        std::vector<std::size_t> key;  // The key's columns in the relation.
        std::string lacks;             // The name of a key column that the relation does not have.
    };

    Fate fate_of(const TransactionBegin& begin) const;
    Status begin(const TransactionBegin& begin, std::vector<ApplyItem>& out);
    Status change(Change change, std::vector<ApplyItem>& out);
    Status schema_change(SchemaChange change, std::vector<ApplyItem>& out);
    Status commit(const TransactionCommit& commit, std::vector<ApplyItem>& out);
    Status apply(Change change, std::vector<ApplyItem>& out);
    Status apply_truncate(Change change, std::vector<ApplyItem>& out);
    Status apply_key_change(const RelationRoute& route, Change change, std::vector<ApplyItem>& out);
    void deliver(TableChunks::Target at, Change change, std::vector<ApplyItem>& out);
    void forget_chunk(TableInCopy& table, std::uint64_t number, std::vector<ApplyItem>& out);
    void begin_again(TableInCopy& table, std::vector<ApplyItem>& out);
    void take_for_whole(TableInCopy& table);
    void drop_buffer(Chunk& chunk);
    Result<const RelationRoute*> route_of(const Relation& relation);

    Position applied_at_start_;
    std::set<Position> beyond_at_start_;
    Position delivered_again_up_to_;
    StreamRole role_ = StreamRole::applied;
    Position since_;
    Position position_;
    Unseen unseen_;
    std::map<TableName, TableInCopy> tables_;
    std::unordered_map<const Relation*, RelationRoute> routes_;
    std::size_t buffered_bytes_ = 0;
    std::optional<Transaction> transaction_;
    std::optional<Snapshot> filter_;
    std::vector<StreamEvent> parked_;
    std::size_t parked_bytes_ = 0;
};

}  // namespace segue::backfill
