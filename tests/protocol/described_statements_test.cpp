#include "protocol/postgres/described_statements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"
#include "tests/protocol/two_catalogs.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::literals;
using testing::ElementsAre;

std::string message(char tag, std::string_view body) {
    std::string wire;
    append_message(wire, tag, body);
    return wire;
}

const std::string column = "c\0"s + be32(700) + be16(1) + be32(25) + be16(1) + be32(2) + be16(0);

SessionState two_and_an_unnamed() {
    SessionState state;
    state.statements = {{"a", "SELECT a", {}, false},
                        {"b", "PREPARE b AS DELETE FROM t", {}, true}};
    append(state.unnamed_parse, Parse{"", "SELECT u", {0}});
    return state;
}

TEST(DescribedStatements, AreToldInTheOrderInWhichTheyWereRestored) {
    const SessionState state = two_and_an_unnamed();
    ASSERT_EQ(descriptions_of(state), 3u);
    const std::string answer = message('t', be16(1) + be32(16400)) +
                               message('T', be16(2) + column + column) + message('t', be16(0)) +
                               message('n', "") + message('S', "a\0b\0"sv) + message('t', be16(0)) +
                               message('T', be16(1) + column) + message('Z', "I");
    const auto all = parse_describe_reply(bytes(answer), state, 0, 3);
    ASSERT_TRUE(std::holds_alternative<DescribedStatements>(all));
    EXPECT_THAT(std::get<DescribedStatements>(all),
                ElementsAre(DescribedStatement{"a", "SELECT a", {16400}, {{700, 25}, {700, 25}}},
                            DescribedStatement{"b", "PREPARE b AS DELETE FROM t", {}, {}},
                            DescribedStatement{"", "SELECT u", {}, {{700, 25}}}));
    for (std::size_t size = 0; size < answer.size(); ++size) {
        const auto step =
            parse_describe_reply(bytes(std::string_view{answer}.substr(0, size)), state, 0, 3);
        EXPECT_TRUE(std::holds_alternative<NeedMore>(step)) << size;
    }
}

TEST(DescribedStatements, AreAskedForAFewAtATime) {
    const SessionState state = two_and_an_unnamed();
    std::string one, others;
    append(one, Describe{'S', "a"});
    append_sync(one);
    append(others, Describe{'S', "b"});
    append(others, Describe{'S', ""});
    append_sync(others);
    EXPECT_EQ(describe_request(state, 0, 1), one);
    EXPECT_EQ(describe_request(state, 1, 2), others);
    const std::string none = message('t', be16(0)) + message('n', "");
    const auto last = parse_describe_reply(bytes(none + none + message('Z', "I")), state, 1, 2);
    ASSERT_TRUE(std::holds_alternative<DescribedStatements>(last));
    EXPECT_THAT(std::get<DescribedStatements>(last),
                ElementsAre(DescribedStatement{"b", "PREPARE b AS DELETE FROM t", {}, {}},
                            DescribedStatement{"", "SELECT u", {}, {}}));
    EXPECT_EQ(restore_request(state, {})->find(one.substr(0, one.size() - 5)), std::string::npos);
}

TEST(DescribedStatements, SaysWhenTheyWereNotTold) {
    const SessionState state = two_and_an_unnamed();
    const std::string first = message('t', be16(0)) + message('n', ""), ready = message('Z', "I");
    const auto refused =
        parse_describe_reply(bytes(first + message('E', "C0A000\0\0"sv) + ready), state, 0, 3);
    ASSERT_TRUE(std::holds_alternative<Error>(refused));
    EXPECT_EQ(std::get<Error>(refused).sqlstate, "0A000");
    EXPECT_TRUE(
        std::holds_alternative<Error>(parse_describe_reply(bytes(first + ready), state, 0, 3)));
    const auto broken = parse_describe_reply(
        bytes(first + message('T', be16(9)) + message('n', "") + ready), state, 0, 3);
    ASSERT_TRUE(std::holds_alternative<DescribedStatements>(broken));
    EXPECT_TRUE(std::get<DescribedStatements>(broken)[1].columns.empty())
        << "a broken one is empty";
    const auto more =
        parse_describe_reply(bytes(first + first + first + first + ready), state, 0, 3);
    EXPECT_EQ(std::get<DescribedStatements>(more).size(), 3u);
}

}  // namespace
}  // namespace segue::protocol::postgres
