#pragma once
// The messages of PostgreSQL's logical decoding plugin pgoutput, proto_version 1 (no streaming of
// open transactions, no two-phase), as values of views. Every count and length is checked before it
// is used; a tuple is walked once when it is parsed, so that reading its cells later cannot fail.
//
// Views are valid as long as the bytes that were parsed.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres::pgoutput {

// A table has at most 1600 columns; a message with more is not the server's.
inline constexpr std::size_t columns_max =
    1664;  // The server's own limit of a row (MaxTupleAttributeNumber).
// Relations that one TRUNCATE may name. Beyond it: Errc::too_large.
inline constexpr std::size_t truncated_relations_max = 1 << 20;

using Time = std::chrono::sys_time<std::chrono::microseconds>;

enum class CellKind : std::uint8_t {
    null,             // In an old key tuple also: not part of the key.
    unchanged_toast,  // The value is as before and was not sent.
    text,
    binary,
};

struct Cell {
    CellKind kind = CellKind::null;
    std::string_view value;  // Empty unless text or binary.

    friend bool operator==(const Cell&, const Cell&) = default;
};

// TupleData := int16 columns, { 'n' | 'u' | ('t'|'b') int32 size, bytes }*
// Checked bytes, read by iteration: `for (const Cell& cell : tuple)`.
class Tuple {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Cell;
        using difference_type = std::ptrdiff_t;
        using pointer = const Cell*;
        using reference = const Cell&;

        Iterator(const char* at, std::size_t left) : at_(at), left_(left) { read(); }
        const Cell& operator*() const { return cell_; }
        const Cell* operator->() const { return &cell_; }
        Iterator& operator++() {
            --left_;
            read();
            return *this;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) { return a.left_ == b.left_; }

    private:
        void read();  // The cell at at_, when one is left; moves at_ behind it.
        const char* at_;
        std::size_t left_;
        Cell cell_;
    };

    Tuple() = default;
    // `cells` holds exactly `size` well-formed cells: only parse() calls this.
    Tuple(std::size_t size, std::string_view cells) : size_(size), cells_(cells) {}

    std::size_t size() const { return size_; }
    Iterator begin() const { return {cells_.data(), size_}; }
    Iterator end() const { return {nullptr, 0}; }

    friend bool operator==(const Tuple&, const Tuple&) = default;

private:
    std::size_t size_ = 0;
    std::string_view cells_;
};

// 'B' int64 final_lsn, int64 commit_time, int32 xid
struct Begin {
    Position final_lsn;  // Start of the commit record, not its end.
    Time commit_time;
    std::uint32_t xid = 0;  // Top-level.
    friend bool operator==(const Begin&, const Begin&) = default;
};

// 'C' int8 flags (0), int64 commit_lsn, int64 end_lsn, int64 commit_time
struct Commit {
    Position commit_lsn;  // Equals Begin's final_lsn.
    Position end_lsn;     // The position of the commit in Segue's sense.
    Time commit_time;
    friend bool operator==(const Commit&, const Commit&) = default;
};

// 'O' int64 lsn, cstring name
struct Origin {
    Position lsn;
    std::string_view name;
    friend bool operator==(const Origin&, const Origin&) = default;
};

struct RelationColumn {
    bool part_of_key = false;  // Of the replica identity.
    std::string_view name;
    std::uint32_t type_oid = 0;
    std::int32_t type_modifier = -1;
    friend bool operator==(const RelationColumn&, const RelationColumn&) = default;
};

// 'R' int32 oid, cstring schema, cstring name, int8 replica_identity, int16 columns,
//     { int8 flags, cstring name, int32 type, int32 typmod }*
struct Relation {
    std::uint32_t oid = 0;
    std::string_view schema;  // "pg_catalog" where the wire has the empty string.
    std::string_view name;
    char replica_identity = 'd';  // d default, n nothing, f full, i index.
    std::vector<RelationColumn> columns;
    friend bool operator==(const Relation&, const Relation&) = default;
};

// 'Y' int32 oid, cstring schema, cstring name
struct Type {
    std::uint32_t oid = 0;
    std::string_view schema;
    std::string_view name;
    friend bool operator==(const Type&, const Type&) = default;
};

// 'I' int32 oid, 'N' TupleData
struct Insert {
    std::uint32_t relation = 0;
    Tuple row;
    friend bool operator==(const Insert&, const Insert&) = default;
};

enum class OldKind : std::uint8_t {
    none,  // Not sent: the key did not change.
    key,   // 'K': only the key's columns have values, the others are null.
    row,   // 'O': the whole old row (REPLICA IDENTITY FULL).
};

// 'U' int32 oid, [ 'K' TupleData | 'O' TupleData ], 'N' TupleData
struct Update {
    std::uint32_t relation = 0;
    OldKind old_kind = OldKind::none;
    Tuple old;
    Tuple row;
    friend bool operator==(const Update&, const Update&) = default;
};

// 'D' int32 oid, ( 'K' | 'O' ) TupleData
struct Delete {
    std::uint32_t relation = 0;
    OldKind old_kind = OldKind::key;  // Never none.
    Tuple old;
    friend bool operator==(const Delete&, const Delete&) = default;
};

// 'T' int32 count, int8 options (1 cascade, 2 restart identity), int32 oid*
struct Truncate {
    bool cascade = false;
    bool restart_identity = false;
    std::vector<std::uint32_t> relations;
    friend bool operator==(const Truncate&, const Truncate&) = default;
};

// 'M' int8 flags (1 transactional), int64 lsn, cstring prefix, int32 size, bytes
struct Message {
    bool transactional = false;
    Position lsn;
    std::string_view prefix;
    std::string_view content;
    friend bool operator==(const Message&, const Message&) = default;
};

using Any =
    std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, Message>;

// One whole message, the payload of one XLogData.
Result<Any> parse(Bytes payload);

}  // namespace segue::protocol::postgres::pgoutput
