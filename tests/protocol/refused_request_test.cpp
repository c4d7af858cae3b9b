#include "protocol/postgres/refused_request.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;

constexpr ErrorReport report{.severity = "ERROR", .sqlstate = "57014", .message = "no"};

std::string message(char tag, const std::string& body) {
    return std::string{tag} + "\0\0\0"s + static_cast<char>(body.size() + 4) + body;
}

TEST(RefusedRequest, IsAnsweredOnceAsAWholeAtEverySplit) {
    const std::string query = message('Q', "select 1\0"s);
    const std::string extended =
        message('P', "\0q\0\0\0"s) + message('B', "\0\0\0\0\0\0\0\0"s) + message('S', "");
    for (const std::string& request : {query, extended}) {
        for (std::size_t size = 0; size < request.size(); ++size) {
            EXPECT_TRUE(std::holds_alternative<NeedMore>(
                refuse_request(bytes(request.substr(0, size)), report, 1000)));
        }
        const auto step = refuse_request(bytes(request + query), report, 1000);
        ASSERT_TRUE(std::holds_alternative<RefusedRequest>(step));
        EXPECT_EQ(std::get<RefusedRequest>(step).size, request.size());
        EXPECT_EQ(std::get<RefusedRequest>(step).reply,
                  encode_error_response(report) + message('Z', "I"));
    }
}

TEST(RefusedRequest, EndsAtAFlushAndOwesTheSync) {
    const std::string flushed = message('P', "\0q\0\0\0"s) + message('H', "");
    const auto step =
        refuse_request(bytes(message('H', "") + flushed + message('S', "")), report, 1000);
    ASSERT_TRUE(std::holds_alternative<RefusedRequest>(step));
    const auto& refused = std::get<RefusedRequest>(step);
    EXPECT_EQ(refused.reply, encode_error_response(report));
    EXPECT_TRUE(refused.sync_owed);
    EXPECT_LE(refused.size, flushed.size() + 5);
}

TEST(SkipToSync, DropsAtEverySplitAllThatAServerWould) {
    const std::string dropped =
        message('E', "portal") + message('Q', "select 1\0"s) + message('S', "");
    const std::string next = message('Q', "next\0"s);
    const std::string input = dropped + next;
    for (std::size_t split = 0; split <= input.size(); ++split) {
        SCOPED_TRACE(split);
        SkipToSync skip;
        std::size_t taken = skip.skip(bytes(input).first(split));
        EXPECT_EQ(taken, std::min(split, dropped.size()));
        EXPECT_EQ(skip.ended(), split >= dropped.size());
        if (!skip.ended()) taken += skip.skip(bytes(input).subspan(split));
        EXPECT_EQ(taken, dropped.size());
        EXPECT_EQ(skip.reply(), message('Z', "I"));
    }
}

TEST(SkipToSync, EndsWithTheSession) {
    SkipToSync skip;
    skip.skip(bytes(message('E', "portal") + message('X', "")));
    EXPECT_TRUE(skip.ended());
    EXPECT_EQ(skip.reply(), "");
}

TEST(RefusedRequest, IsNoneWhenTheClientLeavesOrSendsTooMuch) {
    EXPECT_TRUE(
        std::holds_alternative<Error>(refuse_request(bytes(message('X', "")), report, 1000)));
    EXPECT_TRUE(
        std::holds_alternative<Error>(refuse_request(bytes("Q\x7f\xff\xff\xff"s), report, 1000)));
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes("Q\0\0\0\0"s), report, 1000)));
    const std::string long_request =
        message('P', std::string(50, 'p')) + message('P', std::string(50, 'p'));
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes(long_request), report, 60)));
}

}  // namespace
}  // namespace segue::protocol::postgres
