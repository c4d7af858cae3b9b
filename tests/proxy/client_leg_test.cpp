#include "proxy/client_leg.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace segue::proxy {
namespace {

namespace pg = protocol::postgres;
using namespace std::string_literals;
using namespace std::string_view_literals;
using testing::HasSubstr;
using testing::StartsWith;

constexpr auto startup_packet = "\0\0\0\x10\0\3\0\0user\0u\0\0"sv;

// One greeting over a socket pair: what the client sends in slices, and what it hears.
struct Greeting {
    std::optional<Hello> hello;
    std::string heard;

    explicit Greeting(std::string_view sent,
                      std::size_t slice = 1u << 16,
                      ListenTls wanted = ListenTls::allow,
                      bool close_after = true) {
        std::array<int, 2> pair{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
        boost::asio::io_context context;
        ClientLeg leg{
            Transport{pair[0]},
            false,
            std::chrono::steady_clock::now() + std::chrono::milliseconds{close_after ? 5000 : 50}};
        auto on_end = [this](std::exception_ptr thrown, Hello result) {
            EXPECT_FALSE(thrown);
            hello.emplace(std::move(result));
        };
        boost::asio::co_spawn(context, leg.greet(nullptr, wanted), on_end);
        for (std::size_t at = 0; at < sent.size(); at += slice) {
            const std::string_view part = sent.substr(at, slice);
            EXPECT_EQ(::send(pair[1], part.data(), part.size(), MSG_NOSIGNAL),
                      static_cast<ssize_t>(part.size()));
            context.poll();
            if (hello) break;
        }
        if (close_after && !hello) ::shutdown(pair[1], SHUT_WR);
        context.run();
        std::array<char, 4096> buffer{};
        const ssize_t size = ::recv(pair[1], buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size > 0) heard.assign(buffer.data(), static_cast<std::size_t>(size));
        ::close(pair[1]);
    }
    std::string error() const {
        return hello && std::holds_alternative<Error>(*hello) ? std::get<Error>(*hello).detail
                                                              : std::string{};
    }
};

TEST(ClientLeg, TakesAStartupPacketInSlicesOfAnySize) {
    for (std::size_t slice = 1; slice <= startup_packet.size(); ++slice) {
        SCOPED_TRACE(slice);
        const Greeting greeting{startup_packet, slice};
        ASSERT_TRUE(std::holds_alternative<pg::StartupMessage>(*greeting.hello));
        EXPECT_EQ(std::get<pg::StartupMessage>(*greeting.hello).parameter("user"), "u");
        EXPECT_EQ(greeting.heard, "");
    }
}

TEST(ClientLeg, DeclinesEncryptionThatItDoesNotHaveInEitherOrder) {
    const std::string ssl = "\0\0\0\x08\x04\xd2\x16\x2f"s, gss = "\0\0\0\x08\x04\xd2\x16\x30"s;
    for (const std::string& asked : {ssl + gss, gss + ssl}) {
        const Greeting greeting{asked + std::string{startup_packet}, 8};
        EXPECT_EQ(greeting.heard, "NN");
        EXPECT_TRUE(std::holds_alternative<pg::StartupMessage>(*greeting.hello));
    }
    EXPECT_THAT((Greeting{ssl + ssl}.heard), StartsWith("NE"));  // Asked for twice.
}

struct Version {
    std::string asked;
    std::uint32_t agreed;
    std::string heard;
};

TEST(ClientLeg, NegotiatesTheProtocolVersion) {
    const std::string option = "_pq_.x\0on\0"s;
    const Version versions[] = {
        {"\0\3\0\0"s, pg::protocol_3_0, ""},
        {"\0\3\0\2"s, pg::protocol_3_2, ""},
        {"\0\3\x27\x0f"s, pg::protocol_3_2, "v\0\0\0\x0c\0\3\0\2\0\0\0\0"s},
        {"\0\3\0\0user\0u\0"s + option, pg::protocol_3_0, "v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.x\0"s},
        {"\0\3\0\2user\0u\0"s + option, pg::protocol_3_2, "v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.x\0"s},
    };
    for (const Version& version : versions) {
        std::string packet = "\0\0\0\0"s + version.asked;
        if (version.asked.size() == 4) packet += "user\0u\0"s;
        packet += '\0';
        packet[3] = static_cast<char>(packet.size());
        const Greeting greeting{packet};
        EXPECT_EQ(greeting.heard, version.heard);
        ASSERT_TRUE(std::holds_alternative<pg::StartupMessage>(*greeting.hello));
        EXPECT_EQ(std::get<pg::StartupMessage>(*greeting.hello).version, version.agreed);
    }
}

TEST(ClientLeg, ClosesAtOnceOnATerminateInPlaceOfAStartup) {
    EXPECT_THAT((Greeting{"X\0\0\0\4"sv, 64, ListenTls::allow, false}.error()),
                HasSubstr("above the limit"));
}

TEST(ClientLeg, TakesCancelRequests) {
    const Greeting greeting{pg::encode_cancel_request({7, "abcd"})};
    EXPECT_EQ(std::get<pg::CancelRequest>(*greeting.hello), (pg::CancelRequest{7, "abcd"}));
}

TEST(ClientLeg, RefusesWhatIsMalformedWithoutWaitingForMore) {
    EXPECT_THAT((Greeting{"GET / HTTP/1.1\r\n"}.error()), HasSubstr("above the limit"));
    EXPECT_THAT((Greeting{"\0\0\0\4\0\0\0\0"sv}.error()), HasSubstr("below 8"));
    EXPECT_THAT((Greeting{"\0\0\0\x08\0\2\0\0"sv}.heard),
                HasSubstr("unsupported frontend protocol 2.0"));
    EXPECT_THAT((Greeting{"\0\0\0\x0a\0\3\0\0us"sv}.heard), HasSubstr("invalid startup packet"));
    EXPECT_THAT((Greeting{"\0\0\0\x09\0\3\0\0\0"sv}.heard), HasSubstr("no PostgreSQL user name"));
    EXPECT_THAT((Greeting{"\x16\3\1\0\0\0\0\0"sv}.error()), HasSubstr("no TLS is configured"));
    EXPECT_THAT((Greeting{startup_packet, 64, ListenTls::require}.heard),
                HasSubstr("only connections with TLS"));
    EXPECT_EQ((Greeting{startup_packet.substr(0, 5)}.error()), "connection closed by the peer");
}

TEST(ClientLeg, LetsGoOfAClientThatSaysNothingInTime) {
    const Greeting greeting{startup_packet.substr(0, 5), 64, ListenTls::allow, false};
    EXPECT_EQ(std::get<Error>(*greeting.hello).code, Errc::timed_out);
}

}  // namespace
}  // namespace segue::proxy
