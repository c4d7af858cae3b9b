#include "backfill/postgres/verify_query.hpp"

#include <algorithm>
#include <array>

namespace segue::backfill::postgres {

namespace {

// bool, bytea, int8, int2, int4, oid, date, time, timestamp, timestamptz, uuid, numeric
constexpr std::array<std::uint32_t, 12> plainly_ordered_types = {
    16, 17, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 2950, 1700};

// Seeds of the server's hash: two for the sums, a third so that buckets are independent of them.
constexpr int bucket_seed = 3;

std::string key_list(const Table& table) {
    std::string list;
    for (const int column : table.key) {
        if (!list.empty()) list += ", ";
        list += quote_identifier(table.columns[static_cast<std::size_t>(column)].name);
    }
    return list;
}

// Every column by name, because the sides may hold them in another order; generated ones too.
std::string row_text(const Table& table) {
    std::string list;
    for (const Column& column : table.columns) {
        if (!list.empty()) list += ", ";
        list += quote_identifier(column.name);
    }
    return "ROW(" + list + ")::text";
}

std::string key_text(const Table& table) {
    return table.key.empty() ? row_text(table) : "ROW(" + key_list(table) + ")::text";
}

std::string placeholders(std::size_t first, std::size_t count) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0) list += ", ";
        list += "$" + std::to_string(first + i);
    }
    return list;
}

std::string condition(const Table& table, const KeyRange& range) {
    std::string sql;
    std::size_t next = 1;
    const auto compare = [&](const char* comparison, std::size_t count) {
        sql += sql.empty() ? " WHERE " : " AND ";
        sql += "(" + key_list(table) + ") " + comparison + " (" + placeholders(next, count) + ")";
        next += count;
    };
    if (range.low) compare(">", range.low->size());
    if (range.high) compare("<=", range.high->size());
    return sql;
}

// Rows of the range as (k, r): the texts of key and row, made once each.
std::string texts(const Table& table, const KeyRange& range) {
    return "(SELECT " + key_text(table) + " AS k, " + row_text(table) + " AS r FROM ONLY " +
           table.qualified_name() + condition(table, range) + " OFFSET 0) t";
}

std::string bucket_of(std::uint64_t buckets) {
    return "(hashtextextended(k, " + std::to_string(bucket_seed) + ") & " +
           std::to_string(buckets - 1) + ")";
}

}  // namespace

bool key_orders_alike(const Table& table) {
    return !table.key.empty() && std::all_of(table.key.begin(), table.key.end(), [&](int index) {
        const Column& column = table.columns[static_cast<std::size_t>(index)];
        return column.collation_c || std::find(plainly_ordered_types.begin(),
                                               plainly_ordered_types.end(),
                                               column.type_oid) != plainly_ordered_types.end();
    });
}

std::vector<std::optional<std::string>> range_parameters(const KeyRange& range) {
    std::vector<std::optional<std::string>> parameters;
    for (const auto& bound : {range.low, range.high}) {
        if (bound) parameters.insert(parameters.end(), bound->begin(), bound->end());
    }
    return parameters;
}

std::string range_end_query(const Table& table, const KeyRange& range, std::uint64_t rows) {
    const std::string keys = key_list(table);
    return "SELECT " + keys + " FROM ONLY " + table.qualified_name() + condition(table, range) +
           " ORDER BY " + keys + " OFFSET " + std::to_string(rows - 1) + " LIMIT 1";
}

std::string bucket_query(const Table& table, const KeyRange& range, std::uint64_t buckets) {
    return "SELECT " + bucket_of(buckets) +
           ", count(*), sum(hashtextextended(r, 0)), sum(hashtextextended(r, 1)) FROM " +
           texts(table, range) + " GROUP BY 1";
}

std::string list_query(const Table& table,
                       const KeyRange& range,
                       std::uint64_t buckets,
                       std::uint64_t bucket) {
    const std::string key = table.key.empty() ? "''" : "k";
    return "SELECT " + key + ", hashtextextended(r, 0), hashtextextended(r, 1), count(*) FROM " +
           texts(table, range) + " WHERE " + bucket_of(buckets) + " = " + std::to_string(bucket) +
           " GROUP BY 1, 2, 3";
}

}  // namespace segue::backfill::postgres
