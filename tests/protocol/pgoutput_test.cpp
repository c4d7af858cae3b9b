#include "protocol/postgres/pgoutput.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace segue::protocol::postgres::pgoutput {
namespace {

using namespace std::literals;

// One well-formed message of each kind, as the server sends them.
constexpr auto begin_wire = "B\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\0\0\x02\xd6"sv;
constexpr auto commit_wire =
    "C\0\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\x01\x6b\x37\x78\0\0\0\0\0\x0f\x42\x40"sv;
constexpr auto origin_wire = "O\0\0\0\0\x01\x6b\x37\x48peer\0"sv;
constexpr auto relation_wire =
    "R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0body\0\0\0\0\x19\xff\xff\xff\xff"sv;
constexpr auto type_wire = "Y\0\0\x40\x02public\0mood\0"sv;
constexpr auto insert_wire =
    "I\0\0\x40\x01N\0\x03t\0\0\0\x02"
    "42nb\0\0\0\x01x"sv;
constexpr auto update_wire =
    "U\0\0\x40\x01N\0\x02t\0\0\0\x01"
    "7u"sv;
constexpr auto update_key_wire =
    "U\0\0\x40\x01K\0\x02t\0\0\0\x01"
    "7nN\0\x02t\0\0\0\x01"
    "8u"sv;
constexpr auto update_full_wire =
    "U\0\0\x40\x01O\0\x01t\0\0\0\x01"
    "7N\0\x01t\0\0\0\0"sv;
constexpr auto delete_key_wire =
    "D\0\0\x40\x01K\0\x01t\0\0\0\x01"
    "7"sv;
constexpr auto delete_full_wire = "D\0\0\x40\x01O\0\x01n"sv;
constexpr auto truncate_wire = "T\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02"sv;
constexpr auto message_wire =
    "M\x01\0\0\0\0\x01\x6b\x37\x48prefix\0\0\0\0\x03"
    "a\0b"sv;

const std::vector<std::string_view> every_wire = {begin_wire,
                                                  commit_wire,
                                                  origin_wire,
                                                  relation_wire,
                                                  type_wire,
                                                  insert_wire,
                                                  update_wire,
                                                  update_key_wire,
                                                  update_full_wire,
                                                  delete_key_wire,
                                                  delete_full_wire,
                                                  truncate_wire,
                                                  message_wire};

constexpr Time one_second_after_2000{std::chrono::microseconds{946'684'801'000'000}};

template <class T>
T parsed(std::string_view wire) {
    auto message = parse(bytes(wire));
    EXPECT_TRUE(message) << (message ? "" : message.error().detail);
    const T* value = message ? std::get_if<T>(&*message) : nullptr;
    EXPECT_NE(value, nullptr);
    return value == nullptr ? T{} : *value;
}

std::vector<Cell> cells(const Tuple& tuple) { return {tuple.begin(), tuple.end()}; }

const Cell null{CellKind::null, {}};
const Cell unchanged{CellKind::unchanged_toast, {}};
Cell text_cell(std::string_view value) { return {CellKind::text, value}; }

TEST(Pgoutput, ReadsTheEdgesOfATransaction) {
    const auto begin = parsed<Begin>(begin_wire);
    EXPECT_EQ(begin, (Begin{Position{0x16b3748}, one_second_after_2000, 726}));
    const auto commit = parsed<Commit>(commit_wire);
    EXPECT_EQ(commit, (Commit{Position{0x16b3748}, Position{0x16b3778}, one_second_after_2000}));
    EXPECT_EQ(parsed<Origin>(origin_wire), (Origin{Position{0x16b3748}, "peer"}));
}

TEST(Pgoutput, ReadsDescriptions) {
    const Relation expected{
        0x4001, "public", "t", 'd', {{true, "id", 23, -1}, {false, "body", 25, -1}}};
    EXPECT_EQ(parsed<Relation>(relation_wire), expected);
    EXPECT_EQ(parsed<Type>(type_wire), (Type{0x4002, "public", "mood"}));
    // The empty schema on the wire is pg_catalog.
    EXPECT_EQ(parsed<Type>("Y\0\0\0\x19\0text\0"sv), (Type{25, "pg_catalog", "text"}));
}

TEST(Pgoutput, ReadsRows) {
    const auto insert = parsed<Insert>(insert_wire);
    EXPECT_EQ(insert.relation, 0x4001u);
    EXPECT_EQ(insert.row.size(), 3u);
    EXPECT_EQ(cells(insert.row),
              (std::vector<Cell>{text_cell("42"), null, {CellKind::binary, "x"}}));

    const auto plain = parsed<Update>(update_wire);
    EXPECT_EQ(plain.old_kind, OldKind::none);
    EXPECT_EQ(plain.old.size(), 0u);
    EXPECT_EQ(cells(plain.row), (std::vector<Cell>{text_cell("7"), unchanged}));

    const auto moved = parsed<Update>(update_key_wire);
    EXPECT_EQ(moved.old_kind, OldKind::key);
    EXPECT_EQ(cells(moved.old), (std::vector<Cell>{text_cell("7"), null}));
    EXPECT_EQ(cells(moved.row), (std::vector<Cell>{text_cell("8"), unchanged}));

    const auto full = parsed<Update>(update_full_wire);
    EXPECT_EQ(full.old_kind, OldKind::row);
    EXPECT_EQ(cells(full.old), (std::vector<Cell>{text_cell("7")}));
    EXPECT_EQ(cells(full.row), (std::vector<Cell>{text_cell("")}));  // Empty, not null.

    EXPECT_EQ(parsed<Delete>(delete_key_wire).old_kind, OldKind::key);
    EXPECT_EQ(cells(parsed<Delete>(delete_full_wire).old), (std::vector<Cell>{null}));
    EXPECT_EQ(parsed<Delete>(delete_full_wire).old_kind, OldKind::row);
}

TEST(Pgoutput, ReadsTruncateAndMessages) {
    EXPECT_EQ(parsed<Truncate>(truncate_wire), (Truncate{true, true, {0x4001, 0x4002}}));
    EXPECT_EQ(parsed<Message>(message_wire),
              (Message{true, Position{0x16b3748}, "prefix", "a\0b"sv}));
}

TEST(Pgoutput, RefusesEveryMessageCutAnywhere) {
    for (const auto wire : every_wire) {
        for (std::size_t size = 0; size < wire.size(); ++size) {
            SCOPED_TRACE(std::string{wire[0]} + " cut at " + std::to_string(size));
            EXPECT_FALSE(parse(bytes(wire.substr(0, size))));
        }
        EXPECT_TRUE(parse(bytes(wire)));
        const auto tailed = parse(bytes(std::string{wire} + "x"));
        ASSERT_FALSE(tailed) << wire[0];
        EXPECT_EQ(tailed.error().code, Errc::trailing_bytes) << wire[0];
    }
}

TEST(Pgoutput, RefusesMalformedMessages) {
    const std::vector<std::pair<const char*, std::string_view>> rows = {
        {"no message", ""sv},
        {"an unknown tag", "Z"sv},
        {"a streamed block, which we never ask for", "S\0\0\x02\xd6\x01"sv},
        {"commit with flags",
         "C\x01\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\x01\x6b\x37\x78\0\0\0\0\0\x0f\x42\x40"sv},
        {"commit time out of range",
         "B\0\0\0\0\x01\x6b\x37\x48\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\x02\xd6"sv},
        {"unknown replica identity", "R\0\0\x40\x01public\0t\0x\0\0"sv},
        {"negative column count", "R\0\0\x40\x01public\0t\0d\xff\xff"sv},
        {"more columns than a table has", "R\0\0\x40\x01public\0t\0d\x7f\xff"sv},
        {"fewer columns than announced",
         "R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff"sv},
        {"insert with an old row", "I\0\0\x40\x01K\0\0"sv},
        {"update with two old rows", "U\0\0\x40\x01K\0\0O\0\0N\0\0"sv},
        {"update without a new row", "U\0\0\x40\x01K\0\0"sv},
        {"delete with a new row", "D\0\0\x40\x01N\0\0"sv},
        {"negative cell count", "I\0\0\x40\x01N\xff\xff"sv},
        {"more cells than a row has", "I\0\0\x40\x01N\x7f\xff"sv},
        {"negative cell size", "I\0\0\x40\x01N\0\x01t\xff\xff\xff\xff"sv},
        {"cell size beyond the end", "I\0\0\x40\x01N\0\x01t\x7f\xff\xff\xffx"sv},
        {"unknown cell", "I\0\0\x40\x01N\0\x01z"sv},
        {"negative relation count", "T\xff\xff\xff\xff\0"sv},
        {"more relations than sent", "T\0\0\0\x02\0\0\0\x40\x01"sv},
        {"more relations than the limit", "T\x7f\xff\xff\xff\0\0\0\x40\x01"sv},
        {"negative message size", "M\0\0\0\0\0\x01\x6b\x37\x48p\0\xff\xff\xff\xff"sv},
        {"message size beyond the end", "M\0\0\0\0\0\x01\x6b\x37\x48p\0\x7f\xff\xff\xff"sv},
        {"name without an end", "Y\0\0\x40\x02public\0mood"sv},
    };
    for (const auto& [what, wire] : rows) EXPECT_FALSE(parse(bytes(wire))) << what;
}

// Any one byte changed: refused or read, and what is read can be walked to its end (sanitizers
// watch).
TEST(Pgoutput, NeverReadsBeyondTheMessage) {
    for (const auto wire : every_wire) {
        for (std::size_t at = 0; at < wire.size(); ++at) {
            for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff, int{'t'}, int{'n'}, int{'K'}}) {
                // A copy of exactly this size, so that reading on leaves the allocation.
                std::vector<char> mutant{wire.begin(), wire.end()};
                mutant[at] = static_cast<char>(value);
                const auto message = parse(std::as_bytes(std::span{mutant}));
                if (!message) continue;
                std::size_t total = 0;
                const auto walk = [&](const Tuple& tuple) {
                    for (const Cell& cell : tuple) total += cell.value.size();
                };
                if (const auto* insert = std::get_if<Insert>(&*message)) walk(insert->row);
                if (const auto* removed = std::get_if<Delete>(&*message)) walk(removed->old);
                if (const auto* update = std::get_if<Update>(&*message)) {
                    walk(update->old);
                    walk(update->row);
                }
                EXPECT_LE(total, wire.size());
            }
        }
    }
}

}  // namespace
}  // namespace segue::protocol::postgres::pgoutput
