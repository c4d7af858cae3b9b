#include <gtest/gtest.h>

#include <vector>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

constexpr int always = 100;

// A rig that wants to move every session at every boundary, and remembers whom.
struct MovingRig {
    explicit MovingRig(int percent = always) : rig(peers(percent)) {}

    RelayPeers peers(int percent) {
        RelayPeers peers;
        peers.move_percent = percent;
        peers.move = [this](std::uint64_t id) { asked.push_back(id); };
        return peers;
    }
    // A request and its answer.
    void run_one(Scene& scene, char status = 'I') {
        scene.client->say(query("select 1"));
        rig.settle();
        (void)scene.server->heard();
        scene.server->say(complete("SELECT 1") + ready(status));
        rig.settle();
        (void)scene.client->heard();
    }
    std::vector<std::uint64_t> asked;
    RelayRig rig;
};

TEST(RelayMoves, StopsAtABoundaryAndGoesOnOnTheOtherConnection) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    EXPECT_TRUE(moving.asked.empty()) << "nothing has been asked of the backend yet";
    moving.run_one(scene);
    EXPECT_EQ(moving.asked, std::vector<std::uint64_t>{1});
    EXPECT_TRUE(moving.rig.directory.entry(1)->held);
    scene.client->say(query("select 2"));
    moving.rig.settle();
    EXPECT_EQ(scene.server->heard(), "") << "the next request waits for the move";
    moving.rig.thread.end_forced_move(1, true);
    moving.rig.settle();
    EXPECT_EQ(scene.other->heard(), query("select 2"));
    EXPECT_EQ(scene.server->heard(), "");
    EXPECT_EQ(moving.rig.directory.entry(1)->pid, 2001);
    EXPECT_FALSE(moving.rig.directory.entry(1)->held);
    scene.other->say(complete("SELECT 2") + ready('I'));
    moving.rig.settle();
    EXPECT_EQ(scene.client->heard(), complete("SELECT 2") + ready('I'));
    EXPECT_EQ(moving.asked.size(), 2u) << "that was a boundary again";
}

TEST(RelayMoves, GoesOnWhereItWasWhenItCouldNotBePrepared) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene);
    scene.client->say(query("select 2"));
    moving.rig.settle();
    moving.rig.thread.end_forced_move(1, false);
    moving.rig.settle();
    EXPECT_EQ(scene.server->heard(), query("select 2"));
    EXPECT_EQ(moving.rig.directory.entry(1)->pid, 1001);
}

TEST(RelayMoves, StaysStoppedWhileItsStateIsAskedFor) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene);
    std::unique_ptr<Session> lent;
    moving.rig.thread.lend(
        1,
        [&lent](std::unique_ptr<Session> session) { lent = std::move(session); },
        RelayThread::Clock::time_point::max());
    ASSERT_TRUE(lent);
    scene.client->say(query("select 2"));
    moving.rig.settle();
    moving.rig.thread.take_back(1, std::move(lent), "");
    moving.rig.settle();
    EXPECT_EQ(scene.server->heard(), "") << "given back is not moved yet";
    moving.rig.thread.end_forced_move(1, true);
    moving.rig.settle();
    EXPECT_EQ(scene.other->heard(), query("select 2"));
}

TEST(RelayMoves, MovesNobodyWithinATransaction) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene, 'T');
    EXPECT_TRUE(moving.asked.empty());
    moving.run_one(scene, 'I');
    EXPECT_EQ(moving.asked.size(), 1u);
}

TEST(RelayMoves, ClosesTheOldConnectionOfASessionThatListens) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene);
    moving.rig.thread.with_session(
        1, [](Session& session) { session.other_state->channels = {"news"}; });
    moving.rig.thread.end_forced_move(1, true);
    EXPECT_TRUE(scene.server->ended());
}

TEST(RelayMoves, ClosesTheOldConnectionOfASessionWhoseTablesWereCarried) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene);
    moving.rig.thread.with_session(1, [](Session& session) {
        session.other_state->temporary.digest = {1, 1};
    });
    moving.rig.thread.end_forced_move(1, true);
    EXPECT_TRUE(scene.server->ended());
}

TEST(RelayMoves, TellsTheClientWhatTheOtherServerWasConfiguredWith) {
    MovingRig moving;
    Scene scene = moving.rig.adopt(1, true);
    moving.rig.thread.with_session(1, [](Session& session) {
        session.backend.parameters = {{"server_version", "13.4"},
                                      {"TimeZone", "UTC"},
                                      {"DateStyle", "ISO, MDY"},
                                      {"application_name", "before"},
                                      {"is_superuser", "on"},
                                      {"only_here", "1"}};
        session.other->parameters = {{"server_version", "18.1"},
                                     {"TimeZone", "Asia/Tokyo"},
                                     {"DateStyle", "ISO, MDY"},
                                     {"application_name", ""},
                                     {"is_superuser", "off"},
                                     {"only_there", "1"}};
        session.other_state->settings = {{"application_name", "set in the session"}};
    });
    moving.run_one(scene);
    moving.rig.thread.end_forced_move(1, true);
    moving.rig.settle();
    EXPECT_EQ(scene.client->heard(),
              message('S', "TimeZone\0Asia/Tokyo\0"s) + message('S',
                                                                "server_version\0"
                                                                "18.1\0"s))
        << "neither what the session has set, nor what is equal, nor what follows its role";
}

TEST(RelayMoves, MovesNobodyUnlessTold) {
    MovingRig moving{0};
    Scene scene = moving.rig.adopt(1, true);
    moving.run_one(scene);
    EXPECT_TRUE(moving.asked.empty());
}

}  // namespace
}  // namespace segue::proxy
