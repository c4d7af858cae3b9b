#include "protocol/postgres/wrapped_read.hpp"

#include <gtest/gtest.h>

#include <string>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;
using State = WrappedRead::State;

std::string message(char tag, std::string_view body = {}) {
    std::string output;
    append_message(output, tag, body);
    return output;
}
std::string ready(char status) { return message('Z', {&status, 1}); }
std::string error(std::string_view code) { return encode_error_response({"ERROR", code, "x"}); }
std::string ours(std::string_view tag, const std::string& rows = {}) {
    return message('3') + message('1') + message('2') + rows +
           message('C', std::string{tag} + '\0') + message('3');
}

const std::string opening = ours("BEGIN") + ours("SELECT 1",
                                                 message('D',
                                                         "\0\1\0\0\0\1"
                                                         "1"s));
const std::string closing = ours("COMMIT") + ready('I');
const std::string answer =
    message('T', "\0\0"s) + message('D', "\0\0"s) + message('C', "SELECT 1\0"s);

struct Outcome {
    State state = State::running;
    std::string client, sqlstate;
    bool exposed = false;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const std::string& reply,
            std::size_t cut,
            bool simple = true,
            std::string_view parse = {}) {
    WrappedRead read{"", simple, parse};
    Outcome outcome;
    std::size_t taken = read.receive(bytes(reply).first(cut), outcome.client);
    taken += read.receive(bytes(reply).subspan(cut), outcome.client);
    if (read.state() != State::running) {
        EXPECT_EQ(taken, reply.size());
    }
    outcome.state = read.state();
    outcome.sqlstate = read.sqlstate();
    outcome.exposed = read.exposed();
    return outcome;
}

TEST(WrappedRead, TheClientSeesItsAnswerAsOutsideATransactionAtEverySplit) {
    const std::string reply = opening + answer + ready('T') + closing;
    for (std::size_t cut = 0; cut <= reply.size(); ++cut) {
        EXPECT_EQ(run(reply, cut), (Outcome{State::answered, answer + ready('I'), "", true}))
            << cut;
    }
}

TEST(WrappedRead, AParseOfOursIsNotAcknowledgedToTheClient) {
    const std::string body = message('2') + answer + ready('T');
    const std::string reply = opening + message('1') + body + closing;
    const std::string own = opening + message('1') + message('1') + body + closing;
    EXPECT_EQ(run(reply, 9, false, "P").client, message('2') + answer + ready('I'));
    EXPECT_EQ(run(own, 9, false, "P").client, message('1') + message('2') + answer + ready('I'));
    EXPECT_EQ(run(reply, 9, false).client, message('1') + message('2') + answer + ready('I'));
}

TEST(WrappedRead, AnErrorBeforeAnythingWentOutIsHidden) {
    const std::string reply = opening + message('T', "\0\0"s) + message('D', "\0\0"s) +
                              error("25006") + ready('E') + closing;
    for (std::size_t cut = 0; cut <= reply.size(); ++cut) {
        EXPECT_EQ(run(reply, cut), (Outcome{State::failed, "", "25006", false})) << cut;
    }
}

TEST(WrappedRead, WhenOurOpeningFailsNothingOfTheRequestCanHaveRun) {
    // The server skips up to the request's Sync; a Query has none, so that ours comes next.
    EXPECT_EQ(run(error("57014") + ready('I'), 3), (Outcome{State::failed, "", "57014", false}));
    EXPECT_EQ(run(error("57014") + ready('I') + message('N', "\0"s) + closing, 3, false),
              (Outcome{State::failed, "", "57014", false}));
    EXPECT_EQ(run(ours("BEGIN") + error("57014") + ready('E') + closing, 3, false),
              (Outcome{State::failed, "", "57014", false}));
}

TEST(WrappedRead, ALargeAnswerGoesOutBeforeItsEndAndThenItsErrorToo) {
    const std::string row = message('D', std::string(answer_held_size_max + 1, 'x'));
    std::string client;
    WrappedRead read{"", true, {}};
    read.receive(bytes(opening + row), client);
    EXPECT_EQ(client, row);
    EXPECT_TRUE(read.exposed());
    EXPECT_TRUE(read.between_messages());
    client.clear();
    read.receive(bytes(error("22012") + ready('E') + ours("ROLLBACK") + ready('I')), client);
    EXPECT_EQ(client, error("22012") + ready('I'));
    EXPECT_EQ(read.state(), State::answered);
}

TEST(WrappedRead, NothingOfTheConnectionsOwnAffairsReachesTheClient) {
    const std::string note = message('A', "x"), setting = message('S', "a\0b\0"s),
                      notice = message('N', "x");
    const std::string reply =
        note + opening + note + setting + notice + answer + ready('T') + note + closing;
    EXPECT_EQ(run(reply, 20).client, notice + answer + ready('I'));
}

TEST(WrappedRead, TakesTheSnapshotBeforeTheRequestAndSyncsOnlyAfterIt) {
    const std::string request = "Q\0\0\0\x0dSELECT 2\0"s;
    const WrappedRead read{request, true, {}};
    const std::string& sent = read.to_send();
    const std::size_t begin = sent.find("BEGIN TRANSACTION READ ONLY"),
                      snapshot = sent.find("SELECT 1"), own = sent.find(request);
    EXPECT_LT(begin, snapshot);
    EXPECT_LT(snapshot, own);
    EXPECT_LT(own, sent.find("COMMIT"));
    EXPECT_EQ(sent.find("S\0\0\0\4"s), sent.size() - 5);
    std::string close;
    append(close, Close{'S', "s1"});
    EXPECT_EQ(sent.find(close), std::string::npos);
    EXPECT_NE((WrappedRead{request, false, "P", "s1"}.to_send().find(close)), std::string::npos);
}

}  // namespace
}  // namespace segue::protocol::postgres
