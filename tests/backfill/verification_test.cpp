#include "backfill/verification.hpp"

#include <gtest/gtest.h>

namespace segue::backfill {
namespace {

WallTime at(int seconds) { return WallTime{std::chrono::seconds{seconds}}; }

VerifiedTable compared(int begun_at, int ended_at, std::uint64_t differences = 0) {
    VerifiedTable table;
    table.verdict = differences == 0 ? TableVerdict::equal : TableVerdict::different;
    table.differences = differences;
    table.begun_at = at(begun_at);
    table.ended_at = at(ended_at);
    return table;
}

TEST(Verification, IsOverAndEqualOnlyWhenEveryTableIs) {
    Verification one;
    one.tables[{"s", "a"}] = compared(10, 20);
    one.tables[{"s", "b"}] = compared(5, 8);
    one.ended_at = at(30);
    EXPECT_TRUE(one.done());
    EXPECT_EQ(one.every_row_since(), at(5));
    one.tables[{"s", "c"}];
    EXPECT_FALSE(one.done());
    EXPECT_FALSE(one.every_row_since());
    one.tables[{"s", "c"}].verdict = TableVerdict::gone;
    EXPECT_EQ(one.every_row_since(), at(5));
    one.tables[{"s", "c"}].verdict = TableVerdict::unlike;
    EXPECT_FALSE(one.all_equal());
    EXPECT_EQ(one.differences(), 1u);
}

TEST(Verification, WhatAnotherOneFoundCountsOnlyWhereItLookedLater) {
    Verification standing, other;
    standing.tables[{"s", "a"}] = compared(10, 20);
    other.tables[{"s", "a"}] = compared(30, 40);
    EXPECT_FALSE(differs_later(other, standing));
    other.tables[{"s", "a"}] = compared(30, 40, 1);
    EXPECT_TRUE(differs_later(other, standing));
    standing.tables[{"s", "a"}] = compared(50, 60);  // Mended, and compared again.
    EXPECT_FALSE(differs_later(other, standing));
    other.tables[{"s", "b"}] = compared(1, 2, 1);
    EXPECT_TRUE(differs_later(other, standing)) << "nobody else has looked at that table";
}

// Rows that were passed over, or mended, and a process that died before anybody looked again.
TEST(Verification, WhatWasMendedStandsUntilItHasBeenComparedSince) {
    Verification standing, other;
    standing.tables[{"s", "a"}] = compared(10, 20);
    other.verdict = Verdict::mended;
    other.ended_at = at(30);
    other.tables[{"s", "a"}];  // Waits to be compared.
    EXPECT_TRUE(differs_later(other, standing)) << "the standing one has seen it before";
    standing.tables[{"s", "a"}] = compared(40, 50);
    EXPECT_FALSE(differs_later(other, standing));
    other.verdict = Verdict::running;
    standing.tables.clear();
    EXPECT_FALSE(differs_later(other, standing)) << "nothing is known of it";
}

TEST(Verification, NamesAreReadBack) {
    for (const Verdict one :
         {Verdict::running, Verdict::equal, Verdict::different, Verdict::mended})
        EXPECT_EQ(parse_verdict(name(one)), one);
    for (const TableVerdict one : {TableVerdict::waiting,
                                   TableVerdict::comparing,
                                   TableVerdict::equal,
                                   TableVerdict::different,
                                   TableVerdict::unlike,
                                   TableVerdict::gone})
        EXPECT_EQ(parse_table_verdict(name(one)), one);
    EXPECT_FALSE(parse_verdict("nothing"));
}

}  // namespace
}  // namespace segue::backfill
