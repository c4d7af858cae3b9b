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
    const std::string answer = message('C', "SELECT 1\0"sv) + message('1', "") +
                               message('t', be16(1) + be32(16400)) +
                               message('T', be16(2) + column + column) + message('t', be16(0)) +
                               message('n', "") + message('S', "a\0b\0"sv) + message('t', be16(0)) +
                               message('T', be16(1) + column) + message('Z', "I");
    EXPECT_THAT(described_statements(bytes(answer), state),
                ElementsAre(DescribedStatement{"a", "SELECT a", {16400}, {{700, 25}, {700, 25}}},
                            DescribedStatement{"b", "PREPARE b AS DELETE FROM t", {}, {}},
                            DescribedStatement{"", "SELECT u", {}, {{700, 25}}}));
}

TEST(DescribedStatements, LeavesOutWhatIsNotTold) {
    const SessionState state = two_and_an_unnamed();
    const std::string first = message('t', be16(0)) + message('n', "");
    EXPECT_EQ(
        described_statements(bytes(first + message('E', "C42601\0\0"sv) + message('Z', "I")), state)
            .size(),
        1u);
    EXPECT_EQ(
        described_statements(bytes(first + message('T', be16(9)) + message('n', "")), state).size(),
        3u)
        << "a broken one is empty";
    const std::string whole = first + first + first + message('Z', "I");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_LE(
            described_statements(bytes(std::string_view{whole}.substr(0, size)), state).size(), 3u);
    }
    EXPECT_TRUE(described_statements({}, SessionState{}).empty());
}

TEST(DescribedStatements, AreAskedForOnlyWhenWanted) {
    const SessionState state = two_and_an_unnamed();
    std::string describe;
    append(describe, Describe{'S', "a"});
    EXPECT_EQ(restore_request(state, {})->find(describe), std::string::npos);
    EXPECT_NE(restore_request(state, {}, Descriptions::wanted)->find(describe), std::string::npos);
}

}  // namespace
}  // namespace segue::protocol::postgres
