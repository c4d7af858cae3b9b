#include "backfill/postgres/mover_authority.hpp"

#include <gtest/gtest.h>

namespace segue::backfill::postgres {
namespace {

using router::Phase;

Claim claim(std::uint64_t epoch, Side authority, Phase phase = Phase::steady, Position since = {}) {
    return {epoch, authority, phase, since};
}

// The source is the authority, in epoch 4, whose commits begin at 100.
constexpr Told told{Side::source, 4, 0, Position{100}};

Standing judge(std::optional<Claim> source,
               std::optional<Claim> target,
               std::uint64_t own_epoch = 0) {
    Told with_own = told;
    with_own.own_epoch = own_epoch;
    return standing(with_own, Claims{{source, target}});
}

TEST(MoverAuthority, StandsAsLongAsNobodyElseHasWritten) {
    const Claim source = claim(4, Side::source, Phase::steady, Position{100});
    EXPECT_EQ(judge(source, claim(4, Side::source)), Standing::as_told);
    EXPECT_EQ(judge(source, claim(3, Side::source)), Standing::as_told) << "not settled yet";
    EXPECT_EQ(judge(source, std::nullopt), Standing::as_told);
    EXPECT_EQ(judge(std::nullopt, std::nullopt), Standing::as_told);
    // A change that was given up leaves a later epoch and the same beginning.
    EXPECT_EQ(judge(claim(6, Side::source, Phase::steady, Position{100}), claim(4, Side::source)),
              Standing::as_told);
    // What the target said long ago.
    EXPECT_EQ(judge(source, claim(3, Side::target)), Standing::as_told);
}

TEST(MoverAuthority, IsNotSurprisedByItsOwnChange) {
    const Claim intent = claim(5, Side::source, Phase::deciding, Position{100});
    const Claim committed = claim(5, Side::target, Phase::steady, Position{900});
    EXPECT_EQ(judge(intent, claim(4, Side::source), 5), Standing::as_told);
    EXPECT_EQ(judge(intent, committed, 5), Standing::as_told);
    EXPECT_EQ(judge(intent, claim(4, Side::source)), Standing::interrupted) << "not its own";
    EXPECT_EQ(judge(intent, committed), Standing::changed);
    EXPECT_EQ(judge(claim(6, Side::source, Phase::switching, Position{100}), committed, 5),
              Standing::interrupted)
        << "and another one since";
}

TEST(MoverAuthority, NoticesWhatOthersHaveDone) {
    EXPECT_EQ(judge(claim(5, Side::target), claim(5, Side::target)), Standing::changed);
    EXPECT_EQ(judge(std::nullopt, claim(5, Side::target)), Standing::changed);
    EXPECT_EQ(judge(claim(6, Side::source, Phase::steady, Position{800}), std::nullopt),
              Standing::changed)
        << "there and back";
    EXPECT_EQ(judge(claim(4, Side::source, Phase::finished), claim(4, Side::source)),
              Standing::finished);
    EXPECT_EQ(judge(std::nullopt, claim(4, Side::source, Phase::finished)), Standing::finished);
    EXPECT_EQ(judge(claim(5, Side::source, Phase::switching, Position{100}), std::nullopt),
              Standing::interrupted);
}

// A promoted standby or a restored backup: nobody has changed anything.
TEST(MoverAuthority, TellsALostRecordFromAChange) {
    EXPECT_EQ(judge(claim(3, Side::target), claim(3, Side::target)), Standing::lost);
    EXPECT_EQ(judge(claim(3, Side::source), claim(4, Side::source)), Standing::lost);
    EXPECT_EQ(judge(claim(3, Side::source), claim(5, Side::target)), Standing::changed);
    EXPECT_NE(text(Standing::lost, told).find("older than epoch 4"), std::string::npos);
    EXPECT_EQ(text(Standing::as_told, told), "");
}

}  // namespace
}  // namespace segue::backfill::postgres
