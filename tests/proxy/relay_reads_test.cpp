#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "proxy/type_map.hpp"
#include "reads_rig.hpp"
#include "tests/protocol/two_catalogs.hpp"

namespace segue::proxy {
namespace {

using protocol::postgres::append_sync;
using protocol::postgres::Bind;
using protocol::postgres::Close;
using protocol::postgres::Execute;
using protocol::postgres::Parse;

struct ReadsTest : testing::Test {
    std::atomic<std::uint64_t> log_end{100};
    backfill::AppliedPosition applied[2];
    Positions positions{
        {[this](Side) -> Result<Positions::LogEnd> {
             return Positions::LogEnd{Position{log_end.load()}, Position{log_end.load()}};
         },
         [](Side) -> Status { return Done{}; }}};
    Traffic traffic;
    Reads reads{traffic, catalog_with_t};
    std::vector<std::uint64_t> prepared;
    std::unique_ptr<RelayRig> rig;
    Scene scene;

    void SetUp() override {
        reads.load_catalog(Side::target);
        traffic.shift_percent = 100;
        RelayPeers peers;
        peers.positions = &positions;
        peers.applied[0] = &applied[0];
        peers.applied[1] = &applied[1];
        peers.reads = &reads;
        peers.prepare = [this](std::uint64_t id) { prepared.push_back(id); };
        rig = std::make_unique<RelayRig>(peers);
        positions.start();
        scene = rig->adopt(1, true);
        probe();
    }
    void TearDown() override {
        rig.reset();
        positions.stop();
    }
    // The first request makes the tap; then the session is lent and comes back with its state
    // known.
    void probe() {
        authority_answers(query("BEGIN"), complete("BEGIN") + ready('T'));
        authority_answers(query("COMMIT"), complete("COMMIT") + ready('I'));
        rig->thread.lend(1, [this](std::unique_ptr<Session> session) {
            ASSERT_TRUE(session);
            session->touched_since_probe = false;
            session->other_state.emplace();
            rig->thread.take_back(1, std::move(session), "");
        });
        rig->settle();
    }
    void authority_answers(const std::string& request, const std::string& reply) {
        scene.client->say(request);
        rig->settle();
        ASSERT_EQ(scene.server->heard(), request);
        scene.server->say(reply);
        rig->settle();
        ASSERT_EQ(scene.client->heard(), reply);
    }
    // Until the token for the read has come and the follower, if it may, has been asked.
    void settle_with_token() {
        rig->settle();
        const std::uint64_t asked = ++tokens_;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (positions.newest(Side::source).request < asked) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no token was asked for";
            rig->thread.turn(std::chrono::milliseconds{1});
        }
        rig->settle();
    }
    void ask_follower(const std::string& request) {
        applied[0].publish(Position{log_end.load()});
        scene.client->say(request);
        settle_with_token();
        ASSERT_NE(scene.other->heard().find(request), std::string::npos);
        ASSERT_EQ(scene.server->heard(), "");
    }

    std::uint64_t tokens_ = 0;
};

TEST_F(ReadsTest, TheFollowerAnswersOnlyWhenItHasWhatTheAuthorityShowed) {
    scene.client->say(read_t);
    settle_with_token();
    EXPECT_EQ(scene.other->heard(), "");
    EXPECT_EQ(scene.server->heard(), "");
    applied[0].publish(Position{99});
    rig->settle();
    EXPECT_EQ(scene.other->heard(), "");
    applied[0].publish(Position{100});
    rig->settle();
    const std::string sent = scene.other->heard();
    EXPECT_NE(sent.find("BEGIN TRANSACTION READ ONLY"), std::string::npos);
    EXPECT_NE(sent.find(read_t), std::string::npos);
    scene.other->say(wrapped(answer));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
    EXPECT_EQ(scene.server->heard(), "");
    EXPECT_EQ(reads.shift_report().served_by_follower, 1u);
    authority_answers(query("UPDATE t SET v = 1"), complete("UPDATE 1") + ready('I'));
}

// Law 4: the follower may have a commit that the authority's own snapshots do not show yet.
TEST_F(ReadsTest, AFollowerThatIsAheadOfTheAuthoritysSnapshotsIsNotAsked) {
    EXPECT_TRUE(applied[0].shown_wanted());
    EXPECT_FALSE(applied[1].shown_wanted());
    applied[0].set_shown(false);
    applied[0].publish(Position{100});
    scene.client->say(read_t);
    settle_with_token();
    EXPECT_EQ(scene.other->heard(), "");
    EXPECT_EQ(scene.server->heard(), read_t);
    scene.server->say(answer + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
    applied[0].set_shown(true);
    ask_follower(read_t);
    traffic.shift_percent = 0;
    rig->settle();
    EXPECT_FALSE(applied[0].shown_wanted());
}

TEST_F(ReadsTest, AnAnswerThatTheFollowerGaveAheadOfTheAuthorityIsNotPassedOn) {
    ask_follower(read_t);
    applied[0].set_shown(false);
    scene.other->say(wrapped(answer));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    EXPECT_EQ(scene.server->heard(), read_t);
    EXPECT_TRUE(scene.other->ended());
    EXPECT_EQ(reads.shift_report().fallbacks, 1u);
}

TEST_F(ReadsTest, AFollowerThatIsBehindIsNotWaitedForLong) {
    scene.client->say(read_t);
    std::string sent;
    while (sent.empty()) {
        rig->thread.turn(std::chrono::milliseconds{20});
        sent = scene.server->heard();
    }
    EXPECT_EQ(sent, read_t);
    EXPECT_EQ(scene.other->heard(), "");
    EXPECT_EQ(reads.shift_report().fallbacks, 1u);
    scene.server->say(answer + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
}

TEST_F(ReadsTest, WhatTheFollowerRefusesTheAuthorityAnswersAndItIsNeverAskedAgain) {
    ask_follower(read_t);
    scene.other->say(wrapped(error("25006"), 'E'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    EXPECT_EQ(scene.server->heard(), read_t);
    scene.server->say(answer + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
    authority_answers(read_t, answer + ready('I'));  // Demoted.
    EXPECT_EQ(reads.shift_report().fallbacks, 1u);
}

TEST_F(ReadsTest, AFollowerThatGoesAwayIsNotNoticedByTheClient) {
    ask_follower(read_t);
    scene.other->say(ours("BEGIN") + ours("SELECT 1") + row);
    scene.other->close();
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    EXPECT_EQ(scene.server->heard(), read_t);
    scene.server->say(answer + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
    authority_answers(read_t, answer + ready('I'));
    EXPECT_EQ(prepared, std::vector<std::uint64_t>{1});  // A new connection is wanted.
}

TEST_F(ReadsTest, NothingButALoneReadOutsideATransactionGoesToTheFollower) {
    applied[0].publish(Position{100});
    const std::string named = [] {
        std::string wire;
        append(wire, Parse{"s", "SELECT * FROM t", {}});
        append(wire, Bind{"", "s", {}, {}, {}});
        append(wire, Execute{"", 0});
        append_sync(wire);
        return wire;
    }();
    authority_answers(query("UPDATE t SET v = 1"), complete("UPDATE 1") + ready('I'));
    authority_answers(query("SELECT writes()"), answer + ready('I'));
    authority_answers(query("SELECT * FROM unknown"), answer + ready('I'));
    authority_answers(query("SELECT * FROM t FOR UPDATE"), answer + ready('I'));
    authority_answers(named, message('1', "") + message('2', "") + answer + ready('I'));
    authority_answers(query("BEGIN"), complete("BEGIN") + ready('T'));
    authority_answers(read_t, answer + ready('T'));
    authority_answers(query("COMMIT"), complete("COMMIT") + ready('I'));
    authority_answers(read_t + read_t, answer + ready('I') + answer + ready('I'));  // Pipelined.
    EXPECT_EQ(scene.other->heard(), "");
    ask_follower(read_t);
    scene.other->say(wrapped(answer));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
    authority_answers(query("SELECT * FROM t; SELECT * FROM t"), answer + answer + ready('I'));
    EXPECT_EQ(scene.other->heard(), "");
}

TEST_F(ReadsTest, ASessionThatWasChangedReadsFromTheAuthorityUntilItsStateIsKnownAgain) {
    applied[0].publish(Position{100});
    authority_answers(query("SET search_path = other"), complete("SET") + ready('I'));
    authority_answers(read_t, answer + ready('I'));
    EXPECT_EQ(prepared, std::vector<std::uint64_t>{1});
    authority_answers(read_t, answer + ready('I'));
    EXPECT_EQ(prepared.size(), 1u);  // Not again at once.
    probe();
    ask_follower(read_t);
}

TEST_F(ReadsTest, ASessionWhoseTemporaryTablesWereCarriedReadsFromTheAuthority) {
    // It may have written them since, and one of them may hide a table that the follower has.
    applied[0].publish(Position{100});
    rig->thread.with_session(1, [](Session& session) {
        session.other_state->temporary.digest = {1, 1};
    });
    authority_answers(read_t, answer + ready('I'));
    EXPECT_EQ(scene.other->heard(), "");
}

TEST_F(ReadsTest, AStatementThatTheFollowerLacksGoesWithTheReadAndIsNotAcknowledgedTwice) {
    std::string parse, execute;
    append(parse, Parse{"s", "SELECT * FROM t", {}});
    const std::string parse_only = parse;
    append_sync(parse);
    authority_answers(parse, message('1', "") + ready('I'));
    append(execute, Bind{"", "s", {}, {}, {}});
    append(execute, Execute{"", 0});
    append_sync(execute);
    applied[0].publish(Position{100});
    scene.client->say(execute);
    settle_with_token();
    const std::string sent = scene.other->heard();
    EXPECT_NE(sent.find(parse_only + execute), std::string::npos);
    std::string close;
    append(close, Close{'S', "s"});
    EXPECT_NE(sent.find(close), std::string::npos);  // The next restore finds what it expects.
    scene.other->say(ours("BEGIN") + ours("SELECT 1") + message('1', "") + message('2', "") +
                     answer + ready('T') + ours("COMMIT") + message('3', "") + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('2', "") + answer + ready('I'));
}

// Nobody would describe it there, and the rows that come could not be looked into.
TEST_F(ReadsTest, AStatementThatTheFollowerLacksIsNotShiftedWhereTypesAreTranslated) {
    rig->thread.with_session(1, [](Session& session) {
        session.other->types =
            translator_for(session, Side::target, protocol::postgres::two_catalogs());
    });
    const auto execute = [](std::string_view name) {
        std::string wire;
        append(wire, Bind{"", name, {}, {}, {1}});
        append(wire, Execute{"", 0});
        append_sync(wire);
        return wire;
    };
    std::string parse;
    append(parse, Parse{"s", "SELECT * FROM t", {}});
    append(parse, Parse{"", "SELECT * FROM t", {}});
    append_sync(parse);
    authority_answers(parse, message('1', "") + message('1', "") + ready('I'));
    applied[0].publish(Position{100});
    authority_answers(execute(""), message('2', "") + answer + ready('I'));
    EXPECT_TRUE(prepared.empty()) << "a look at the session does not bring it there";
    authority_answers(execute("s"), message('2', "") + answer + ready('I'));
    EXPECT_EQ(prepared, std::vector<std::uint64_t>{1}) << "so that it is there the next time";
}

TEST_F(ReadsTest, AStatementThatARestoreBroughtIsShiftedWhereTypesAreTranslated) {
    rig->thread.with_session(1, [](Session& session) {
        session.other->types =
            translator_for(session, Side::target, protocol::postgres::two_catalogs());
        session.other->types->know({"s", "SELECT * FROM t", {}, {}});
        session.other_state->statements.push_back({"s", "SELECT * FROM t", {}, false});
    });
    std::string execute;
    append(execute, Bind{"", "s", {}, {}, {1}});
    append(execute, Execute{"", 0});
    append_sync(execute);
    ask_follower(execute);
    scene.other->say(wrapped(message('2', "") + answer));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('2', "") + answer + ready('I'));
    EXPECT_EQ(reads.shift_report().served_by_follower, 1u);
}

// Of an enum that the two servers number differently, in an array.
TEST_F(ReadsTest, AnAuthorityWhoseTypesAreTranslatedDescribesTheStatementThatItMissed) {
    using namespace protocol::postgres;
    rig->thread.with_session(1, [](Session& session) {
        session.client_types = Side::target;
        session.backend.types = translator_for(session, Side::source, two_catalogs());
    });
    const auto rows = [](std::uint32_t mood) {
        const std::string array =
            be32(1) + be32(0) + be32(mood) + be32(1) + be32(1) + be32(2) + "ok";
        return message('D', be16(1) + be32(static_cast<std::uint32_t>(array.size())) + array) +
               complete("SELECT 1");
    };
    std::string parse, describe, execute;
    append(parse, Parse{"", "SELECT * FROM t", {}});
    append(describe, Describe{'S', ""});
    append(execute, Bind{"", "", {}, {}, {1}});
    append(execute, Execute{"", 0});
    append_sync(execute);
    ask_follower(parse + execute);
    scene.other->say(wrapped(message('1', "") + message('2', "") + rows(second_base)));
    rig->settle();
    EXPECT_EQ(scene.client->heard(),
              message('1', "") + message('2', "") + rows(second_base) + ready('I'));
    traffic.shift_percent = 0;
    scene.client->say(execute);
    rig->settle();
    EXPECT_EQ(scene.server->heard(), parse + describe + execute);
    const std::string column = "m\0"s + be32(0) + be16(0) + be32(first_base + 1) + be16(0xffff) +
                               be32(0xffffffff) + be16(0);
    scene.server->say(message('1', "") + message('t', be16(0)) +
                      message('T', be16(1) + column).substr(0, 9));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), "");
    scene.server->say(message('T', be16(1) + column).substr(9) + message('2', "") +
                      rows(first_base) + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('2', "") + rows(second_base) + ready('I'));
    // Where the client asks for the parameters, the authority has to be told them as well.
    traffic.shift_percent = 100;
    scene.client->say(parse + describe + execute);
    rig->settle();
    EXPECT_EQ(scene.server->heard(), parse + describe + execute);
    EXPECT_EQ(scene.other->heard(), "");
}

TEST_F(ReadsTest, TheAuthorityLearnsOfAnUnnamedStatementThatItMissedBeforeItIsNeeded) {
    std::string parse, execute;
    append(parse, Parse{"", "SELECT * FROM t", {}});
    append(execute, Bind{"", "", {}, {}, {}});
    append(execute, Execute{"", 0});
    append_sync(execute);
    ask_follower(parse + execute);
    scene.other->say(wrapped(message('1', "") + message('2', "") + answer));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('1', "") + message('2', "") + answer + ready('I'));
    traffic.shift_percent = 0;  // At once.
    scene.client->say(execute);
    rig->settle();
    EXPECT_EQ(scene.server->heard(), parse + execute);
    scene.server->say(message('1', "").substr(0, 3));
    rig->settle();
    scene.server->say(message('1', "").substr(3) + message('2', "") + answer + ready('I'));
    rig->settle();
    EXPECT_EQ(scene.client->heard(), message('2', "") + answer + ready('I'));
    authority_answers(execute, message('2', "") + answer + ready('I'));
}

TEST_F(ReadsTest, HalfOfTheReadsIsHalf) {
    traffic.shift_percent = 50;
    applied[0].publish(Position{100});
    int shifted = 0;
    for (int i = 0; i < 20; ++i) {
        scene.client->say(read_t);
        rig->settle();
        if (scene.server->heard() == read_t) {
            scene.server->say(answer + ready('I'));
        } else {
            --tokens_;
            tokens_ = positions.newest(Side::source).request;
            while (scene.other->heard().empty()) rig->thread.turn(std::chrono::milliseconds{1});
            scene.other->say(wrapped(answer));
            ++shifted;
        }
        rig->settle();
        ASSERT_EQ(scene.client->heard(), answer + ready('I'));
    }
    EXPECT_EQ(shifted, 10);
}

TEST_F(ReadsTest, AHoldWaitsForTheFollowersAnswer) {
    ask_follower(read_t);
    rig->thread.hold();
    rig->settle();
    EXPECT_EQ(rig->thread.not_held().size(), 1u);
    scene.other->say(wrapped(answer));
    rig->settle();
    EXPECT_EQ(rig->thread.not_held().size(), 0u);
    EXPECT_EQ(scene.client->heard(), answer + ready('I'));
}

TEST_F(ReadsTest, ACancelledReadIsAnsweredAsTheServerWould) {
    ask_follower(read_t);
    rig->thread.cancel(1);
    rig->settle();
    const std::string heard = scene.client->heard();
    EXPECT_NE(heard.find("57014"), std::string::npos);
    EXPECT_TRUE(heard.ends_with(ready('I')));
    authority_answers(query("UPDATE t SET v = 1"), complete("UPDATE 1") + ready('I'));
}

}  // namespace
}  // namespace segue::proxy
