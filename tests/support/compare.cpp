#include "tests/support/compare.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "tests/support/sql.hpp"

namespace segue::test {

namespace {

// The same text for the same value on both sides; reads only.
constexpr const char* normalise =
    "SET search_path = ''; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = "
    "'postgres'; "
    "SET bytea_output = 'hex'; SET extra_float_digits = 3; SET default_transaction_read_only = on";

constexpr const char* tables_sql =
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
    "c.relnamespace "
    "WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', "
    "'segue') ORDER BY 1";

constexpr const char* not_ours =
    "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'segue')";

std::set<std::string> column(Sql& connection, const std::string& sql) {
    std::set<std::string> result;
    for (const auto& row : connection.query(sql).rows) result.insert(row[0]);
    return result;
}

// What only one of two sorted ranges holds; a multiset: duplicates count.
void list_differences(const std::string& table,
                      const std::vector<std::string>& a,
                      const std::vector<std::string>& b,
                      std::vector<std::string>& into) {
    std::vector<std::string> only_a, only_b;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
    std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
    constexpr std::size_t text_max = 200;
    for (const std::string& row : only_a)
        into.push_back(table + " only in the first: " + row.substr(0, text_max));
    for (const std::string& row : only_b)
        into.push_back(table + " only in the second: " + row.substr(0, text_max));
}

std::vector<std::string> rows_of(Sql& connection, const std::string& table) {
    std::vector<std::string> rows;
    for (auto& row : connection.query("SELECT t::text FROM ONLY " + table + " t").rows)
        rows.push_back(std::move(row[0]));
    std::sort(rows.begin(), rows.end());
    return rows;
}

void compare_table(Sql& a, Sql& b, const std::string& table, Comparison& comparison) {
    const std::string sum_sql =
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ONLY " +
        table + " t";
    const Answer sum_a = a.query(sum_sql), sum_b = b.query(sum_sql);
    ++comparison.tables;
    if (!sum_a.rows.empty()) comparison.rows += std::stoll(sum_a.value());
    if (sum_a.rows != sum_b.rows)
        list_differences(table, rows_of(a, table), rows_of(b, table), comparison.differences);
}

std::vector<std::string> catalog_of(Sql& connection) {
    const std::string ours = not_ours;
    const std::string sql =
        "SELECT 'index ' || pg_get_indexdef(i.indexrelid) || ' valid ' || i.indisvalid FROM "
        "pg_index i "
        "JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE " +
        ours +
        " UNION ALL SELECT format('constraint %s on %I.%I: %s, validated %s', o.conname, "
        "n.nspname, c.relname, "
        "pg_get_constraintdef(o.oid), o.convalidated) FROM pg_constraint o JOIN pg_class c ON "
        "c.oid = o.conrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " +
        ours +
        " UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) || ' enabled ' || "
        "t.tgenabled::text FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal AND "
        "p.pronamespace::regnamespace::text <> 'segue' "
        "AND " +
        ours +
        " UNION ALL SELECT format('column %I.%I.%I %s not null %s default %s generated %s identity "
        "%s', n.nspname, "
        "c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
        "pg_get_expr(d.adbin, d.adrelid), "
        "a.attgenerated, a.attidentity) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = c.oid "
        "AND "
        "d.adnum = a.attnum WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', "
        "'v', 'm') AND " +
        ours +
        " UNION ALL SELECT 'view ' || c.oid::regclass || pg_get_viewdef(c.oid) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND " +
        ours +
        " UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') AND " +
        ours +
        " AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')"
        " UNION ALL SELECT format('replica identity of %I.%I: %s', n.nspname, c.relname, "
        "c.relreplident) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND " +
        ours;
    std::vector<std::string> rows;
    for (auto& row : connection.query(sql).rows) rows.push_back(std::move(row[0]));
    std::sort(rows.begin(), rows.end());
    return rows;
}

}  // namespace

Comparison compare_databases(const std::string& a_url, const std::string& b_url) {
    Comparison comparison;
    Sql a{a_url}, b{b_url};
    a.query(normalise);
    b.query(normalise);
    const std::set<std::string> tables_a = column(a, tables_sql), tables_b = column(b, tables_sql);
    for (const std::string& table : tables_a) {
        if (tables_b.contains(table))
            compare_table(a, b, table, comparison);
        else
            comparison.differences.push_back(table + " is missing in the second");
    }
    for (const std::string& table : tables_b) {
        if (!tables_a.contains(table))
            comparison.differences.push_back(table + " is missing in the first");
    }
    if (comparison.differences.size() > differences_max)
        comparison.differences.resize(differences_max);
    return comparison;
}

std::vector<std::string> compare_catalogs(const std::string& a_url, const std::string& b_url) {
    Sql a{a_url}, b{b_url};
    a.query(normalise);
    b.query(normalise);
    std::vector<std::string> differences;
    list_differences("catalog", catalog_of(a), catalog_of(b), differences);
    return differences;
}

void expect_equal(const std::string& a, const std::string& b) {
    const Comparison comparison = compare_databases(a, b);
    EXPECT_GT(comparison.tables, 0);
    for (const std::string& difference : comparison.differences) ADD_FAILURE() << difference;
}

}  // namespace segue::test
