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
constexpr int slice_seed = 7;
// Of a table without a key, columns that a slice goes by: few, so that they cost less than the row.
constexpr std::size_t slice_columns_max = 3;

// Never a text: in C on one side, it may have another collation on the other.
bool plainly_ordered(const Column& column) {
    return std::find(plainly_ordered_types.begin(), plainly_ordered_types.end(), column.type_oid) !=
           plainly_ordered_types.end();
}

bool sliceable(const Column& column) { return column.collation_c || plainly_ordered(column); }

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

std::string slice_text(const Table& table) {
    if (!table.key.empty()) return key_text(table);
    std::string list;
    std::size_t columns = 0;
    for (const Column& column : table.columns) {
        if (!sliceable(column) || columns == slice_columns_max) continue;
        list += (columns++ > 0 ? ", " : "") + quote_identifier(column.name);
    }
    return "ROW(" + list + ")::text";
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
    if (range.slice.of > 1) {
        sql += sql.empty() ? " WHERE " : " AND ";
        sql += "(hashtextextended(" + slice_text(table) + ", " + std::to_string(slice_seed) +
               ") & " + std::to_string(range.slice.of - 1) +
               ") = " + std::to_string(range.slice.number);
    }
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
        return plainly_ordered(table.columns[static_cast<std::size_t>(index)]);
    });
}

bool can_be_sliced(const Table& table) {
    return !table.key.empty() || std::any_of(table.columns.begin(), table.columns.end(), sliceable);
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

std::string keys_query(const Table& table, const std::vector<std::string>& keys) {
    return "SELECT k, hashtextextended(r, 0), hashtextextended(r, 1), count(*) FROM (SELECT " +
           key_text(table) + " AS k, " + row_text(table) + " AS r FROM ONLY " +
           table.qualified_name() + " WHERE " + keys_condition(table, keys) +
           " OFFSET 0) t GROUP BY 1, 2, 3";
}

std::string listed_key(const Table& table) { return key_text(table); }

std::string columns_query(const Table& table) {
    return "SELECT attname FROM pg_attribute WHERE attrelid = " +
           quote_literal(table.qualified_name()) + "::regclass AND attnum > 0 AND NOT attisdropped";
}

std::string sums_query(const Table& table) {
    const auto wrapped = [](const char* seed) {
        const std::string range = "18446744073709551616";
        return "mod(mod(coalesce(sum(hashtextextended(r, " + std::string{seed} + ")), 0), " +
               range + ") + " + range + ", " + range + ")::text";
    };
    return "SELECT count(*) AS rows, " + wrapped("0") + " || ':' || " + wrapped("1") +
           " AS hash FROM (SELECT " + row_text(table) + " AS r FROM ONLY " +
           table.qualified_name() + ") t";
}

namespace {

constexpr char hash_mark = '#';

std::string hash_values(const std::vector<std::string>& keys) {
    std::string values;
    for (const std::string& key : keys) {
        const auto hashes = parse_hash_key(key);
        if (!hashes) continue;
        values += (values.empty() ? "(" : ", (") + quote_literal(hashes->first) + "::bigint, " +
                  quote_literal(hashes->second) + "::bigint)";
    }
    return values;
}

std::string key_values(const Table& table, const std::vector<std::string>& keys) {
    std::string values;
    for (const std::string& key : keys) {
        const auto fields = parse_row_text(key);
        if (fields.size() != table.key.size()) continue;
        std::string row;
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const Column& column = table.columns[static_cast<std::size_t>(table.key[i])];
            row += (row.empty() ? "(" : ", ") +
                   (fields[i] ? quote_literal(*fields[i]) : std::string{"NULL"}) +
                   "::" + column.type;
        }
        values += (values.empty() ? "" : ", ") + row + ")";
    }
    return values;
}

}  // namespace

std::string keys_condition(const Table& table, const std::vector<std::string>& keys) {
    const bool keyless = table.key.empty();
    const std::string values = keyless ? hash_values(keys) : key_values(table, keys);
    if (values.empty()) return "false";
    const std::string row = row_text(table);
    const std::string what =
        keyless ? "hashtextextended(" + row + ", 0), hashtextextended(" + row + ", 1)"
                : key_list(table);
    return "(" + what + ") IN (VALUES " + values + ")";
}

std::string hash_key(const std::string& first, const std::string& second) {
    return hash_mark + first + ":" + second;
}

std::optional<std::pair<std::string, std::string>> parse_hash_key(const std::string& key) {
    const auto colon = key.find(':');
    if (key.empty() || key.front() != hash_mark || colon == std::string::npos) return std::nullopt;
    return std::pair{key.substr(1, colon - 1), key.substr(colon + 1)};
}

std::vector<std::optional<std::string>> parse_row_text(std::string_view text) {
    std::vector<std::optional<std::string>> fields;
    if (text.size() < 2 || text.front() != '(' || text.back() != ')') return fields;
    text = text.substr(1, text.size() - 2);
    std::string field;
    bool quoted = false, any = false;  // A field of nothing, not even quotes, is NULL.
    const auto end_field = [&] {
        fields.push_back(any ? std::optional{std::move(field)} : std::nullopt);
        field.clear();
        any = false;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool twice = i + 1 < text.size() && text[i + 1] == c;
        if (c == ',' && !quoted) {
            end_field();
            continue;
        }
        any = true;
        if (c == '"' && !(quoted && twice)) {
            quoted = !quoted;
            continue;
        }
        if ((c == '"' || c == '\\') && twice) ++i;
        field.push_back(c);
    }
    end_field();
    return fields;
}

}  // namespace segue::backfill::postgres
