#include "backfill/unseen.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace segue::backfill {
namespace {

Snapshot snapshot(std::uint64_t xmin, std::uint64_t xmax, std::vector<std::uint64_t> list = {}) {
    return Snapshot{xmin, xmax, std::move(list)};
}

TEST(Unseen, AsksOnlyForCommitsUpToThePosition) {
    Unseen unseen;
    ASSERT_TRUE(unseen.add(100, Position{1000}));
    ASSERT_TRUE(unseen.add(90, Position{2000}));  // Begun earlier, committed later.

    const Snapshot sees_first = snapshot(90, 101, {90});
    EXPECT_TRUE(unseen.all_seen_up_to(sees_first, Position{999}));
    EXPECT_TRUE(unseen.all_seen_up_to(sees_first, Position{1000}));
    EXPECT_TRUE(unseen.all_seen_up_to(sees_first, Position{1999}));
    EXPECT_FALSE(unseen.all_seen_up_to(sees_first, Position{2000}));

    // The commit is at or above xmax: it came out of the stream before any snapshot knew of it.
    EXPECT_FALSE(unseen.all_seen_up_to(snapshot(90, 90), Position{1000}));
    EXPECT_TRUE(unseen.all_seen_up_to(snapshot(101, 101), Position{2000}));
}

TEST(Unseen, ForgetsOnlyWhatASnapshotSaw) {
    Unseen unseen;
    ASSERT_TRUE(unseen.add(100, Position{1000}));
    ASSERT_TRUE(unseen.add(101, Position{1100}));
    unseen.prune(snapshot(100, 102, {100}));
    EXPECT_EQ(unseen.commits(), (std::vector<Unseen::Commit>{{100, Position{1000}}}));
    EXPECT_FALSE(unseen.all_seen_up_to(snapshot(100, 102, {100}), Position{1100}));
    unseen.prune(snapshot(102, 102));
    EXPECT_EQ(unseen.size(), 0u);
    EXPECT_TRUE(unseen.all_seen_up_to(snapshot(1, 1), Position{1100}));
}

TEST(Unseen, CountsARedeliveredCommitOnce) {
    Unseen unseen;
    ASSERT_TRUE(unseen.add(100, Position{1000}));
    ASSERT_TRUE(unseen.add(101, Position{1100}));
    ASSERT_TRUE(unseen.add(100, Position{1000}));
    ASSERT_TRUE(unseen.add(99, Position{900}));  // Seen and forgotten before, now delivered again.
    EXPECT_EQ(unseen.commits(),
              (std::vector<Unseen::Commit>{
                  {99, Position{900}}, {100, Position{1000}}, {101, Position{1100}}}));
}

TEST(Unseen, RefusesAboveItsLimitAndForgetsNothing) {
    Unseen unseen;
    for (std::uint64_t i = 0; i < unseen_max; ++i) ASSERT_TRUE(unseen.add(i + 10, Position{i + 1}));
    EXPECT_TRUE(unseen.full());
    EXPECT_FALSE(unseen.add(5, Position{unseen_max + 1}));
    EXPECT_TRUE(unseen.add(10, Position{1}));  // Known already.
    EXPECT_EQ(unseen.size(), unseen_max);
    unseen.prune(snapshot(11, 11));
    EXPECT_TRUE(unseen.add(5, Position{unseen_max + 1}));
}

TEST(Unseen, SurvivesACrashUpToTheRestartPoint) {
    Unseen unseen;
    ASSERT_TRUE(unseen.add(100, Position{1000}));
    ASSERT_TRUE(unseen.add(90, Position{2000}));
    ASSERT_TRUE(unseen.add(95, Position{3000}));

    const auto durable = unseen.durable(Position{2000});
    EXPECT_EQ(durable.xids, (std::vector<std::uint64_t>{100, 90}));
    const auto restored = Unseen::restore(durable);
    ASSERT_TRUE(restored);
    EXPECT_FALSE(restored->all_seen_up_to(snapshot(90, 101, {90}), Position{2000}));
    EXPECT_EQ(restored->durable(Position{2000}), durable);
    EXPECT_TRUE(unseen.durable(Position{999}).xids.empty());
}

TEST(Unseen, RefusesAMalformedDurableForm) {
    const std::vector<Unseen::Durable> malformed = {
        {{1}, {}},
        {{}, {Position{1}}},
        {{1, 2}, {Position{2}, Position{1}}},
        {{1, 2}, {Position{2}, Position{2}}},
    };
    for (const auto& durable : malformed) EXPECT_FALSE(Unseen::restore(durable));

    Unseen::Durable above;
    for (std::uint64_t i = 0; i <= unseen_max; ++i) {
        above.xids.push_back(i);
        above.positions.push_back(Position{i});
    }
    const auto refused = Unseen::restore(above);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::too_large);
}

}  // namespace
}  // namespace segue::backfill
