#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/messages_startup.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_view_literals;
using testing::ElementsAre;
using testing::Pair;

Bytes body_of(const std::string& message) { return bytes(message).subspan(header_size); }

// Cut short anywhere, or longer by a byte, a body is an error and never another message.
template <class Parser>
void expect_exact(std::string_view body, Parser parse) {
    for (std::size_t size = 0; size < body.size(); ++size)
        EXPECT_FALSE(parse(bytes(body.substr(0, size)))) << size;
    EXPECT_TRUE(parse(bytes(body)));
    EXPECT_FALSE(parse(bytes(std::string{body} + "x")));
}

TEST(ClientMessages, RoundTripAndAcceptNothingElse) {
    const Parse parse{"name", "select $1", {23, 0}};
    const Bind bind{"portal", "name", {1}, {"value", std::nullopt}, {0, 1}};
    std::string stream;
    append(stream, parse);
    EXPECT_EQ(stream, "P\0\0\0\x1dname\0select $1\0\0\2\0\0\0\x17\0\0\0\0"sv);
    EXPECT_EQ(*parse_parse(body_of(stream)), parse);
    expect_exact(text(body_of(stream)), parse_parse);
    stream.clear();
    append(stream, bind);
    EXPECT_EQ(*parse_bind(body_of(stream)), bind);
    expect_exact(text(body_of(stream)), parse_bind);
    stream.clear();
    append(stream, Describe{'P', "x"});
    EXPECT_EQ(stream, "D\0\0\0\7Px\0"sv);
    expect_exact(text(body_of(stream)), parse_describe);
    expect_exact("Sx\0"sv, parse_close);
    expect_exact("portal\0\0\0\0\5"sv, parse_execute);
    expect_exact("select 1\0"sv, parse_query);
    EXPECT_FALSE(parse_close(bytes("Xx\0"sv)));
    EXPECT_FALSE(parse_bind(bytes("\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"sv)));  // A size of -2.
}

TEST(ServerMessages, ReadWhatTheServerSays) {
    expect_exact("SERROR\0VERROR\0C42601\0Mwhy\0Zunknown field\0\0"sv, parse_error_fields);
    const auto fields =
        parse_error_fields(bytes("SFEHLER\0VFATAL\0C57P01\0Mgone\0Hconnect again\0\0"sv));
    EXPECT_EQ(fields->severity, "FATAL");
    EXPECT_EQ(fields->sqlstate, "57P01");
    EXPECT_TRUE(fields->fatal());
    expect_exact("TimeZone\0UTC\0"sv, parse_parameter_status);
    expect_exact("\0\2\xff\xff\xff\xff\0\0\0\1x"sv, parse_data_row);
    expect_exact("\0\1a\0\0\0\0\1\0\2\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"sv, parse_row_description);
    expect_exact("\0\2\0\0\0\x17\0\0\0\x19"sv, parse_parameter_description);
    expect_exact("SELECT 1\0"sv, parse_command_complete);
    expect_exact("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv, parse_sasl_mechanisms);
    expect_exact("T"sv, parse_ready_for_query);
    EXPECT_FALSE(parse_ready_for_query(bytes("X"sv)));
    EXPECT_FALSE(parse_data_row(bytes("\0\1\xff\xff\xff\xfe"sv)));
    EXPECT_EQ(parse_backend_key_data(bytes("\0\0\0\7abcd"sv))->pid, 7);
    EXPECT_FALSE(parse_backend_key_data(bytes("\0\0\0\7abc"sv)));
    EXPECT_FALSE(parse_backend_key_data(bytes(std::string{"\0\0\0\7"sv} + std::string(257, 'k'))));
}

TEST(ServerMessages, ErrorsOfOursAreReadBackByOurReader) {
    const std::string message =
        encode_error_response({"FATAL", "08006", "the source cannot be reached", "look at it"});
    const auto fields = parse_error_fields(body_of(message));
    EXPECT_EQ(fields->sqlstate, "08006");
    EXPECT_EQ(fields->message, "the source cannot be reached");
    EXPECT_EQ(fields->hint, "look at it");
    EXPECT_EQ(encode_negotiate_protocol_version(protocol_3_0, {"_pq_.x"}),
              "v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.x\0"sv);
}

TEST(StartupMessages, KeepEveryParameterInItsOrder) {
    constexpr auto body = "user\0u\0options\0-c a=b\0_pq_.new\0on\0user\0again\0\0"sv;
    const auto startup = parse_startup(protocol_3_0, bytes(body));
    ASSERT_TRUE(startup);
    EXPECT_THAT(startup->parameters,
                ElementsAre(Pair("user", "u"), Pair("options", "-c a=b"), Pair("user", "again")));
    EXPECT_THAT(startup->protocol_options, ElementsAre("_pq_.new"));
    EXPECT_EQ(startup->parameter("user"), "u");
    expect_exact(body, [](Bytes each) { return parse_startup(protocol_3_0, each); });
    const std::string packet = encode_startup({protocol_3_0, {{"user", "u"}}, {}});
    EXPECT_EQ(packet, "\0\0\0\x10\0\3\0\0user\0u\0\0"sv);
}

TEST(StartupMessages, CancelRequestsOfBothProtocols) {
    for (const std::string& key :
         {std::string{"abcd"}, std::string(32, 'k'), std::string(256, 'k')}) {
        const CancelRequest request{-7, key};
        const std::string packet = encode_cancel_request(request);
        const auto step = std::get<StartupPacket>(next_startup_packet(bytes(packet)));
        EXPECT_EQ(step.code, cancel_request_code);
        EXPECT_EQ(*parse_cancel_request(step.body), request);
    }
    EXPECT_FALSE(parse_cancel_request(bytes("\0\0\0\7abc"sv)));
    EXPECT_FALSE(parse_cancel_request(bytes(std::string{"\0\0\0\7"sv} + std::string(257, 'k'))));
}

}  // namespace
}  // namespace segue::protocol::postgres
