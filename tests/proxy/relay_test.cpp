#include "proxy/relay.hpp"

#include <gtest/gtest.h>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

TEST(Relay, CarriesBytesBothWaysUnchangedAtEverySplit) {
    const std::string request = message('P', "s\0select 1\0\0\0"s) +
                                message('B', "\0s\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s) +
                                message('S', "");
    const std::string answer =
        message('1', "") + message('2', "") + complete("SELECT 1") + ready('I');
    for (std::size_t split = 1; split < request.size(); ++split) {
        SCOPED_TRACE(split);
        RelayRig rig;
        Scene scene = rig.adopt(1);
        scene.client->say(request.substr(0, split));
        rig.settle();
        scene.client->say(request.substr(split));
        rig.settle();
        EXPECT_EQ(scene.server->heard(), request);
        const std::size_t answer_split = split % answer.size();
        scene.server->say(answer.substr(0, answer_split));
        rig.settle();
        scene.server->say(answer.substr(answer_split));
        rig.settle();
        EXPECT_EQ(scene.client->heard(), answer);
    }
}

// Another Segue has changed the authority, and this one will know it in a moment.
TEST(Relay, EndsASessionThatTheFenceRefusesAsIfItsServerHadEndedIt) {
    const std::string refusal = message(
        'E', "SERROR\0C25006\0Mthe source is fenced by Segue: only its mover writes here\0\0"s);
    struct Row {
        std::string answer;
        bool told;
    };
    const Row rows[] = {
        {refusal + ready('I'), true},
        {complete("COMMIT") + refusal, false},
        {message('E', "SERROR\0C25006\0Mcannot execute INSERT in a read-only transaction\0\0"s) +
             ready('I'),
         false},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.answer);
        const bool ends = row.answer.find("fenced") != std::string::npos;
        RelayRig rig;
        Scene scene = rig.adopt(1);
        scene.client->say(query("INSERT INTO t VALUES (1)"));
        rig.settle();
        scene.server->say(row.answer);
        rig.settle();
        const std::string heard = scene.client->heard();
        EXPECT_EQ(heard.find("57P01") != std::string::npos, row.told);
        if (!row.told) {
            EXPECT_EQ(heard, ends ? "" : row.answer);
        }
        EXPECT_EQ(scene.client->ended(), ends);
        EXPECT_EQ(scene.server->ended(), ends);
    }
}

TEST(Relay, KeepsWhatASlowReaderDoesNotTakeAndStopsReadingForIt) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("select big"));
    rig.settle();
    std::string sent, got;
    // The server says as much as the way to the client holds, and more.
    const std::string row = message('D', std::string(32000, 'x'));
    for (int stalled = 0; stalled < 3;) {
        const ssize_t taken =
            ::send(scene.server->fd(), row.data(), row.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken > 0) sent.append(row, 0, static_cast<std::size_t>(taken));
        if (taken == static_cast<ssize_t>(row.size())) {
            rig.settle();
            continue;
        }
        if (taken > 0) {  // Complete the message, so that the stream stays one of messages.
            rig.settle();
            got += scene.client->heard();
            rig.settle();
            const std::string rest = row.substr(static_cast<std::size_t>(taken));
            scene.server->say(rest);
            sent += rest;
        }
        rig.settle();
        ++stalled;
    }
    ASSERT_GT(sent.size(), 200000u);
    for (int i = 0; i < 1000 && got.size() < sent.size(); ++i) {
        rig.settle();
        got += scene.client->heard();
    }
    EXPECT_EQ(got, sent);
}

// Readiness is told once: what a turn leaves unread must be remembered.
TEST(Relay, GoesOnWithWhatOneTurnsReadsHaveLeft) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    const int room = 4 << 20;
    for (const int fd : {scene.client->fd(), scene.server->fd()})
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    rig.thread.with_session(1, [&room](Session& session) {
        for (const int fd : {session.client.fd(), session.backend.transport.fd()}) {
            ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        }
    });
    const std::string large =
        message('d', std::string(reads_per_turn_max * scratch_size + 1000, 'x'));
    const auto say = [&large](const Peer& peer) {
        const ssize_t taken =
            ::send(peer.fd(), large.data(), large.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        ASSERT_EQ(taken, static_cast<ssize_t>(large.size()));
    };
    say(*scene.client);
    scene.client->end_sending();
    rig.settle();
    EXPECT_EQ(scene.server->heard(), large);
    EXPECT_TRUE(scene.server->ended());
    say(*scene.server);
    rig.settle();
    EXPECT_EQ(scene.client->heard(), large);
}

TEST(Relay, BoundsWhatItKeepsForAReaderThatTakesNothing) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("select big"));
    rig.settle();
    const std::string row = message('D', std::string(32000, 'x'));
    std::size_t taken_by_relay = 0;
    for (int i = 0; i < 1000; ++i) {
        const ssize_t taken =
            ::send(scene.server->fd(), row.data(), row.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken <= 0) break;
        taken_by_relay += static_cast<std::size_t>(taken);
        rig.settle();
    }
    // Two sockets' buffers and one read of ours; without the bound it would go on for 32 MB.
    EXPECT_LT(taken_by_relay, 4u << 20);
}

TEST(Relay, AnswersAClientThatHasEndedItsSide) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(query("select 1"));
    scene.client->end_sending();
    rig.settle();
    EXPECT_EQ(scene.server->heard(), query("select 1"));
    EXPECT_TRUE(scene.server->ended());
    EXPECT_EQ(rig.thread.session_count(), 1u);
    scene.server->say(complete("SELECT 1") + ready('I'));
    scene.server->close();
    rig.settle();
    EXPECT_EQ(scene.client->heard(), complete("SELECT 1") + ready('I'));
    EXPECT_TRUE(scene.client->ended());
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

TEST(Relay, EndsTheServerSideWhenTheClientTerminates) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    scene.client->say(message('X', ""));
    scene.client->close();
    rig.settle();
    EXPECT_EQ(scene.server->heard(), message('X', ""));
    EXPECT_TRUE(scene.server->ended());
    scene.server->close();
    rig.settle();
    EXPECT_EQ(rig.thread.session_count(), 0u);
}

TEST(Relay, DeliversTheServersLastWordsBeforeItCloses) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    const std::string last_words = message('E', "SFATAL\0C57P01\0\0"s);
    scene.server->say(last_words);
    scene.server->close();
    rig.settle();
    EXPECT_EQ(scene.client->heard(), last_words);
    EXPECT_TRUE(scene.client->ended());
    EXPECT_EQ(rig.thread.session_count(), 0u);
    EXPECT_FALSE(rig.directory.entry(1));
}

TEST(Relay, RelaysWhatAnIdleServerSaysByItself) {
    RelayRig rig;
    Scene scene = rig.adopt(1);
    const std::string notification = message('A', "\0\0\0\1ch\0\0"s);
    scene.server->say(notification);
    rig.settle();
    EXPECT_EQ(scene.client->heard(), notification);
}

}  // namespace
}  // namespace segue::proxy
