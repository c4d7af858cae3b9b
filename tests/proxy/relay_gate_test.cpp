#include <gtest/gtest.h>

#include <poll.h>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

// Both servers' logs, whose end the test moves.
struct GateTest : testing::Test {
    std::atomic<std::uint64_t> log_end{100};
    std::atomic<std::uint64_t> written{0};  // The mark; zero: the server tells none.
    std::atomic<bool> unreadable{false};
    backfill::AppliedPosition applied[2];
    Positions positions{{[this](Side) -> Result<Positions::LogEnd> {
                             if (unreadable) return Error{Errc::closed, "gone"};
                             const std::uint64_t mark = written;
                             return Positions::LogEnd{Position{log_end.load()},
                                                      Position{log_end.load()},
                                                      {mark > 0 ? 1u : 0u, mark}};
                         },
                         [](Side) -> Status { return Done{}; }}};
    GatePolicy policy;
    std::unique_ptr<RelayRig> rig;

    void start() {
        RelayPeers peers;
        peers.positions = &positions;
        peers.applied[0] = &applied[0];
        peers.applied[1] = &applied[1];
        peers.gate_policy = policy;
        rig = std::make_unique<RelayRig>(peers);
        positions.start();
        rig->thread.set_gate(true);
    }
    void TearDown() override { positions.stop(); }

    // Turns until the token for what is held so far has been read: `asked` tells how many there
    // must be.
    void settle_with_token(std::uint64_t asked) {
        rig->settle();
        while (positions.newest(Side::source).request < asked)
            rig->thread.turn(std::chrono::milliseconds{1});
        rig->settle();
    }
    // Begins with a session whose insert has been answered by the server, and not to the client.
    Scene with_held_answer() {
        start();
        Scene scene = rig->adopt(1);
        scene.client->say(query("insert"));
        rig->settle();
        scene.server->say(complete("INSERT 0 1") + ready('I'));
        settle_with_token(1);
        return scene;
    }
};

TEST_F(GateTest, HoldsAnAutocommitAnswerUntilTheFollowerHasIt) {
    Scene scene = with_held_answer();
    EXPECT_EQ(scene.client->heard(), "");
    applied[0].publish(Position{99});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    applied[1].publish(Position{1000});  // The other side's stream says nothing about this commit.
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("INSERT 0 1") + ready('I'));
    EXPECT_EQ(rig->gate_status.answers_held, 1u);
}

// The follower is away all the time: nothing is applied.
struct WithoutFollower : GateTest {
    Scene scene;

    void SetUp() override {
        start();
        written = 7;
        scene = rig->adopt(1);
    }
    // Behind every question that has been put so far.
    void read_mark() { settle_with_token(positions.ask(Side::source)); }
    // Everything that the client has heard when the token for it has been read.
    std::string run(const std::string& request,
                    const std::string& answer,
                    bool acknowledges = true) {
        scene.client->say(request);
        rig->settle();
        scene.server->say(answer);
        rig->settle();
        if (acknowledges) read_mark();
        return scene.client->heard();
    }
};

TEST_F(WithoutFollower, AStatementThatWroteNothingIsNotHeld) {
    read_mark();
    const std::string answer = complete("SELECT 1") + ready('I');
    EXPECT_EQ(run(query("select"), answer), answer);
    EXPECT_EQ(run(message('P', "") + message('E', "") + message('S', ""), answer), answer);
}

TEST_F(WithoutFollower, AStatementIsHeldWhenAnybodyMayHaveWritten) {
    read_mark();
    scene.client->say(query("select writes()"));
    rig->settle();
    written = 8;
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig->settle();
    read_mark();
    EXPECT_EQ(scene.client->heard(), "");
}

TEST_F(WithoutFollower, AStatementIsHeldWhenNothingIsKnownOfTheTimeBeforeIt) {
    EXPECT_EQ(run(query("select"), complete("SELECT 1") + ready('I')), "");
}

TEST_F(WithoutFollower, WhatCountsIsTheTimeBeforeTheTransactionBegan) {
    read_mark();
    (void)run(query("begin"), complete("BEGIN") + ready('T'), false);
    (void)run(query("insert"), complete("INSERT 0 1") + ready('T'), false);
    written = 8;
    read_mark();
    EXPECT_EQ(run(query("commit"), complete("COMMIT") + ready('I')), "");
}

TEST_F(WithoutFollower, ThePreparedTransactionOfBeforeIsHeld) {
    read_mark();
    EXPECT_EQ(run(query("commit prepared 'x'"), complete("COMMIT PREPARED") + ready('I')), "");
}

TEST_F(WithoutFollower, AMarkOfAnotherConnectionSaysNothing) {
    read_mark();
    scene.client->say(query("select"));
    rig->settle();
    written = 0;
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig->settle();
    read_mark();
    EXPECT_EQ(scene.client->heard(), "");
}

TEST_F(WithoutFollower, TheMarkIsKeptFreshWhileSomebodyWaits) {
    read_mark();
    Scene writer = rig->adopt(2);
    writer.client->say(query("insert"));
    rig->settle();
    written = 9;
    writer.server->say(complete("INSERT 0 1") + ready('I'));
    rig->settle();
    read_mark();
    written = 10;  // Somebody else, of whom we know nothing.
    while (positions.newest(Side::source).written.value != 10) rig->thread.turn(tick);
    rig->settle();
    const std::string answer = complete("SELECT 1") + ready('I');
    EXPECT_EQ(run(query("select"), answer), answer);
    EXPECT_EQ(writer.client->heard(), "");
}

TEST_F(GateTest, LetsRowsAndTheInsideOfATransactionThrough) {
    start();
    Scene scene = rig->adopt(1);
    scene.client->say(query("begin"));
    rig->settle();
    scene.server->say(complete("BEGIN") + ready('T'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("BEGIN") + ready('T'));
    scene.client->say(query("insert returning"));
    rig->settle();
    scene.server->say(message('D', "row") + complete("INSERT 0 1") + ready('T'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('D', "row") + complete("INSERT 0 1") + ready('T'));
    scene.client->say(query("commit"));
    rig->settle();
    scene.server->say(complete("COMMIT") + ready('I'));
    settle_with_token(1);
    EXPECT_EQ(scene.client->heard(), "");
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("COMMIT") + ready('I'));
}

TEST_F(GateTest, InTheExtendedProtocolReadyForQueryIsTheAcknowledgement) {
    start();
    Scene scene = rig->adopt(1);
    scene.client->say(message('B', "\0s\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s) +
                      message('S', ""));
    rig->settle();
    scene.server->say(message('2', "") + complete("INSERT 0 1") + ready('I'));
    settle_with_token(1);
    EXPECT_EQ(scene.client->heard(), message('2', "") + complete("INSERT 0 1"));
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), ready('I'));
}

TEST_F(GateTest, KeepsTheOrderOfAPipelineOfCommits) {
    start();
    Scene scene = rig->adopt(1);
    scene.client->say(query("one") + query("two"));
    rig->settle();
    scene.server->say(complete("ONE") + ready('I'));
    settle_with_token(1);
    log_end = 200;
    scene.server->say(message('D', "row") + complete("TWO") + ready('I'));
    settle_with_token(2);
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("ONE") + ready('I') + message('D', "row"));
    applied[0].publish(Position{200});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("TWO") + ready('I'));
}

TEST_F(GateTest, NeverTakesATokenThatWasReadBeforeTheAnswer) {
    start();
    Scene scene = rig->adopt(1);
    const std::string answer = complete("INSERT 0 1") + ready('I');
    scene.client->say(query("one"));
    rig->settle();
    scene.server->say(answer);
    settle_with_token(1);
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer);

    unreadable = true;
    log_end = 200;
    scene.client->say(query("two"));
    rig->settle();
    scene.server->say(answer);
    rig->settle();
    applied[0].publish(Position{150});  // Beyond the old token, not beyond this commit.
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    unreadable = false;
    settle_with_token(2);
    EXPECT_EQ(scene.client->heard(), "");
    applied[0].publish(Position{200});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer);
}

TEST_F(GateTest, HoldsAnAnswerThatComesInPieces) {
    start();
    const std::string answer = complete("INSERT 0 1") + ready('I');
    std::uint64_t session = 0;
    for (std::size_t split = 1; split < answer.size(); ++split) {
        SCOPED_TRACE(split);
        Scene scene = rig->adopt(++session);
        scene.client->say(query("insert"));
        rig->settle();
        log_end = 100 + session;
        scene.server->say(answer.substr(0, split));
        rig->settle();
        scene.server->say(answer.substr(split));
        rig->settle();
        // No complete message may be out; a piece of a head tells nothing.
        EXPECT_LT(scene.client->heard().size(), 5u);
        while (positions.newest(Side::source).position < Position{log_end}) {
            positions.ask(Side::source);
            rig->thread.turn(std::chrono::milliseconds{1});
        }
        applied[0].publish(Position{log_end});
        rig->settle();
    }
}

TEST_F(GateTest, OpeningTheGateReleasesWhatIsHeld) {
    start();
    Scene scene = rig->adopt(1);
    scene.client->say(query("insert"));
    rig->settle();
    scene.server->say(complete("INSERT 0 1") + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    rig->thread.set_gate(false);
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("INSERT 0 1") + ready('I'));
}

TEST_F(GateTest, AHoldWaitsForAnswersThatAreHeld) {
    Scene scene = with_held_answer();
    rig->thread.hold();
    ASSERT_EQ(rig->thread.not_held().size(), 1u);
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_TRUE(rig->thread.not_held().empty());
}

TEST_F(GateTest, DropsAClientThatDiesWhileItsAnswerIsHeld) {
    Scene scene = with_held_answer();
    scene.client->close();
    rig->settle();
    EXPECT_TRUE(scene.server->ended());
    scene.server->close();
    rig->settle();
    EXPECT_EQ(rig->thread.session_count(), 0u);
    applied[0].publish(Position{100});
    rig->settle();
}

TEST_F(GateTest, AServerThatEndsDoesNotTakeTheHeldAnswerAlong) {
    Scene scene = with_held_answer();
    scene.server->close();
    rig->settle();
    EXPECT_FALSE(scene.client->ended());
    applied[0].publish(Position{100});
    rig->settle();
    EXPECT_EQ(scene.client->heard(), complete("INSERT 0 1") + ready('I'));
    EXPECT_TRUE(scene.client->ended());
}

TEST_F(GateTest, ASessionThatIsEndedOverAHeldAnswerIsToldNothing) {
    Scene scene = with_held_answer();
    rig->thread.end_all(message('E', "SFATAL"), RelayThread::Whom::those_of_the_migration);
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "") << "neither that it succeeded nor that it failed";
    EXPECT_TRUE(scene.client->ended());
}

TEST_F(GateTest, BoundedGoesOnWithoutTheFollowerAndComesBack) {
    policy = {MirrorPolicy::bounded, std::chrono::milliseconds{1}};
    start();
    Scene scene = rig->adopt(1);
    scene.client->say(query("insert"));
    rig->settle();
    scene.server->say(complete("INSERT 0 1") + ready('I'));
    // The bound is real time: turns of the loop wait for their tick, no longer.
    std::string heard;
    for (int i = 0; i < 1000 && heard.empty(); ++i) {
        rig->thread.turn(tick);
        heard = scene.client->heard();
    }
    EXPECT_EQ(heard, complete("INSERT 0 1") + ready('I'));
    EXPECT_TRUE(rig->gate_status.degraded);
    applied[0].publish(Position{100});
    for (int i = 0; i < 1000 && rig->gate_status.degraded; ++i) rig->thread.turn(tick);
    EXPECT_FALSE(rig->gate_status.degraded);
    scene.client->say(query("insert"));
    rig->settle();
    log_end = 200;
    scene.server->say(complete("INSERT 0 1") + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "") << "the gate is closed again";
}

TEST_F(GateTest, AGateClosedInTheMiddleOfATransactionHoldsItsCommit) {
    start();
    rig->thread.set_gate(false);
    Scene scene = rig->adopt(1);
    scene.client->say(query("begin"));
    rig->settle();
    scene.server->say(complete("BEGIN") + ready('T'));
    scene.client->say(query("commit"));
    rig->settle();
    (void)scene.client->heard();
    const std::string answer = complete("COMMIT") + ready('I');
    scene.server->say(answer.substr(0, 3));
    rig->settle();
    rig->thread.set_gate(true);
    scene.server->say(answer.substr(3));
    rig->settle();
    EXPECT_LT(scene.client->heard().size(), 5u);
}

}  // namespace
}  // namespace segue::proxy
