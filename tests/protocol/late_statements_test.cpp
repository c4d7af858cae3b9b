#include "protocol/postgres/late_statements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::literals;
using testing::ElementsAre;

std::string message(char tag, std::string_view body) {
    std::string wire;
    append_message(wire, tag, body);
    return wire;
}
template <class Message>
std::string wire(const Message& one) {
    std::string encoded;
    append(encoded, one);
    return encoded;
}

const std::string parse_s = wire(Parse{"s", "SELECT * FROM made_anew WHERE a = $1", {23}});
const std::string parse_unnamed = wire(Parse{"", "SELECT * FROM made_anew", {}});
const std::string bind_s = wire(Bind{"", "s", {}, {"1"}, {}});
const std::string describe_s = wire(Describe{'S', "s"});
const std::string execute = wire(Execute{"", 0});
const std::string sync_message = message('S', "");
const std::string parsed = message('1', ""), bound = message('2', ""), idle = message('Z', "I");
const std::string refused = message('E', "C42P01\0\0"sv);
const std::string complete = message('C', "SELECT 1\0"sv);

struct LateStatementsTest : testing::Test {
    LateStatements late{{{"s", parse_s}, {"", parse_unnamed}}};

    std::string to_server(std::string_view said) {
        return std::string{text(late.to_server(bytes(said)))};
    }
    std::string to_client(std::string_view said) {
        return std::string{text(late.to_client(bytes(said)))};
    }
};

TEST_F(LateStatementsTest, PreparesAStatementInFrontOfItsFirstUse) {
    EXPECT_EQ(to_server(bind_s + execute + sync_message),
              parse_s + bind_s + execute + sync_message);
    EXPECT_EQ(to_client(parsed + bound + complete + idle), bound + complete + idle);
    EXPECT_THAT(late.statements(), ElementsAre(LateStatement{"", parse_unnamed}));
    EXPECT_EQ(to_server(bind_s + execute + sync_message), bind_s + execute + sync_message);
    EXPECT_EQ(to_client(bound + complete + idle), bound + complete + idle);
    EXPECT_EQ(to_server(describe_s + wire(Describe{'S', ""}) + sync_message),
              describe_s + parse_unnamed + wire(Describe{'S', ""}) + sync_message);
    const std::string none = message('t', "\0\0"sv) + message('n', "");
    EXPECT_EQ(to_client(none + parsed + none + idle), none + none + idle);
    EXPECT_FALSE(late.needed());
}

TEST_F(LateStatementsTest, DoesTheSameAtEverySplit) {
    const std::string said = wire(Query{"BEGIN"}) + describe_s + bind_s + execute + sync_message;
    const std::string told = complete + idle + message('N', "\0"sv) + parsed +
                             message('t', "\0\0"sv) + message('n', "") + bound + complete + idle;
    for (std::size_t size = 1; size < told.size(); ++size) {
        LateStatements split{{{"s", parse_s}}};
        std::string sent, heard;
        for (std::size_t at = 0; at < said.size(); at += size)
            sent += text(split.to_server(bytes(std::string_view{said}.substr(at, size))));
        EXPECT_EQ(sent,
                  wire(Query{"BEGIN"}) + parse_s + describe_s + bind_s + execute + sync_message);
        for (std::size_t at = 0; at < told.size(); at += size)
            heard += text(split.to_client(bytes(std::string_view{told}.substr(at, size))));
        EXPECT_EQ(heard,
                  complete + idle + message('N', "\0"sv) + message('t', "\0\0"sv) +
                      message('n', "") + bound + complete + idle)
            << size;
        EXPECT_FALSE(split.needed());
    }
}

TEST_F(LateStatementsTest, AsksAgainAfterARefusalOrAnErrorBeforeIt) {
    const std::string use = bind_s + execute + sync_message;
    EXPECT_EQ(to_server(use), parse_s + use);
    EXPECT_EQ(to_client(refused + idle), refused + idle) << "as the server would refuse the use";
    const std::string client_parse = wire(Parse{"other", "broken", {}});
    EXPECT_EQ(to_server(client_parse + use), client_parse + parse_s + use);
    EXPECT_EQ(to_client(refused + idle), refused + idle);
    // What follows the error in a pipeline that is still open is discarded with it.
    EXPECT_EQ(to_server(client_parse), client_parse);
    EXPECT_EQ(to_client(refused), refused);
    EXPECT_EQ(to_server(use), use);
    EXPECT_EQ(to_client(idle), idle);
    EXPECT_EQ(to_server(use), parse_s + use);
    EXPECT_EQ(to_client(parsed + bound + complete + idle), bound + complete + idle);
}

TEST_F(LateStatementsTest, PassesTheAcknowledgementsOfTheClientsOwnOnes) {
    const std::string other = wire(Parse{"other", "SELECT 1", {}});
    EXPECT_EQ(to_server(other + bind_s + other + sync_message),
              other + parse_s + bind_s + other + sync_message);
    EXPECT_EQ(to_client(parsed + parsed + bound + parsed + idle), parsed + bound + parsed + idle);
}

TEST_F(LateStatementsTest, KeepsInStepWithAPipelineThatFailsInItsFirstPart) {
    const std::string other = wire(Parse{"other", "SELECT 1", {}});
    const std::string use = bind_s + execute + sync_message;
    EXPECT_EQ(to_server(other + sync_message + use + other + sync_message),
              other + sync_message + parse_s + use + other + sync_message);
    EXPECT_EQ(to_client(refused + idle), refused + idle);
    EXPECT_EQ(to_client(parsed + bound + complete + idle), bound + complete + idle);
    EXPECT_EQ(to_client(parsed + idle), parsed + idle);
}

TEST_F(LateStatementsTest, ForgetsWhatTheClientGivesUpOrPreparesItself) {
    const std::string close = wire(Close{'S', "s"});
    EXPECT_EQ(to_server(close + bind_s + sync_message), close + bind_s + sync_message);
    EXPECT_THAT(late.statements(), ElementsAre(LateStatement{"", parse_unnamed}));
    EXPECT_EQ(to_server(wire(Query{"SELECT 1"})), wire(Query{"SELECT 1"}))
        << "destroys the unnamed one";
    EXPECT_TRUE(late.statements().empty());

    LateStatements anew{{{"s", parse_s}}};
    const std::string own = wire(Parse{"s", "SELECT 2", {}}) + bind_s + sync_message;
    EXPECT_EQ(text(anew.to_server(bytes(own))), own);
    LateStatements all{{{"s", parse_s}}};
    (void)all.to_server(bytes(sync_message));
    const std::string discarded = message('C', "DISCARD ALL\0"sv) + idle;
    EXPECT_EQ(text(all.to_client(bytes(discarded))), discarded);
    EXPECT_FALSE(all.needed());
}

TEST_F(LateStatementsTest, ASyncThatACopySwallowedDoesNotPutItOutOfStep) {
    const std::string copy = wire(Query{"COPY t FROM STDIN"}) + sync_message + message('c', "");
    EXPECT_EQ(to_server(copy), copy);
    EXPECT_EQ(to_client(message('G', "\0\0\0"sv) + complete + idle),
              message('G', "\0\0\0"sv) + complete + idle);
    EXPECT_EQ(to_server(bind_s + sync_message), parse_s + bind_s + sync_message);
    EXPECT_EQ(to_client(parsed + bound + idle), bound + idle);
    late.settle();
}

TEST_F(LateStatementsTest, HoldsNothingBackOfMessagesThatItCannotRead) {
    const std::string endless = "B\0\0\x20\0"s + std::string(2000, 'x');
    EXPECT_EQ(to_server(endless), endless);
    LateStatements other{{{"s", parse_s}}};
    const std::string nameless = "D\0\0\0\5S"s + "P\0\0\0\4"s + "B\0\0\0\0"s;
    EXPECT_EQ(text(other.to_server(bytes(nameless))), nameless);
    EXPECT_EQ(text(other.to_client(bytes("C\0\0\0\4Z\0\0\0\4"s))), "C\0\0\0\4Z\0\0\0\4"s);
}

}  // namespace
}  // namespace segue::protocol::postgres
