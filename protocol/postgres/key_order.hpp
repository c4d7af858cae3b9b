#pragma once
// The server's order of key values, reproduced outside the server, for the types where that can be
// done exactly: it decides to which chunk a changed row belongs. Everything else has no comparer,
// and the caller treats the whole table as one chunk.
//
// Values are texts as the server prints them in a session with DateStyle ISO, TimeZone UTC,
// bytea_output hex and client_encoding UTF8 (a pgoutput text cell, or a column of such a session).
//
//   int2 int4 int8 oid   as numbers
//   numeric              exactly, any length; -Infinity lowest, NaN above Infinity; 1.0 equals 1.00
//   bool                 f before t (false and true: what a cast to text prints)
//   uuid bytea           by bytes
//   date timestamp       calendar order; -infinity lowest, infinity highest; years BC below AD
//   timestamptz          the same; only with offset +00
//   time                 order of the day up to 24:00:00
//   text varchar name    by bytes, only with collation C (or POSIX)
//   bpchar               by bytes without trailing spaces, only with collation C
//
// By bytes means the bytes of the database's own encoding: for text types the caller passes
// collation_c only where that is UTF8 (or SQL_ASCII, which is sent as it is).
//
// No comparer: float4/float8 (NaN and -0 aside, keys of them are a mistake), interval, timetz,
// inet, enums, domains, arrays, ranges, composites, "char", jsonb, and text under any other
// collation.

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace segue::protocol::postgres {

class KeyComparer {
public:
    enum class Kind : std::uint8_t {
        signed_number,
        unsigned_number,
        numeric,
        boolean,
        uuid,
        bytea,
        date,
        timestamp,
        timestamptz,
        time,
        text,
        padded_text,
    };

    explicit KeyComparer(Kind kind) : kind_(kind) {}

    // Empty when one of them is not a value of the type as described above: then nothing is known.
    // Equal means: the server calls them equal (their texts may differ).
    std::optional<std::weak_ordering> compare(std::string_view a, std::string_view b) const;

    friend bool operator==(KeyComparer, KeyComparer) = default;

private:
    Kind kind_;
};

// Empty for a type that has no portable order. `collation_c` matters for text types only.
std::optional<KeyComparer> key_comparer(std::uint32_t type_oid, bool collation_c);

// Row-wise, first column first, as the server compares (a, b) > ($1, $2). All three have the same
// size; a shorter `a` or `b` is an assert. Empty when a compared value is malformed.
std::optional<std::weak_ordering> compare_keys(std::span<const KeyComparer> comparers,
                                               std::span<const std::string_view> a,
                                               std::span<const std::string_view> b);

}  // namespace segue::protocol::postgres
