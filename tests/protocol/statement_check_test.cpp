#include "protocol/postgres/statement_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;

std::string message(char tag, std::string_view body) {
    std::string wire;
    append_message(wire, tag, body);
    return wire;
}
std::string error(const std::string& sqlstate, const std::string& severity = "ERROR") {
    return message('E', "S" + severity + "\0V"s + severity + "\0C"s + sqlstate + "\0Mwhy\0\0"s);
}
const std::string ready = message('Z', "I");

std::vector<bool> unusable(const std::string& reply, std::size_t count) {
    const auto step = parse_statement_check_reply(bytes(reply), count);
    EXPECT_TRUE(std::holds_alternative<std::vector<bool>>(step));
    return std::get<std::vector<bool>>(step);
}

TEST(StatementCheck, OnlyAnErrorOfTheAnalysisMakesAStatementUnusable) {
    for (const char* sqlstate : {"42P01", "42703", "42704", "42501", "3F000", "0A000", "22P02"}) {
        SCOPED_TRACE(sqlstate);
        EXPECT_THAT(unusable(error(sqlstate) + ready + ready, 1), ElementsAre(true));
    }
    // Taken is the name of a PREPARE that could be analysed; the others say nothing of the
    // statement.
    for (const char* sqlstate : {"42P05", "55P03", "57014", "53200", "40001", "XX000", "58030"}) {
        SCOPED_TRACE(sqlstate);
        EXPECT_THAT(unusable(error(sqlstate) + ready + ready, 1), ElementsAre(false));
    }
}

TEST(StatementCheck, TellsEachStatementByItsReadyAndNeedsMoreAtEverySplit) {
    const std::string reply = message('1', "") + message('3', "") + ready + error("42P01") + ready +
                              message('A', "\0\0\0\1c\0p\0"s) + message('1', "") + ready +
                              message('3', "") + ready;
    EXPECT_THAT(unusable(reply, 3), ElementsAre(false, true, false));
    for (std::size_t size = 0; size < reply.size(); ++size) {
        SCOPED_TRACE(size);
        EXPECT_TRUE(std::holds_alternative<NeedMore>(
            parse_statement_check_reply(bytes(std::string_view{reply}.substr(0, size)), 3)));
    }
}

TEST(StatementCheck, RefusesWhatIsNoAnswer) {
    for (const std::string& reply : {error("57P01", "FATAL"),
                                     "Z\0\0\0\3"s,
                                     message('E', "no field ends"),
                                     "D\x7f\xff\xff\xff"s}) {
        const auto step = parse_statement_check_reply(bytes(reply), 1);
        EXPECT_TRUE(std::holds_alternative<Error>(step));
    }
}

TEST(StatementCheck, PutsOffTheStatementsThatItWasToldOf) {
    SessionState state;
    state.statements = {{"a", "SELECT 1", {}, false}, {"b", "SELECT 2", {}, false}};
    EXPECT_EQ(checks_of(state), 2u);
    append(state.unnamed_parse, Parse{"", "SELECT 3", {}});
    EXPECT_EQ(checks_of(state), 3u);
    put_off_unusable(state, {true, false, false});
    ASSERT_EQ(state.statements.size(), 1u);
    EXPECT_EQ(state.statements.front().name, "b");
    EXPECT_NE(state.unnamed_parse, "");
    put_off_unusable(state, {false, true});
    EXPECT_EQ(state.statements.size(), 1u);
    EXPECT_EQ(state.unnamed_parse, "");
    std::string a, unnamed;
    append(a, Parse{"a", "SELECT 1", {}});
    append(unnamed, Parse{"", "SELECT 3", {}});
    EXPECT_EQ(state.late, (std::vector<LateStatement>{{"a", a}, {"", unnamed}}));
}

TEST(StatementCheck, ForgetsWhatCannotBePreparedLater) {
    SessionState state;
    state.statements = {{"a", "PREPARE a AS SELECT 1", {}, true},
                        {"b", "SELECT $1", {{16400, "app", "mood"}}, false}};
    append(state.unnamed_parse, Parse{"", "SELECT $1", {16400}});
    state.unnamed_types = {{16400, "app", "mood"}};
    put_off_unusable(state, {true, true, true});
    EXPECT_TRUE(state.statements.empty());
    EXPECT_TRUE(state.late.empty());
}

}  // namespace
}  // namespace segue::protocol::postgres
