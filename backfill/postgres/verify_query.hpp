#pragma once
// The statements of a verification, for one table. Pure text.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backfill/postgres/catalog.hpp"

namespace segue::backfill::postgres {

// One of `of` parts of a table that hold the same rows on both sides whatever their order: by a
// hash of the key, or of some columns where there is none.
struct Slice {
    std::uint64_t number = 0, of = 1;  // `of` is a power of two.
};

// (low, high] of the key's columns as texts; a missing bound is open. Of that, the slice.
struct KeyRange {
    std::optional<std::vector<std::string>> low, high;
    Slice slice = {};
};

// Whether slices of the table are worth having: reading one costs less than reading all of it.
bool can_be_sliced(const Table& table);

// True when both servers put the key in the same order whatever their collations: then ranges of it
// mean the same rows on both. Else the table is compared as one range.
bool key_orders_alike(const Table& table);

// Parameters of every statement below: the bounds of the range, low first.
std::vector<std::optional<std::string>> range_parameters(const KeyRange& range);

// The key of the last row of a range of `rows` rows above `range.low`; no row when fewer are left.
std::string range_end_query(const Table& table, const KeyRange& range, std::uint64_t rows);
// One row a bucket that holds rows: bucket, count, two sums of hashes. `buckets` is a power of two.
std::string bucket_query(const Table& table, const KeyRange& range, std::uint64_t buckets);
// The rows of one bucket: key text (for a table without a key: none), hash, hash, how many such
// rows.
std::string list_query(const Table& table,
                       const KeyRange& range,
                       std::uint64_t buckets,
                       std::uint64_t bucket);
// As list_query, of the rows with these keys.
std::string keys_query(const Table& table, const std::vector<std::string>& keys);
// The key of a row as it is listed, of a table that has one.
std::string listed_key(const Table& table);
// The names of the table's columns on a side, one a row.
std::string columns_query(const Table& table);
// For certificates: rows, and the two sums modulo 2^64 as "first:second", of the whole table. On
// either server, at any time.
std::string sums_query(const Table& table);

// The rows with these keys (as they are listed, see VerifyDifference), as a condition of a WHERE
// without its word. By the key's own equality, so that an index serves, and 0 and -0 are one key.
std::string keys_condition(const Table& table, const std::vector<std::string>& keys);
// Key of a row of a table without a key, made of its two hashes; and the other way round.
std::string hash_key(const std::string& first, const std::string& second);
std::optional<std::pair<std::string, std::string>> parse_hash_key(const std::string& key);
// "(a,\"b c\",)" -> a, b c, null: the fields of a row's text.
std::vector<std::optional<std::string>> parse_row_text(std::string_view text);

}  // namespace segue::backfill::postgres
