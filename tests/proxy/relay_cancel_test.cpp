// Cancel requests reach what the client asked for, wherever that is, and nothing that Segue asks of
// the session's backend.

#include <gtest/gtest.h>

#include "tests/proxy/relay_rig.hpp"

namespace segue::proxy {
namespace {

struct Cancel : testing::Test {
    void lend(RelayThread::Clock::time_point until = RelayThread::Clock::time_point::max()) {
        const auto receive = [this](std::unique_ptr<Session> session) {
            told = true;
            lent = std::move(session);
        };
        rig.thread.lend(1, receive, until);
        rig.settle();
    }
    void take_back() {
        rig.thread.take_back(1, std::move(lent), "");
        rig.settle();
    }

    RelayRig rig;
    Scene scene = rig.adopt(1);
    bool told = false;
    std::unique_ptr<Session> lent;
};

TEST_F(Cancel, OfARunningRequestIsForItsServer) {
    scene.client->say(query("select pg_sleep(10)"));
    rig.settle();
    const auto target = rig.thread.cancel(1);
    ASSERT_TRUE(target);
    EXPECT_EQ(target->session, 1u);
    EXPECT_EQ(target->pid, 1001);
    EXPECT_FALSE(rig.thread.cancel(2));
}

TEST_F(Cancel, OnItsWayKeepsTheSessionFromBeingLent) {
    scene.client->say(query("one"));
    rig.settle();
    ASSERT_TRUE(rig.thread.cancel(1));
    ASSERT_TRUE(rig.thread.cancel(1));
    lend();
    scene.server->say(complete("SELECT 1") + ready('I'));
    rig.settle();
    EXPECT_FALSE(told) << "the cancel could still hit what is asked of the server now";
    rig.thread.cancel_ended(1);
    rig.settle();
    EXPECT_FALSE(told) << "the other one could";
    rig.thread.cancel_ended(1);
    EXPECT_NE(lent, nullptr);
}

TEST_F(Cancel, OnItsWayForTooLongEndsTheWait) {
    ASSERT_TRUE(rig.thread.cancel(1));
    lend(RelayThread::Clock::now());
    while (!told) rig.thread.turn(tick);
    EXPECT_EQ(lent, nullptr);
    scene.client->say(query("one"));
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("one")) << "the session goes on";
    rig.thread.cancel_ended(1);
    rig.settle();
}

TEST_F(Cancel, OfARequestThatCameWhileTheSessionWasLentIsAnsweredWhenItIsBack) {
    lend();
    ASSERT_NE(lent, nullptr);
    scene.client->say(query("select pg_sleep(10)") + query("next"));
    EXPECT_FALSE(rig.thread.cancel(1)) << "its server is asked for the session's state";
    take_back();
    EXPECT_NE(scene.client->heard().find("57014"), std::string::npos);
    EXPECT_EQ(scene.server->heard(), query("next")) << "only the cancelled request is gone";
}

TEST_F(Cancel, OfNothingWhileTheSessionIsLentDoesNothing) {
    lend();
    EXPECT_FALSE(rig.thread.cancel(1));
    scene.client->say(query("later"));
    take_back();
    EXPECT_EQ(scene.client->heard(), "");
    EXPECT_EQ(scene.server->heard(), query("later"));
}

}  // namespace
}  // namespace segue::proxy
