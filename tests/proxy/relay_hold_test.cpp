#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

ReleaseReport release(RelayRig& rig) {
    std::promise<ReleaseReport> promise;
    auto done = promise.get_future();
    rig.thread.release(std::move(promise));
    rig.settle();
    EXPECT_EQ(done.wait_for(std::chrono::seconds{0}), std::future_status::ready);
    return done.get();
}

TEST(RelayHold, HoldsAnIdleSessionsNextRequestAndReleasesIt) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    rig.thread.hold();
    EXPECT_TRUE(rig.thread.not_held().empty());
    EXPECT_TRUE(rig.directory.entry(1)->held);
    scene.client->say(query("select 1"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), "");
    const ReleaseReport report = release(rig);
    EXPECT_GT(report.longest_wait.count(), 0);
    EXPECT_EQ(scene.server->heard(), query("select 1"));
    EXPECT_FALSE(rig.directory.entry(1)->held);
}

TEST(RelayHold, LetsATransactionRunOnRequestByRequestAndStopsAtItsEnd) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("begin"));
    rig.settle();
    scene.server->say(complete("BEGIN") + ready('T'));
    rig.settle();
    (void)scene.server->heard();
    rig.thread.hold();
    ASSERT_EQ(rig.thread.not_held().size(), 1u);
    EXPECT_EQ(rig.thread.not_held()[0].why.rfind("open transaction, for 0.", 0), 0u)
        << rig.thread.not_held()[0].why;
    // A pipeline that goes beyond the transaction: only its end is forwarded.
    scene.client->say(query("insert") + query("commit") + query("next"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("insert"));
    scene.server->say(complete("INSERT 0 1") + ready('T'));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("commit"));
    scene.server->say(complete("COMMIT") + ready('I'));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), "") << "the next transaction waits";
    EXPECT_TRUE(rig.thread.not_held().empty());
    EXPECT_EQ(scene.client->heard(),
              complete("BEGIN") + ready('T') + complete("INSERT 0 1") + ready('T') +
                  complete("COMMIT") + ready('I'));
    release(rig);
    EXPECT_EQ(scene.server->heard(), query("next"));
}

TEST(RelayHold, WaitsForTheAnswersOfAWholePipeline) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("one") + query("two"));
    rig.settle();
    rig.thread.hold();
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    EXPECT_EQ(rig.thread.not_held().size(), 1u);
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    EXPECT_TRUE(rig.thread.not_held().empty());
}

TEST(RelayHold, ForwardsTheDataOfACopyThatIsUnderWay) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("copy t from stdin"));
    rig.settle();
    scene.server->say(message('G', "\0\0\0"s));
    rig.settle();
    rig.thread.hold();
    (void)scene.server->heard();
    scene.client->say(message('d', "1\n"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), message('d', "1\n"));
    scene.client->say(message('c', "") + query("next"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), message('c', ""));
    scene.server->say(complete("COPY 1") + ready('I'));
    rig.settle();
    EXPECT_TRUE(rig.thread.not_held().empty());
    EXPECT_EQ(scene.server->heard(), "") << "the request behind the COPY waits";
}

TEST(RelayHold, CompletesAMessageThatIsHalfForwarded) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    const std::string request = query("select 1");
    scene.client->say(request.substr(0, 7));
    rig.settle();
    rig.thread.hold();
    EXPECT_EQ(rig.thread.not_held().size(), 1u);
    scene.client->say(request.substr(7) + query("next"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), request);
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    EXPECT_TRUE(rig.thread.not_held().empty());
    EXPECT_EQ(scene.server->heard(), "");
}

TEST(RelayHold, DropsAndCountsTheRequestOfAClientThatHasGone) {
    RelayRig rig;
    Scene asked = rig.adopt(1);
    Scene idle = rig.adopt(2);
    rig.thread.hold();
    asked.client->say(query("insert"));
    rig.settle();
    asked.client->close();
    idle.client->say(message('X', ""));
    idle.client->close();
    rig.settle();
    EXPECT_EQ(asked.server->heard(), "");
    EXPECT_TRUE(asked.server->ended());
    EXPECT_TRUE(idle.server->ended());
    EXPECT_EQ(rig.thread.session_count(), 0u);
    EXPECT_EQ(release(rig).requests_dropped, 1u);
}

TEST(RelayHold, AnswersACancelOfAWaitingRequestItself) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    rig.thread.hold();
    scene.client->say(query("select pg_sleep(10)") + query("next"));
    rig.settle();
    rig.thread.cancel(1);
    rig.settle();
    const std::string heard = scene.client->heard();
    EXPECT_NE(heard.find("57014"), std::string::npos);
    EXPECT_EQ(heard.substr(heard.size() - 6), ready('I'));
    release(rig);
    EXPECT_EQ(scene.server->heard(), query("next")) << "only the cancelled request is gone";
}

struct CancelledFlush : testing::Test {
    RelayRig rig;
    Scene scene = rig.adopt(1, true);
    std::string flushed = message('P', "\0select 1\0\0\0"s) + message('H', "");

    void SetUp() override {
        rig.thread.hold();
        scene.client->say(flushed);
        rig.settle();
        rig.thread.cancel(1);
        rig.settle();
        const std::string heard = scene.client->heard();
        EXPECT_NE(heard.find("57014"), std::string::npos);
        EXPECT_EQ(heard.find(ready('I')), std::string::npos) << "the Sync has not come";
        scene.client->say(message('E', "\0\0\0\0\0"s));
        rig.settle();
    }
};

TEST_F(CancelledFlush, IsAnsweredAndWhatFollowsIsSkippedUpToItsSync) {
    scene.client->say(message('S', "") + query("next"));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), ready('I'));
    release(rig);
    EXPECT_EQ(scene.server->heard(), query("next"));
}

TEST_F(CancelledFlush, IsSkippedAlsoAfterTheReleaseAndInTheNextHold) {
    release(rig);
    scene.client->say(message('E', "\0\0\0\0\0"s));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), "");
    rig.thread.hold();
    EXPECT_TRUE(rig.thread.not_held().empty());
    scene.client->say(message('S', "") + query("next"));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), ready('I'));
    EXPECT_EQ(scene.server->heard(), "") << "it is held again";
    EXPECT_EQ(rig.thread.swap(Side::target), 0u);
    release(rig);
    EXPECT_EQ(scene.other->heard(), query("next"));
}

TEST_F(CancelledFlush, IsSkippedAlsoWhereItIsMoreThanOneReadBrings) {
    const std::string bind = message('B', std::string(stopped_input_size_max / 2, 'b'));
    scene.client->say(bind + bind + bind + message('S', ""));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), ready('I'));
}
TEST_F(CancelledFlush, GoesOnByItselfWhenItsSyncComesAfterTheRelease) {
    release(rig);
    scene.client->say(message('S', ""));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), ready('I'));
    scene.client->say(query("next"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("next"));
}

TEST_F(CancelledFlush, EndsWithItsClient) {
    scene.client->say(message('X', ""));
    rig.settle();
    EXPECT_TRUE(scene.server->ended());
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

TEST(RelayHold, EndsALentSessionWithTheLastWordsOfItsServer) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    std::unique_ptr<Session> lent;
    rig.thread.lend(1, [&lent](std::unique_ptr<Session> session) { lent = std::move(session); });
    ASSERT_NE(lent, nullptr);
    rig.thread.give_up(1, std::move(lent), message('E', "SFATAL"));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), message('E', "SFATAL"));
    EXPECT_TRUE(scene.client->ended());
    EXPECT_TRUE(scene.server->ended());
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

// The commit may have been carried to the other side: its client must not take it for failed.
TEST(RelayHold, EndsSessionsWithoutAWordOverAnAnswerThatIsStillToCome) {
    RelayRig rig;
    Scene idle = rig.adopt(1), busy = rig.adopt(2);
    busy.client->say(query("COMMIT"));
    rig.settle();
    const std::string words = message('E', "SFATAL");
    rig.thread.end_all(words, RelayThread::Whom::those_of_the_migration);
    rig.settle();
    EXPECT_EQ(idle.client->heard(), words);
    EXPECT_EQ(busy.client->heard(), "");
    for (Scene* scene : {&idle, &busy}) {
        EXPECT_TRUE(scene->client->ended());
        EXPECT_TRUE(scene->server->ended());
    }
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

TEST(RelayHold, ACancelForAClientThatAskedNothingDoesNothing) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    rig.thread.hold();
    rig.thread.cancel(1);
    scene.client->say(query("select 1"));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), "");
    release(rig);
    EXPECT_EQ(scene.server->heard(), query("select 1"));
}

TEST(RelayHold, GoesOnWithTheOtherServerAfterASwap) {
    RelayRig rig;
    Scene scene = rig.adopt(1, true);
    rig.thread.hold();
    scene.client->say(query("select 1"));
    rig.settle();
    EXPECT_EQ(rig.thread.swap(Side::target), 0u);
    release(rig);
    EXPECT_EQ(scene.server->heard(), "");
    EXPECT_EQ(scene.other->heard(), query("select 1"));
    scene.other->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    EXPECT_EQ(scene.client->heard(), complete("SELECT 1") + ready('I'));
    EXPECT_EQ(rig.directory.entry(1)->side, Side::target);
    EXPECT_EQ(rig.directory.entry(1)->pid, 2001);
    EXPECT_EQ(rig.directory.find(1001, "key1")->second.pid, 2001)
        << "the client's keys stay the same";
    rig.thread.drop_others();
    EXPECT_TRUE(scene.server->ended());
}

TEST(RelayHold, EndsASessionThatCannotBeSwapped) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    rig.thread.hold();
    scene.client->say(query("select 1"));
    rig.settle();
    EXPECT_EQ(rig.thread.swap(Side::target), 1u);
    rig.settle();
    EXPECT_NE(scene.client->heard().find("57P01"), std::string::npos);
    EXPECT_TRUE(scene.client->ended());
    EXPECT_EQ(scene.server->heard(), "");
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

TEST(RelayHold, LendsASessionAtItsBoundaryAndTakesItBack) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    std::unique_ptr<Session> lent;
    const auto receive = [&lent](std::unique_ptr<Session> session) { lent = std::move(session); };
    scene.client->say(query("one"));
    rig.settle();
    rig.thread.lend(1, receive);
    rig.settle();
    EXPECT_EQ(lent, nullptr);
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    ASSERT_NE(lent, nullptr);
    scene.client->say(query("two"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("one"));
    rig.thread.take_back(1, std::move(lent), message('A', "\0\0\0\1ch\0\0"s));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("two"));
    EXPECT_EQ(scene.client->heard(),
              complete("SELECT 1") + ready('I') + message('A', "\0\0\0\1ch\0\0"s));
}

TEST(RelayHold, LendsNoSessionThatIsBusyForTooLong) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("one"));
    rig.settle();
    bool told = false;
    const auto receive = [&told](std::unique_ptr<Session> session) { told = session == nullptr; };
    rig.thread.lend(1, receive, RelayThread::Clock::now());
    while (!told) rig.thread.turn(tick);
    EXPECT_EQ(rig.thread.busy(1).why.rfind("a request that has not been answered, for 0.", 0), 0u);
    scene.client->say(query("two"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("one") + query("two"))
        << "it goes on as if nobody had asked";
}

TEST(RelayHold, TellsWhoWaitsForASessionThatItHasGone) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    bool told = false;
    scene.client->say(query("begin"));
    rig.settle();
    rig.thread.lend(1, [&told](std::unique_ptr<Session> session) { told = session == nullptr; });
    EXPECT_FALSE(told);
    scene.server->close();
    rig.settle();
    EXPECT_TRUE(told);
}

TEST(RelayHold, ASessionThatAsksForLastvalWithoutAPauseIsNotWaitedForForEver) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    const auto round = [&] {
        scene.client->say(query("select lastval()"));
        rig.settle();
        if (scene.server->heard().empty()) return;
        scene.server->say(complete("SELECT 1") + ready('I'));
        rig.settle();
        EXPECT_EQ(scene.client->heard(), complete("SELECT 1") + ready('I'));
    };
    round();
    rig.thread.hold();
    ASSERT_EQ(rig.thread.not_held().size(), 1u) << "it may ask for the value of its insert";
    const auto give_up = RelayThread::Clock::now() + 10 * sequence_grace;
    while (!rig.thread.not_held().empty() && RelayThread::Clock::now() < give_up) round();
    EXPECT_TRUE(rig.thread.not_held().empty());
}

TEST(RelayHold, LetsSessionsOfOtherDatabasesRun) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    rig.thread.with_session(1, [](Session&) {});
    Pair client, server;
    auto session = std::make_unique<Session>();
    session->id = 2;
    session->passed_through = true;
    session->client = std::move(client.relay_end);
    session->backend.transport = std::move(server.relay_end);
    rig.directory.add(*session, 0);
    rig.thread.adopt(std::move(session), "");
    rig.thread.hold();
    client.test_end->say(query("select 1"));
    rig.settle();
    EXPECT_EQ(server.test_end->heard(), query("select 1"));
    EXPECT_EQ(rig.thread.swap(Side::target), 1u) << "only the other one";
    EXPECT_EQ(rig.thread.session_count(), 1u);
}

}  // namespace
}  // namespace segue::proxy
