#include "proxy/exchange.hpp"

#include <gtest/gtest.h>

#include "protocol/postgres/messages_server.hpp"
#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;

std::chrono::steady_clock::time_point soon() { return std::chrono::steady_clock::now() + 30s; }

TEST(Exchange, GivesEveryByteUntilTheAnswerIsCompleteAndSendsTheRequest) {
    Pair server;
    server.test_end->say("answer");
    std::string got;
    const Status done = exchange(server.relay_end, bytes("request"sv), soon(), [&](Bytes slice) {
        got += text(slice);
        return got == "answer";
    });
    EXPECT_TRUE(done);
    EXPECT_EQ(server.test_end->heard(), "request");
}

TEST(Exchange, EndsAtItsDeadlineAndWithItsConnection) {
    Pair silent, gone;
    const auto never = [](Bytes) { return false; };
    const Status late =
        exchange(silent.relay_end, bytes("x"sv), std::chrono::steady_clock::now(), never);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::timed_out);
    gone.test_end->end_sending();
    const Status closed = exchange(gone.relay_end, bytes("x"sv), soon(), never);
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, Errc::closed);
}

TEST(QueryRows, ReturnsTextAndNullAndWaitsForReady) {
    Pair server;
    const std::string row = message('D', "\0\2\0\0\0\1a\xff\xff\xff\xff"sv);
    server.test_end->say(message('T', "\0\0"sv) + row + message('N', "\0"sv) +
                         complete("SELECT 1") + ready('I'));
    const auto rows = query_rows(server.relay_end, "SELECT 'a', NULL", soon());
    ASSERT_TRUE(rows);
    EXPECT_EQ(*rows, (std::vector<TextRow>{{"a", std::nullopt}}));
    EXPECT_EQ(server.test_end->heard(), query("SELECT 'a', NULL"));
}

TEST(QueryRows, AnErrorIsTheServersAndTheConnectionGoesOn) {
    Pair server;
    server.test_end->say(protocol::postgres::encode_error_response({"ERROR", "42501", "no"}) +
                         ready('I'));
    const auto refused = query_rows(server.relay_end, "SELECT 1", soon());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::server);
    EXPECT_EQ(refused.error().sqlstate, "42501");
    server.test_end->say(complete("SELECT 0") + ready('I'));
    const auto rows = query_rows(server.relay_end, "SELECT 1", soon());
    ASSERT_TRUE(rows);
    EXPECT_TRUE(rows->empty());
}

TEST(QueryRows, RefusesAMessageAboveItsLimit) {
    Pair server;
    server.test_end->say("D\x7f\xff\xff\xff"sv);
    const auto rows = query_rows(server.relay_end, "SELECT 1", soon());
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().code, Errc::too_large);
}

}  // namespace
}  // namespace segue::proxy
