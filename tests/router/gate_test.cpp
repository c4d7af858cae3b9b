#include "router/gate.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace segue::router {
namespace {

using std::chrono::milliseconds;

const Gate::Time t0{};

std::string released(Gate& gate, Side side, std::uint64_t applied) {
    std::string output;
    gate.release(side, Position{applied}, output);
    return output;
}

TEST(Gate, HoldsAnAnswerUntilItsTokenIsApplied) {
    Gate gate;
    gate.hold(bytes("one"), Side::source, 1, t0);
    EXPECT_EQ(released(gate, Side::source, 1000), "") << "nothing is known of the commit yet";
    gate.token(Side::source, 1, Position{50});
    EXPECT_EQ(released(gate, Side::source, 49), "");
    EXPECT_EQ(released(gate, Side::source, 50), "one");
    EXPECT_TRUE(gate.empty());
    EXPECT_EQ(gate.held_size(), 0u);
}

TEST(Gate, LetsLaterBytesWaitBehindTheAnswer) {
    Gate gate;
    gate.hold(bytes("one"), Side::source, 1, t0);
    gate.queue(bytes(" rows"));
    gate.hold(bytes(" two"), Side::source, 2, t0);
    gate.token(Side::source, 1, Position{50});
    EXPECT_EQ(released(gate, Side::source, 60), "one rows") << "the second has no token yet";
    gate.token(Side::source, 2, Position{70});
    EXPECT_EQ(released(gate, Side::source, 69), "");
    EXPECT_EQ(released(gate, Side::source, 70), " two");
}

TEST(Gate, TakesNoTokenThatWasReadBeforeTheAnswer) {
    Gate gate;
    gate.hold(bytes("late"), Side::source, 7, t0);
    gate.token(Side::source, 6, Position{50});
    EXPECT_EQ(released(gate, Side::source, 1000), "");
    gate.token(Side::source, 8, Position{80});
    EXPECT_EQ(released(gate, Side::source, 80), "late")
        << "a later reading is at or beyond the commit";
}

TEST(Gate, KeepsTheFirstTokenOfAnAnswer) {
    Gate gate;
    gate.hold(bytes("a"), Side::source, 1, t0);
    gate.token(Side::source, 1, Position{50});
    gate.token(Side::source, 2, Position{90});
    EXPECT_EQ(released(gate, Side::source, 50), "a");
}

TEST(Gate, NeverTakesOneSideForTheOther) {
    Gate gate;
    gate.hold(bytes("a"), Side::source, 1, t0);
    gate.token(Side::target, 1, Position{10});
    EXPECT_EQ(released(gate, Side::source, 1000), "");
    gate.token(Side::source, 1, Position{50});
    EXPECT_EQ(released(gate, Side::target, 1000), "");
    EXPECT_EQ(released(gate, Side::source, 50), "a");
}

TEST(Gate, LetsAnOlderAnswerOfTheOtherSideGoFirst) {
    Gate gate;
    gate.hold(bytes("old"), Side::source, 1, t0);
    gate.hold(bytes(" new"), Side::target, 1, t0);
    gate.token(Side::target, 1, Position{5});
    EXPECT_EQ(released(gate, Side::target, 5), "") << "order within the session comes first";
    gate.token(Side::source, 1, Position{9});
    EXPECT_EQ(released(gate, Side::source, 9), "old");
    EXPECT_EQ(released(gate, Side::target, 5), " new");
}

TEST(Gate, SaysWhenItIsFullAndSinceWhenItWaits) {
    Gate gate;
    EXPECT_FALSE(gate.waiting_since());
    gate.hold(bytes("a"), Side::source, 1, t0 + milliseconds{3});
    gate.hold(bytes("b"), Side::source, 2, t0 + milliseconds{5});
    ASSERT_TRUE(gate.waiting_since());
    EXPECT_EQ(*gate.waiting_since(), t0 + milliseconds{3});
    EXPECT_FALSE(gate.full());
    gate.queue(bytes(std::string(gate_held_size_max, 'x')));
    EXPECT_TRUE(gate.full());
    std::string output;
    gate.release_all(output);
    EXPECT_EQ(output.size(), gate_held_size_max + 2);
    EXPECT_EQ(output.substr(0, 2), "ab");
    EXPECT_FALSE(gate.full());
    EXPECT_TRUE(gate.empty());
}

TEST(Gate, SharesOneQuestionAmongAnswersOfOneBatch) {
    Gate gate;
    gate.hold(bytes("a"), Side::source, 1, t0);
    gate.hold(bytes("b"), Side::source, 1, t0);
    gate.token(Side::source, 1, Position{5});
    EXPECT_EQ(released(gate, Side::source, 5), "ab");
}

}  // namespace
}  // namespace segue::router
