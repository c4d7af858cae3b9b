#pragma once
// The statements of a verification, for one table. Pure text.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/catalog.hpp"

namespace segue::backfill::postgres {

// (low, high] of the key's columns as texts; a missing bound is open.
struct KeyRange {
    std::optional<std::vector<std::string>> low, high;
};

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

}  // namespace segue::backfill::postgres
