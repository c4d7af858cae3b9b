#include "proxy/client_leg.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/framer.hpp"
#include "proxy/server_leg.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

namespace {

constexpr unsigned char tls_handshake_byte = 0x16;
constexpr std::size_t startup_head_size = 8;

// Whether the next byte begins a TLS record. It stays on the socket.
bool begins_tls(int fd) {
    unsigned char first = 0;
    return ::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first == tls_handshake_byte;
}

// One packet without a tag, and not a byte more: what follows an SSLRequest belongs to the TLS
// handshake.
asio::awaitable<Result<std::string>> read_packet(Transport& transport, Deadline deadline) {
    std::string packet;
    for (std::size_t missing = pg::length_size;;) {
        const Status more = co_await read_exactly(transport, packet, missing, deadline);
        if (!more) co_return more.error();
        const auto step = pg::next_startup_packet(bytes(packet));
        if (const auto* error = std::get_if<Error>(&step)) co_return *error;
        if (std::holds_alternative<pg::StartupPacket>(step)) co_return packet;
        missing = std::get<NeedMore>(step).size_min - packet.size();
    }
}

}  // namespace

asio::awaitable<Status> ClientLeg::say(std::string message) {
    co_return co_await write_all(transport, message, deadline);
}

asio::awaitable<Result<std::string>> ClientLeg::ask(std::string question) {
    const Status asked = co_await say(std::move(question));
    if (!asked) co_return asked.error();
    Result<Message> answer = co_await read_message(transport, deadline);
    if (!answer) co_return answer.error();
    if (answer->tag != 'p') co_return co_await refuse("08P01", "expected a password message", "");
    std::string body{text(answer->body())};
    crypto::wipe(answer->wire);
    co_return body;
}

asio::awaitable<Error> ClientLeg::refuse(std::string sqlstate,
                                         std::string message,
                                         std::string hint) {
    // A client that does not read is not waited for long.
    constexpr std::chrono::seconds farewell_max{5};
    deadline = std::min(deadline, std::chrono::steady_clock::now() + farewell_max);
    deadline =
        std::max(deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds{100});
    if (!std::exchange(refused, true))
        (void)co_await say(pg::encode_error_response({"FATAL", sqlstate, message, hint}));
    co_return Error{Errc::refused, std::move(message), std::move(sqlstate)};
}

asio::awaitable<Status> ClientLeg::direct_tls(const ClientTls* tls) {
    const Status readable = co_await wait_readable(transport, deadline);
    if (!readable) co_return readable.error();
    if (!begins_tls(transport.fd())) co_return Done{};
    if (tls == nullptr || unix_socket)
        co_return Error{Errc::refused, "direct TLS, but no TLS is configured here"};
    co_return co_await tls->accept(transport, true, deadline);
}

asio::awaitable<Status> ClientLeg::answer_ssl_request(const ClientTls* tls) {
    if (tls == nullptr || unix_socket) co_return co_await say("N");
    const Status said = co_await say("S");
    if (!said) co_return said.error();
    co_return co_await tls->accept(transport, false, deadline);
}

asio::awaitable<Hello> ClientLeg::greet(const ClientTls* tls, ListenTls wanted) {
    const Status direct = co_await direct_tls(tls);
    if (!direct) co_return direct.error();
    bool ssl_asked = transport.uses_tls();
    bool gss_asked = transport.uses_tls();
    for (;;) {
        Result<std::string> packet = co_await read_packet(transport, deadline);
        if (!packet) co_return packet.error();
        const auto startup = std::get<pg::StartupPacket>(pg::next_startup_packet(bytes(*packet)));
        Status answered = Done{};
        if (startup.code == pg::ssl_request_code && !ssl_asked) {
            ssl_asked = true;
            answered = co_await answer_ssl_request(tls);
        } else if (startup.code == pg::gssenc_request_code && !gss_asked) {
            gss_asked = true;
            answered = co_await say("N");
        } else if (startup.code == pg::cancel_request_code) {
            auto request = pg::parse_cancel_request(startup.body);
            if (!request) co_return request.error();
            co_return std::move(*request);
        } else {
            const std::uint32_t code = startup.code;
            co_return co_await take_startup(code, std::move(*packet), wanted);
        }
        if (!answered) co_return answered.error();
    }
}

asio::awaitable<Hello> ClientLeg::take_startup(std::uint32_t code,
                                               std::string packet,
                                               ListenTls wanted) {
    const std::uint32_t major = code >> 16;
    if (major != pg::protocol_3_0 >> 16) {
        co_return co_await refuse("0A000",
                                  "unsupported frontend protocol " + std::to_string(major) + "." +
                                      std::to_string(code & 0xffff) + ": Segue supports 3.0 to 3.2",
                                  "");
    }
    auto startup = pg::parse_startup(code, bytes(packet).subspan(startup_head_size));
    if (!startup)
        co_return co_await refuse("08P01", "invalid startup packet: " + startup.error().detail, "");
    startup->version = std::min(code, pg::protocol_3_2);
    if (code != startup->version || !startup->protocol_options.empty()) {
        const Status said = co_await say(
            pg::encode_negotiate_protocol_version(startup->version, startup->protocol_options));
        if (!said) co_return said.error();
    }
    if (wanted == ListenTls::require && !transport.uses_tls() && !unix_socket) {
        co_return co_await refuse(
            "28000", "Segue accepts only connections with TLS", "Connect with sslmode=require.");
    }
    if (startup->parameter("user").empty()) {
        co_return co_await refuse(
            "28000", "no PostgreSQL user name specified in startup packet", "");
    }
    co_return std::move(*startup);
}

}  // namespace segue::proxy
