#include "protocol/postgres/key_order.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace segue::protocol::postgres {
namespace {

// Each list is in the order in which a PostgreSQL 15 server sorts it (ORDER BY value::type);
// neighbours in braces are equal there.
struct Table {
    const char* name;
    std::uint32_t oid;
    std::vector<std::vector<std::string>> ordered;
};

const std::vector<Table> tables = {
    {"int2", 21, {{"-32768"}, {"-1"}, {"0"}, {"9"}, {"10"}, {"32767"}}},
    {"int4", 23, {{"-2147483648"}, {"-10"}, {"-9"}, {"0"}, {"2"}, {"10"}, {"2147483647"}}},
    {"int8",
     20,
     {{"-9223372036854775808"}, {"-1"}, {"0"}, {"2147483648"}, {"9223372036854775807"}}},
    {"oid", 26, {{"0"}, {"9"}, {"10"}, {"2147483648"}, {"4294967295"}}},
    {"bool", 16, {{"f", "false"}, {"t", "true"}}},
    {"numeric",
     1700,
     {{"-Infinity"},
      {"-100000000000000000000000000000"},
      {"-10"},
      {"-9.51"},
      {"-9.5", "-9.500"},
      {"-9"},
      {"-0.01"},
      {"0", "0.00", "0.0"},
      {"0.009"},
      {"0.01", "0.010"},
      {"0.1"},
      {"0.11"},
      {"1", "1.0", "1.00"},
      {"1.05"},
      {"1.5"},
      {"2"},
      {"10"},
      {"10.000000000000000000000000000001"},
      {"99999999999999999999"},
      {"100000000000000000000"},
      {"Infinity"},
      {"NaN"}}},
    {"uuid",
     2950,
     {{"00000000-0000-0000-0000-000000000000"},
      {"00000000-0000-0000-0000-00000000000a"},
      {"09000000-0000-0000-0000-000000000000"},
      {"0a000000-0000-0000-0000-000000000000"},
      {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
      {"ffffffff-ffff-ffff-ffff-ffffffffffff"}}},
    {"bytea",
     17,
     {{"\\x"}, {"\\x00"}, {"\\x0000"}, {"\\x01"}, {"\\x7f"}, {"\\x80"}, {"\\xff"}, {"\\xff00"}}},
    {"date",
     1082,
     {{"-infinity"},
      {"4713-01-01 BC"},
      {"0044-03-14 BC"},
      {"0044-03-15 BC"},
      {"0001-12-31 BC"},
      {"0001-01-01"},
      {"1999-12-31"},
      {"2000-01-01"},
      {"2000-02-01"},
      {"9999-12-31"},
      {"10000-01-01"},
      {"5874897-12-31"},
      {"infinity"}}},
    {"timestamp",
     1114,
     {{"-infinity"},
      {"4713-01-01 00:00:00 BC"},
      {"0044-03-15 00:00:00 BC"},
      {"0044-03-15 12:00:00.5 BC"},
      {"0043-01-01 00:00:00 BC"},
      {"0001-01-01 00:00:00"},
      {"2024-02-29 12:34:56"},
      {"2024-02-29 12:34:56.05"},
      {"2024-02-29 12:34:56.123456"},
      {"2024-02-29 12:34:56.2"},
      {"2024-02-29 12:34:57"},
      {"10000-01-01 00:00:00"},
      {"294276-12-31 23:59:59.999999"},
      {"infinity"}}},
    {"timestamptz",
     1184,
     {{"-infinity"},
      {"0044-03-15 00:00:00+00 BC"},
      {"0001-01-01 00:00:00+00"},
      {"2024-02-29 12:34:56+00"},
      {"2024-02-29 12:34:56.05+00"},
      {"2024-02-29 12:34:56.2+00"},
      {"294276-12-31 23:59:59.999999+00"},
      {"infinity"}}},
    {"time",
     1083,
     {{"00:00:00"},
      {"00:00:00.000001"},
      {"09:59:59.5"},
      {"10:00:00"},
      {"23:59:59.999999"},
      {"24:00:00"}}},
    {"text",
     25,
     {{""},
      {" "},
      {"A"},
      {"B"},
      {"a"},
      {"a "},
      {"aB"},
      {"aa"},
      {"b"},
      {"\xc3\xa9"},
      {"\xf0\x9f\x98\x80"}}},
    {"varchar", 1043, {{""}, {"Z"}, {"a"}, {"a "}, {"ab"}}},
    {"name", 19, {{""}, {"Z"}, {"a"}, {"ab"}}},
    {"bpchar", 1042, {{"", "   "}, {"\t"}, {"a", "a ", "a    "}, {"a\t"}, {"a b"}, {"ab ", "ab"}}},
};

TEST(KeyOrder, AgreesWithTheServerForEveryPair) {
    for (const Table& table : tables) {
        const auto comparer = key_comparer(table.oid, true);
        ASSERT_TRUE(comparer) << table.name;
        for (std::size_t i = 0; i < table.ordered.size(); ++i) {
            for (std::size_t j = 0; j < table.ordered.size(); ++j) {
                for (const auto& a : table.ordered[i]) {
                    for (const auto& b : table.ordered[j]) {
                        SCOPED_TRACE(std::string{table.name} + " " + a + " and " + b);
                        const auto order = comparer->compare(a, b);
                        ASSERT_TRUE(order);
                        EXPECT_EQ(*order, std::weak_ordering{i <=> j});
                    }
                }
            }
        }
    }
}

TEST(KeyOrder, KnowsNothingAboutTextsThatAreNotOfTheType) {
    const std::vector<std::pair<std::uint32_t, std::vector<std::string>>> rows = {
        {20, {"", " ", "1 ", " 1", "+1", "1.0", "0x1", "9223372036854775808", "one"}},
        {26, {"", "-1", "4294967296"}},
        {16, {"", "TRUE", "T", "1"}},
        {1700, {"", "-", ".", ".5", "5.", "1e5", "+1", "1,5", "nan", "--1", "1.2.3", "Inf"}},
        {2950,
         {"",
          "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
          "a0eebc999c0b4ef8bb6d6bb9bd380a11",
          "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
          "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
        {17, {"", "x00", "\\x0", "\\xAA", "\\x0g", "abc"}},  // "abc": bytea_output escape.
        {1082,
         {"",
          "2024-1-1",
          "01/02/2024",
          "2024-13-01",
          "2024-00-01",
          "2024-01-32",
          "2024-01-01 ",
          "24-01-01",
          "2024-01-01 AD",
          "12345678-01-01",
          "2024-01-01 00:00:00",
          "Infinity"}},
        {1114,
         {"",
          "2024-01-01",
          "2024-01-01 12:34",
          "2024-01-01 25:00:00",
          "2024-01-01 24:00:00",
          "2024-01-01 12:60:00",
          "2024-01-01 12:34:60",
          "2024-01-01 12:34:56.",
          "2024-01-01 12:34:56.1234567",
          "2024-01-01 12:34:56+00",
          "2024-01-01T12:34:56"}},
        {1184,
         {"2024-01-01 12:34:56",
          "2024-01-01 12:34:56+01",
          "2024-01-01 12:34:56-00",
          "2024-01-01 12:34:56+00:30",
          "2024-01-01 BC 12:34:56+00"}},
        {1083, {"", "1:00:00", "24:00:01", "25:00:00", "12:00", "12:00:00+00"}},
    };
    for (const auto& [oid, texts] : rows) {
        const auto comparer = key_comparer(oid, false);
        ASSERT_TRUE(comparer);
        for (const auto& text : texts) {
            EXPECT_FALSE(comparer->compare(text, text)) << oid << " '" << text << "'";
        }
    }
}

TEST(KeyOrder, OneMalformedSideIsEnough) {
    const auto number = key_comparer(20, false);
    ASSERT_TRUE(number);
    EXPECT_FALSE(number->compare("1", "x"));
    EXPECT_FALSE(number->compare("x", "1"));
}

TEST(KeyOrder, LeavesOtherTypesAndCollationsAlone) {
    // float4, float8, interval, timetz, inet, cidr, macaddr, "char", json, jsonb, money, xid, an
    // array, a range, the record, and a type of the user's own (a domain or an enum).
    for (const std::uint32_t oid : {700u,
                                    701u,
                                    1186u,
                                    1266u,
                                    869u,
                                    650u,
                                    829u,
                                    18u,
                                    114u,
                                    3802u,
                                    790u,
                                    28u,
                                    1007u,
                                    3904u,
                                    2249u,
                                    16385u,
                                    0u}) {
        EXPECT_FALSE(key_comparer(oid, true)) << oid;
    }
    for (const std::uint32_t oid : {25u, 1043u, 19u, 1042u}) {
        EXPECT_FALSE(key_comparer(oid, false)) << oid;
        EXPECT_TRUE(key_comparer(oid, true)) << oid;
    }
    EXPECT_TRUE(key_comparer(20, false));
}

TEST(KeyOrder, ComparesRowsColumnByColumn) {
    const std::vector<KeyComparer> comparers = {*key_comparer(20, false), *key_comparer(25, true)};
    const auto compare = [&](std::vector<std::string_view> a, std::vector<std::string_view> b) {
        return compare_keys(comparers, a, b);
    };
    EXPECT_EQ(compare({"9", "z"}, {"10", "a"}), std::weak_ordering::less);
    EXPECT_EQ(compare({"10", "a"}, {"10", "b"}), std::weak_ordering::less);
    EXPECT_EQ(compare({"10", "b"}, {"10", "a"}), std::weak_ordering::greater);
    EXPECT_EQ(compare({"10", "a"}, {"10", "a"}), std::weak_ordering::equivalent);
    EXPECT_EQ(compare({"x", "a"}, {"10", "a"}), std::nullopt);
    EXPECT_EQ(compare_keys({}, {}, {}), std::weak_ordering::equivalent);
}

}  // namespace
}  // namespace segue::protocol::postgres
