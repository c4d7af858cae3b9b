#include "backfill/snapshot.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace segue::backfill {
namespace {

TEST(Snapshot, SeesWhatEndedBeforeItAndNothingElse) {
    const auto snapshot = parse_snapshot("10:20:12,15");
    ASSERT_TRUE(snapshot);
    EXPECT_EQ(snapshot->xmin, 10u);
    EXPECT_EQ(snapshot->xmax, 20u);
    EXPECT_EQ(snapshot->in_progress, (std::vector<std::uint64_t>{12, 15}));

    const std::vector<std::pair<std::uint64_t, bool>> expected = {
        {1, true},
        {9, true},
        {10, true},
        {11, true},
        {12, false},
        {13, true},
        {15, false},
        {19, true},
        // At or above xmax: such a commit may have come out of the stream already.
        {20, false},
        {21, false},
        {1ull << 33, false},
    };
    for (const auto& [xid, seen] : expected) EXPECT_EQ(snapshot->sees(xid), seen) << xid;
}

TEST(Snapshot, OfAQuietServerHasAnEmptyList) {
    const auto snapshot = parse_snapshot("726:726:");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(snapshot->sees(725));
    EXPECT_FALSE(snapshot->sees(726));
}

TEST(Snapshot, HoldsIdsBeyond32Bits) {
    const auto snapshot = parse_snapshot("4294967296:4294967300:4294967297");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(snapshot->sees(4294967295));
    EXPECT_FALSE(snapshot->sees(4294967297));
}

TEST(Snapshot, RefusesWhatTheServerNeverPrints) {
    const std::vector<std::string> malformed = {
        "",
        ":",
        "::",
        "10",
        "10:",
        "10:20",
        ":20:",
        "10::",
        "0:0:",
        "20:10:",
        "a:20:",
        "10:b:",
        "-1:20:",
        " 10:20:",
        "10:20: ",
        "10:20:,",
        "10:20:12,",
        "10:20:,12",
        "10:20:12,,13",
        "10:20:12 13",
        "10:20:9",
        "10:20:20",
        "10:20:13,12",
        "10:20:12,12",
        "10:20:12:13",
        "18446744073709551616:18446744073709551617:",
        "10:20:x",
        "+10:20:",
    };
    for (const auto& text : malformed) EXPECT_FALSE(parse_snapshot(text)) << text;
}

TEST(Snapshot, RefusesAListAboveItsLimit) {
    std::string text = "1:9999999:1";
    for (std::size_t i = 1; i < snapshot_xids_max; ++i) text += "," + std::to_string(i + 1);
    EXPECT_TRUE(parse_snapshot(text));
    const auto above = parse_snapshot(text + ",9999998");
    ASSERT_FALSE(above);
    EXPECT_EQ(above.error().code, Errc::too_large);
}

TEST(WidenXid, TakesTheNearestEpoch) {
    struct Row {
        std::uint32_t xid;
        std::uint64_t reference;
        std::uint64_t wide;
    };
    constexpr std::uint64_t epoch = 1ull << 32;
    const std::vector<Row> rows = {
        {726, 726, 726},
        {726, 1000, 726},
        {1000, 726, 1000},
        // Around a wrap: the stream is behind the snapshot, or ahead of it.
        {0xffffffff, epoch + 5, epoch - 1},
        {5, epoch - 1, epoch + 5},
        {0xffffff00, 3 * epoch + 3, 3 * epoch - 0x100},
        {3, 3 * epoch - 1, 3 * epoch + 3},
        {7, 2 * epoch + 7, 2 * epoch + 7},
        // Just inside half of the circle, both ways.
        {0x80000002, 2 * epoch + 3, 2 * epoch + 3 + 0x7fffffff},
        {0x80000004, 2 * epoch + 3, 2 * epoch + 3 - 0x7fffffff},
        // There is nothing before the first epoch.
        {0xfffffff0, 10, 0xfffffff0},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(widen_xid(row.xid, row.reference), row.wide)
            << row.xid << " near " << row.reference;
    }
}

TEST(WidenXid, KeepsTheLowHalfAndStaysWithinHalfACircle) {
    const std::vector<std::uint64_t> references = {
        1ull << 31, (1ull << 32) - 1, 1ull << 32, (5ull << 32) + 77, (7ull << 32) + 0x80000000ull};
    for (const auto reference : references) {
        for (std::int64_t distance = -(1ll << 31) + 1; distance < (1ll << 31);
             distance += 104'729'000 / 8) {
            const auto wide = reference + static_cast<std::uint64_t>(distance);
            EXPECT_EQ(widen_xid(static_cast<std::uint32_t>(wide), reference), wide);
        }
    }
}

}  // namespace
}  // namespace segue::backfill
