#include "protocol/postgres/refused_request.hpp"

#include <gtest/gtest.h>

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
    const std::string extended = message('P', "\0q\0\0\0"s) + message('B', "\0\0\0\0\0\0\0\0"s) + message('S', "");
    for (const std::string& request : {query, extended}) {
        for (std::size_t size = 0; size < request.size(); ++size) {
            EXPECT_TRUE(std::holds_alternative<NeedMore>(refuse_request(bytes(request.substr(0, size)), report, 1000)));
        }
        const auto step = refuse_request(bytes(request + query), report, 1000);
        ASSERT_TRUE(std::holds_alternative<RefusedRequest>(step));
        EXPECT_EQ(std::get<RefusedRequest>(step).size, request.size());
        EXPECT_EQ(std::get<RefusedRequest>(step).reply, encode_error_response(report) + message('Z', "I"));
    }
}

TEST(RefusedRequest, IsNoneWhenTheClientLeavesOrSendsTooMuch) {
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes(message('X', "")), report, 1000)));
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes("Q\x7f\xff\xff\xff"s), report, 1000)));
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes("Q\0\0\0\0"s), report, 1000)));
    const std::string long_request = message('P', std::string(50, 'p')) + message('P', std::string(50, 'p'));
    EXPECT_TRUE(std::holds_alternative<Error>(refuse_request(bytes(long_request), report, 60)));
}

}  // namespace
}  // namespace segue::protocol::postgres
