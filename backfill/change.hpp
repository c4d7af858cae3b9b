#pragma once
// What a side's stream carries, as neutral values that own their memory: relations, changes, and
// the edges of transactions. Transactions arrive whole and in commit order, one after the other,
// and only committed ones.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/position.hpp"

namespace segue::backfill {

// One table as the stream describes it at one time.
struct Relation {
    struct Column {
        std::string name;
        std::uint32_t type_id = 0;  // The engine's number for the type (of that side's database).
        bool part_of_key = false;   // Of the identity by which the stream names old rows.
        std::int32_t type_modifier = -1;  // Its length, precision ...
        friend bool operator==(const Column&, const Column&) = default;
    };
    std::uint32_t id =
        0;  // The stream's number for the table; the same table keeps it, tables never share it.
    std::string schema, name;
    bool full_identity = false;  // Old rows come whole.
    std::vector<Column> columns;

    friend bool operator==(const Relation&, const Relation&) = default;
};

// Every description of a relation that a stream has sent, so that changes can point to theirs. Only
// grows (a table is described anew after DDL, and equal descriptions are kept once). Outlives every
// Change of its stream.
class RelationTable {
public:
    // Descriptions that one stream may send; at the limit `remember` returns nullptr and the stream
    // must stop, saying so: only a table altered this often since the start gets there.
    static constexpr std::size_t relations_max = 1 << 18;

    // The pointer stays valid, and the value unchanged, as long as this table lives.
    const Relation* remember(Relation relation);
    // The latest description under that id; nullptr when there was none.
    const Relation* find(std::uint32_t id) const;

private:
    std::deque<Relation> relations_;
    std::vector<const Relation*> latest_;  // Sorted by id.
};

enum class CellKind : std::uint8_t {
    null,       // In an old key also: not part of the key.
    unchanged,  // As before, and not sent: only in new rows of updates.
    text,
};

struct Cell {
    CellKind kind = CellKind::null;
    std::string_view text;  // Zero-terminated behind its end, for C interfaces. Empty unless text.

    friend bool operator==(const Cell&, const Cell&) = default;
};

enum class ChangeKind : std::uint8_t { insert, update, remove, truncate };

enum class OldRow : std::uint8_t {
    none,  // Inserts; updates that leave the key as it is.
    key,   // Only the key's columns have values.
    full,
};

// One change of a row, or one TRUNCATE. All cells live in one block of memory: header entries of
// fixed size, then the texts, each ended by a zero byte. Cheap to move.
class Change {
public:
    ChangeKind kind() const { return kind_; }
    OldRow old_row() const { return old_row_; }
    // Of truncate: the first relation.
    const Relation& relation() const { return *relation_; }

    // Counts are zero or relation().columns.size(). Views live as long as this object stays where
    // it is.
    std::size_t old_size() const { return old_size_; }
    std::size_t new_size() const { return new_size_; }
    Cell old_cell(std::size_t column) const;
    Cell new_cell(std::size_t column) const;
    // The cell that names the row before this change: the old one where there is one, else (an
    // update that leaves the key alone) the new one.
    Cell key_cell(std::size_t column) const;
    bool has_unchanged() const { return has_unchanged_; }

    // Truncate: every relation that the statement emptied, to be emptied by one statement as well.
    std::size_t truncated_size() const { return kind_ == ChangeKind::truncate ? new_size_ : 0; }
    const Relation& truncated(std::size_t i) const;
    bool restart_identity() const { return restart_identity_; }

    // What it occupies, for limits on queues.
    std::size_t memory() const { return sizeof(Change) + block_.capacity(); }

    static Change truncate(const std::vector<const Relation*>& relations, bool restart_identity);

private:
    friend class ChangeBuilder;
    Change() = default;
    Cell cell(std::size_t index) const;

    std::string block_;
    const Relation* relation_ = nullptr;
    std::uint16_t old_size_ = 0;
    std::uint32_t new_size_ = 0;  // Of truncate: relations.
    ChangeKind kind_ = ChangeKind::insert;
    OldRow old_row_ = OldRow::none;
    bool has_unchanged_ = false;
    bool restart_identity_ = false;
};

// Builds one row change front to back: old cells first, then new cells, as the stream has them.
class ChangeBuilder {
public:
    // `text_size_estimate` only saves reallocations.
    ChangeBuilder(const Relation& relation,
                  ChangeKind kind,
                  OldRow old_row,
                  std::size_t text_size_estimate);

    // Cells in the order of the relation's columns. Old ones are expected unless OldRow::none, new
    // ones unless `remove`. More cells than that, or texts above 2 GiB together, are asserts: the
    // stream checks counts.
    void add(CellKind kind, std::string_view text = {});
    bool complete() const { return next_ == change_.old_size_ + change_.new_size_; }
    // Asserts complete().
    Change take();

private:
    Change change_;
    std::size_t next_ = 0;
};

// A change of the schema, as the authority's engine has recorded it. It stands between the changes
// of rows that were made before and after it.
struct SchemaChange {
    struct TableId {
        std::string schema, name;
        friend bool operator==(const TableId&, const TableId&) = default;
    };
    std::vector<std::string> record;  // What the engine wrote of it; only its applier reads it.
    std::string what;                 // The kind of command, for people.
    std::vector<TableId> tables;      // Whose definition or existence it changes.
    bool reshapes_tables = false;     // Rows of theirs may be others afterwards.
    bool creates_tables = false;      // They begin here: every row of theirs follows.
    // The dispatcher's: where its transaction starts, and which of the tables are to be emptied
    // before it, because their copy begins anew behind it.
    Position start;
    std::vector<TableId> emptied;

    std::size_t memory() const;
    friend bool operator==(const SchemaChange&, const SchemaChange&) = default;
};

// The first thing of a transaction.
struct TransactionBegin {
    std::uint64_t xid = 0;  // Widened (backfill/snapshot.hpp).
    std::chrono::sys_time<std::chrono::microseconds> committed_at;  // By the side's clock.
    // Where the commit's record begins: below the commit's position, and at or above the position
    // of every earlier commit. So a transaction lies beyond a position p exactly when start >= p.
    Position start;
};

// The last thing of a transaction.
struct TransactionCommit {
    std::uint64_t xid = 0;
    Position
        position;  // Where the commit ends: what applied positions and tickets are compared with.
    std::chrono::sys_time<std::chrono::microseconds> committed_at;
    bool is_mover =
        false;  // It wrote segue.progress: a transaction of a mover, not of an application.
    bool touches_user_tables = false;  // It changed at least one row of a migrated table.
};

// Nothing of interest happened up to here: the stream's position moves on. Only between
// transactions.
struct Advance {
    Position position;
};

using StreamEvent =
    std::variant<TransactionBegin, Change, TransactionCommit, Advance, SchemaChange>;

}  // namespace segue::backfill
