#include "proxy/standing_blockers.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/proxy/fake_world.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

TEST(SeenBlockers, CountAtOnceAtFirstAndThenWhenTheyWereSeenTwiceInARow) {
    SeenBlockers seen;
    EXPECT_FALSE(seen.known());
    EXPECT_FALSE(seen.note({"index"}));
    EXPECT_EQ(seen.standing(), Texts{"index"});
    EXPECT_TRUE(seen.note({"index", "prepared"})) << "it may be gone in a moment";
    EXPECT_EQ(seen.standing(), Texts{"index"});
    EXPECT_TRUE(seen.note({"index", "another"}));
    EXPECT_EQ(seen.standing(), Texts{"index"});
    EXPECT_FALSE(seen.note({"index", "another"}));
    EXPECT_EQ(seen.standing(), (Texts{"index", "another"}));
    EXPECT_FALSE(seen.note({}));
    EXPECT_TRUE(seen.standing().empty());
}

TEST(StandingBlockers, AreNotKnownBeforeTheyWereLookedForAndLeaveOutWhatTheChangeMakesGood) {
    test::World world = test::consistent_world();
    world.blockers = {{"unfenced_table", "t has no trigger"}, {"schema_differs", "i is missing"}};
    std::array<backfill::AppliedPosition, 2> applied;
    std::atomic<bool> may_look = false;
    StandingBlockers blockers{{[&] { return std::make_unique<test::FakeSteps>(world, applied); },
                               [] { return std::optional{Side::source}; },
                               [&] { return may_look.load(); }}};
    EXPECT_TRUE(blockers.against_leaving(std::nullopt).empty()) << "nobody is to be left";
    EXPECT_NE(blockers.against_leaving(Side::source).at(0).find("not known yet"),
              std::string::npos);
    blockers.start();
    may_look = true;
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (blockers.against_leaving(Side::source) != Texts{"i is missing"} &&
           std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    EXPECT_EQ(blockers.against_leaving(Side::source), Texts{"i is missing"});
    EXPECT_NE(blockers.against_leaving(Side::target).at(0).find("not known yet"), std::string::npos)
        << "another one was asked";
}

// Takes its time by a clock that only it moves.
class SlowSteps : public test::FakeSteps {
public:
    SlowSteps(test::World& world,
              std::array<backfill::AppliedPosition, 2>& applied,
              StandingBlockers::Clock::time_point& now,
              int& looks)
        : FakeSteps(world, applied), now_(now), looks_(looks) {}
    Result<std::vector<backfill::Blocker>> blockers(Side side) override {
        now_ += 10s;
        ++looks_;
        if (looks_ == 1) return Error{Errc::timed_out, "a table is locked"};
        return FakeSteps::blockers(side);
    }

private:
    StandingBlockers::Clock::time_point& now_;
    int& looks_;
};

// Whatever comes of it, a look that takes long is not most of what the databases do.
TEST(StandingBlockers, AreLookedForTheMoreSeldomTheLongerItTakes) {
    test::World world = test::consistent_world();
    std::array<backfill::AppliedPosition, 2> applied;
    StandingBlockers::Clock::time_point now{};
    int looks = 0;
    StandingBlockers blockers{{[&] {
                                   return std::make_unique<SlowSteps>(world, applied, now, looks);
                               },
                               [] { return std::optional{Side::source}; },
                               [] { return true; },
                               [](backfill::ChangeSteps&) {},
                               [&] { return now; }}};
    const auto seconds_until_the_next = [&] {
        const auto ended = now;
        for (const int before = looks; looks == before; blockers.turn()) now += 1s;
        return (now - 10s - ended) / 1s;
    };
    blockers.turn();
    EXPECT_EQ(seconds_until_the_next(), 200) << "after a failure";
    world.blockers = {{"prepared_transaction", "p"}};
    EXPECT_EQ(seconds_until_the_next(), 200);
    EXPECT_EQ(seconds_until_the_next(), 40) << "in doubt";
}

// What they remember is about one migration. While nothing is moved they are good for something
// else.
TEST(StandingBlockers, AreAskedForByNewStepsForEachAuthority) {
    test::World world = test::consistent_world();
    std::array<backfill::AppliedPosition, 2> applied;
    std::optional<Side> authority;
    StandingBlockers::Clock::time_point now{};
    int made = 0, looks_otherwise = 0;
    StandingBlockers blockers{{[&] {
                                   ++made;
                                   return std::make_unique<test::FakeSteps>(world, applied);
                               },
                               [&] { return authority; },
                               [] { return true; },
                               [&](backfill::ChangeSteps&) { ++looks_otherwise; },
                               [&] { return now; }}};
    for (int i = 0; i < 10; ++i, now += 1s) blockers.turn();
    EXPECT_EQ(looks_otherwise, 2) << "every five seconds";
    const int before = made;
    authority = Side::source;
    for (int i = 0; i < 10; ++i, now += 1s) blockers.turn();
    EXPECT_EQ(made, before + 1);
    EXPECT_EQ(looks_otherwise, 2);
    authority.reset();
    blockers.turn();
    EXPECT_EQ(made, before + 2);
}

}  // namespace
}  // namespace segue::proxy
