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

    bool add(Side authority, const Names& tables, WallTime seen_at) {
        return suspects.add(authority, tables, seen_at, now);
    }
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
    add(Side::source, {t, u}, noon);
    add(Side::source, {t}, noon + 1s);
    EXPECT_EQ(due(), (Names{t, u}));
    EXPECT_TRUE(suspects.is_shown_by(t, noon));
    EXPECT_FALSE(suspects.is_shown_by(t, noon - 1s));
    suspects.note(t, compared(TableVerdict::equal, noon + 2s), now);
    EXPECT_EQ(due(), Names{u});
    EXPECT_EQ(of(t).verdict, TableVerdict::equal);
    add(Side::source, {t}, noon + 1s);
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{u}) << "it is known";
}

TEST_F(SuspectsTest, WhatWasComparedEarlierSaysNothing) {
    add(Side::source, {t}, noon);
    suspects.note(t, compared(TableVerdict::equal, noon - 1s), now);
    EXPECT_EQ(due(), Names{}) << "a clock that is set back makes it rest as well";
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{t});
    suspects.note(t, compared(TableVerdict::comparing, noon + 1s), now);
    EXPECT_EQ(of(t).rows_compared, 0u);
    add(Side::source, {t}, noon + 2s);  // Its row may have been read before that.
    suspects.note(t, compared(TableVerdict::equal, noon + 1s), now);
    EXPECT_FALSE(of(t).rows_compared);
    EXPECT_EQ(due(), Names{}) << "it rests first";
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{t});
}

TEST_F(SuspectsTest, ATableRestsLongerWhereRowsWereFoundAndAsLongAsItsComparisonWasLong) {
    add(Side::source, {t, u}, noon);
    suspects.note(t, compared(TableVerdict::different, noon + 1s, 1), now);
    VerifiedTable large = compared(TableVerdict::equal, noon + 1s);
    large.ended_at = *large.begun_at + 30min;
    suspects.note(u, large, now);
    add(Side::source, {t, u}, noon + 2h);
    const auto begun = now;
    now = begun + suspect_pause_different - 1s;
    EXPECT_EQ(due(), Names{});
    now = begun + suspect_pause_different;
    EXPECT_EQ(due(), Names{t});
    now = begun + suspect_pause_factor * 30min - 1s;
    EXPECT_EQ(due(), Names{t});
    now += 1s;
    EXPECT_EQ(due(), (Names{t, u}));
    VerifiedTable paused = compared(TableVerdict::equal, noon + 3h);
    paused.ended_at = *paused.begun_at + 12h;
    suspects.note(u, paused, now);
    add(Side::source, {u}, noon + 20h);
    now += suspect_pause_max - 1s;
    EXPECT_EQ(due(), Names{t});
    now += 1s;
    EXPECT_EQ(due(), (Names{t, u})) << "not for days";
}

TEST_F(SuspectsTest, ADifferenceIsToldWhenItIsFoundAndUntilItIsMended) {
    add(Side::source, {t}, noon);
    suspects.note(t, compared(TableVerdict::comparing, noon + 1s, 7), now);
    EXPECT_EQ(of(t).differences, 7u);
    EXPECT_EQ(of(t).first.size(), suspect_rows_named_max);
    EXPECT_EQ(of(t).verdict, TableVerdict::different);
    EXPECT_FALSE(of(t).ended_at);
    suspects.note(t, compared(TableVerdict::different, noon + 1s, 7), now);
    EXPECT_TRUE(of(t).ended_at);
    add(Side::source, {t}, noon + 1h);
    suspects.note(t, compared(TableVerdict::comparing, noon + 2h), now);
    EXPECT_EQ(of(t).differences, 7u) << "while it is looked at again";
    suspects.mended(t);
    EXPECT_TRUE(of(t).mended);
    EXPECT_EQ(of(t).differences, 0u);
    EXPECT_EQ(due(), Names{});
    suspects.note(t, compared(TableVerdict::equal, noon + 2h + 1min), now);
    EXPECT_TRUE(of(t).mended) << "that it is equal now does not mean that it was";
    add(Side::source, {t}, noon + 3h);
    EXPECT_FALSE(of(t).mended);
    now += suspect_pause_equal;
    EXPECT_EQ(due(), Names{t}) << "without the long rest";
}

TEST_F(SuspectsTest, OneThatCannotBeComparedRestsAndIsToldWithTheReason) {
    add(Side::source, {t, u}, noon);
    suspects.failed(t, "somebody holds a lock", now);
    EXPECT_EQ(due(), Names{u});
    EXPECT_EQ(of(t).problem, "somebody holds a lock");
    now += suspect_pause_failed;
    EXPECT_EQ(due(), (Names{t, u}));
    suspects.gone(u, now);
    EXPECT_EQ(due(), Names{t});
    EXPECT_EQ(of(u).verdict, TableVerdict::gone);
    EXPECT_FALSE(add(Side::source, {u}, noon + 1h));
    EXPECT_EQ(due(), Names{t}) << "nobody looks for it at every read";
    now += suspect_pause_different;
    EXPECT_EQ(due(), (Names{t, u}));
}

// What goes on gives way only to what may be done now, and nobody takes an old answer for a new
// one.
TEST_F(SuspectsTest, OneThatIsWantedAgainSaysSoAndIsDueOnlyAfterItsRest) {
    EXPECT_TRUE(add(Side::source, {t}, noon));
    EXPECT_EQ(of(t).wanted_since, noon);
    suspects.note(t, compared(TableVerdict::equal, noon + 1s), now);
    EXPECT_FALSE(of(t).wanted_since);
    EXPECT_FALSE(add(Side::source, {t}, noon + 1s)) << "it is known";
    EXPECT_FALSE(add(Side::source, {t}, noon + 2s)) << "it rests";
    EXPECT_FALSE(add(Side::source, {t}, noon + 3s));
    EXPECT_EQ(of(t).wanted_since, noon + 2s);
    now += suspect_pause_equal;
    EXPECT_TRUE(add(Side::source, {t}, noon + 4s));
    EXPECT_TRUE(add(Side::source, {t, u}, noon + 4s)) << "u is new";
    suspects.mended(t);
    EXPECT_FALSE(of(t).wanted_since);
    add(Side::source, {t}, noon + 5s);
    EXPECT_EQ(of(t).wanted_since, noon + 5s);
}

TEST_F(SuspectsTest, OfWhichNobodyWaitsAreNotDueUntilAReadDiffersAgain) {
    add(Side::source, {t, u}, noon);
    suspects.note(t, compared(TableVerdict::equal, noon + 1s), now);
    suspects.let_go();
    now += suspect_pause_max;
    EXPECT_EQ(suspects.due(Side::source, now), Names{});
    EXPECT_EQ(of(t).verdict, TableVerdict::equal);
    EXPECT_EQ(of(t).problem, "");
    EXPECT_EQ(of(u).problem, "no reads are compared any more");
    EXPECT_TRUE(add(Side::source, {u}, noon + 2s));
    EXPECT_EQ(suspects.due(Side::source, now), Names{u});
    EXPECT_EQ(of(u).problem, "");
}

TEST_F(SuspectsTest, AreOfOneAuthorityAndNoMoreThanTheirLimit) {
    add(Side::source, {t}, noon);
    EXPECT_EQ(suspects.due(Side::target, now), Names{});
    add(Side::target, {u}, noon);
    EXPECT_EQ(suspects.due(Side::target, now), Names{u});
    EXPECT_TRUE(suspects.list(Side::source).empty());
    for (std::size_t i = 0; i < 2 * suspects_max; ++i)
        add(Side::target, {{"app", std::to_string(i)}}, noon);
    EXPECT_EQ(suspects.list(Side::target).size(), suspects_max);
    suspects.note(u, compared(TableVerdict::equal, noon + 1s), now);
    EXPECT_FALSE(add(Side::target, {t}, noon)) << "u would come back without its rest";
    now += suspect_pause_equal;
    EXPECT_TRUE(add(Side::target, {t}, noon));
    const Names all = suspects.due(Side::target, now);
    EXPECT_EQ(all.size(), suspects_max);
    EXPECT_NE(std::find(all.begin(), all.end(), t), all.end())
        << "in the place of one that is known";
}

}  // namespace
}  // namespace segue::backfill
