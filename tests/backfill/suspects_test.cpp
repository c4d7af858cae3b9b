#include "backfill/suspects.hpp"

#include <gtest/gtest.h>

namespace segue::backfill {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<Suspects::Name>;

const Suspects::Name t{"app", "t"}, u{"app", "u"};

struct SuspectsTest : testing::Test {
    Suspects suspects;
    Suspects::Clock::time_point now{};
    const WallTime noon{1'000'000s};

    Names due() const { return suspects.due(Side::source, now); }
    Suspect of(const Suspects::Name& name) const {
        for (const Suspect& one : suspects.list(Side::source)) {
            if (one.name == name) return one;
        }
        return {};
    }
    static VerifiedTable compared(TableVerdict verdict,
                                  WallTime begun_at,
                                  std::uint64_t found = 0) {
        VerifiedTable table;
        table.verdict = verdict;
        table.begun_at = begun_at;
        if (verdict != TableVerdict::comparing) table.ended_at = begun_at + 1s;
        table.differences = found;
        for (std::uint64_t i = 0; i < found; ++i)
            table.listed.push_back({"app.t", std::to_string(i), "changed"});
        return table;
    }
};

TEST_F(SuspectsTest, ATableIsComparedOnceForReadsThatHaveDifferedBefore) {
    suspects.add(Side::source, {t, u}, noon);
    suspects.add(Side::source, {t}, noon + 1s);
    EXPECT_EQ(due(), (Names{t, u}));
    EXPECT_TRUE(suspects.is_shown_by(t, noon));
    EXPECT_FALSE(suspects.is_shown_by(t, noon - 1s));
    suspects.note(t, compared(TableVerdict::equal, noon + 2s), now);
    EXPECT_EQ(due(), Names{u});
    EXPECT_EQ(of(t).verdict, TableVerdict::equal);
    suspects.add(Side::source, {t}, noon + 1s);
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{u}) << "it is known";
}

TEST_F(SuspectsTest, WhatWasComparedEarlierSaysNothing) {
    suspects.add(Side::source, {t}, noon);
    suspects.note(t, compared(TableVerdict::equal, noon - 1s), now);
    EXPECT_EQ(due(), Names{t});
    suspects.note(t, compared(TableVerdict::comparing, noon + 1s), now);
    EXPECT_EQ(of(t).rows_compared, 0u);
    suspects.add(Side::source, {t}, noon + 2s);  // Its row may have been read before that.
    suspects.note(t, compared(TableVerdict::equal, noon + 1s), now);
    EXPECT_FALSE(of(t).rows_compared);
    EXPECT_EQ(due(), Names{}) << "it rests first";
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{t});
}

TEST_F(SuspectsTest, ATableRestsLongerWhereRowsWereFoundAndAsLongAsItsComparisonWasLong) {
    suspects.add(Side::source, {t, u}, noon);
    suspects.note(t, compared(TableVerdict::different, noon + 1s, 1), now);
    VerifiedTable large = compared(TableVerdict::equal, noon + 1s);
    large.ended_at = *large.begun_at + 1h;
    suspects.note(u, large, now);
    suspects.add(Side::source, {t, u}, noon + 2h);
    const auto begun = now;
    now = begun + suspect_pause_different - 1s;
    EXPECT_EQ(due(), Names{});
    now = begun + suspect_pause_different;
    EXPECT_EQ(due(), Names{t});
    now = begun + suspect_pause_factor * 1h - 1s;
    EXPECT_EQ(due(), Names{t});
    now += 1s;
    EXPECT_EQ(due(), (Names{t, u}));
}

TEST_F(SuspectsTest, ADifferenceIsToldWhenItIsFoundAndUntilItIsMended) {
    suspects.add(Side::source, {t}, noon);
    suspects.note(t, compared(TableVerdict::comparing, noon + 1s, 7), now);
    EXPECT_EQ(of(t).differences, 7u);
    EXPECT_EQ(of(t).first.size(), suspect_rows_named_max);
    EXPECT_EQ(of(t).verdict, TableVerdict::different);
    EXPECT_FALSE(of(t).ended_at);
    suspects.note(t, compared(TableVerdict::different, noon + 1s, 7), now);
    EXPECT_TRUE(of(t).ended_at);
    suspects.add(Side::source, {t}, noon + 1h);
    suspects.note(t, compared(TableVerdict::comparing, noon + 2h), now);
    EXPECT_EQ(of(t).differences, 7u) << "while it is looked at again";
    suspects.mended(t);
    EXPECT_TRUE(of(t).mended);
    EXPECT_EQ(of(t).differences, 0u);
    EXPECT_EQ(due(), Names{});
    suspects.note(t, compared(TableVerdict::equal, noon + 2h + 1min), now);
    EXPECT_TRUE(of(t).mended) << "that it is equal now does not mean that it was";
    suspects.add(Side::source, {t}, noon + 3h);
    EXPECT_FALSE(of(t).mended);
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{t}) << "without the long rest";
}

TEST_F(SuspectsTest, OneThatCannotBeComparedRestsAndIsToldWithTheReason) {
    suspects.add(Side::source, {t, u}, noon);
    suspects.failed(t, "somebody holds a lock", now);
    EXPECT_EQ(due(), Names{u});
    EXPECT_EQ(of(t).problem, "somebody holds a lock");
    now += suspect_pause_failed;
    EXPECT_EQ(due(), (Names{t, u}));
    suspects.gone(u);
    EXPECT_EQ(due(), Names{t});
    EXPECT_EQ(of(u).verdict, TableVerdict::gone);
}

TEST_F(SuspectsTest, AreOfOneAuthorityAndNoMoreThanTheirLimit) {
    suspects.add(Side::source, {t}, noon);
    EXPECT_EQ(suspects.due(Side::target, now), Names{});
    suspects.add(Side::target, {u}, noon);
    EXPECT_EQ(suspects.due(Side::target, now), Names{u});
    EXPECT_TRUE(suspects.list(Side::source).empty());
    for (std::size_t i = 0; i < 2 * suspects_max; ++i)
        suspects.add(Side::target, {{"app", std::to_string(i)}}, noon);
    EXPECT_EQ(suspects.list(Side::target).size(), suspects_max);
    suspects.note(u, compared(TableVerdict::equal, noon + 1s), now);
    suspects.add(Side::target, {t}, noon);
    const Names all = suspects.due(Side::target, now);
    EXPECT_EQ(all.size(), suspects_max);
    EXPECT_NE(std::find(all.begin(), all.end(), t), all.end())
        << "in the place of one that is known";
}

}  // namespace
}  // namespace segue::backfill
