#include "proxy/open_backend.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <vector>

#include "proxy/server_leg.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;
using tcp = asio::ip::tcp;

struct Dialer::Server {
    ServerConfig config;
    std::unique_ptr<ServerTls> tls;

    bool never_tls() const {
        return !config.unix_directory.empty() || tls->mode() == SslMode::disable;
    }
};

namespace {

constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);
// To one address. A login may take longer (a server may think), but who does not even accept is
// named soon.
constexpr std::chrono::seconds connect_time_max{10};

std::string place(const ServerConfig& server) {
    return (server.unix_directory.empty() ? server.host : server.unix_directory) + ":" +
           std::to_string(server.port);
}

Error unreachable(Side side, const ServerConfig& server, const std::string& why) {
    return {Errc::io,
            "the " + std::string{name(side)} + " (" + place(server) + ") cannot be reached: " + why,
            "08006"};
}

// Connects one socket; the timer ends the attempt by closing it.
template <class Protocol>
asio::awaitable<Result<int>> connect_to(typename Protocol::endpoint endpoint, Deadline deadline) {
    const auto executor = co_await asio::this_coro::executor;
    // Two owners: this coroutine, and the timer's handler, which may already be queued when the
    // attempt ends.
    const auto socket = std::make_shared<typename Protocol::socket>(executor);
    asio::steady_timer timer(executor, deadline);
    auto on_deadline = [socket](boost::system::error_code cancelled) {
        boost::system::error_code ignored;
        if (!cancelled && socket->is_open()) socket->close(ignored);
    };
    timer.async_wait(std::move(on_deadline));
    const auto [error] = co_await socket->async_connect(endpoint, use_tuple);
    timer.cancel();
    if (error || !socket->is_open()) {
        const bool late = std::chrono::steady_clock::now() >= deadline;
        co_return Error{late ? Errc::timed_out : Errc::io,
                        late ? "no answer in time" : error.message()};
    }
    boost::system::error_code failure;
    const int fd = socket->release(failure);
    if (failure) co_return Error{Errc::io, failure.message()};
    co_return fd;
}

asio::awaitable<Result<std::vector<tcp::endpoint>>> resolve(std::string host, std::uint16_t port) {
    boost::system::error_code failure;
    const auto literal = asio::ip::make_address(host, failure);
    if (!failure) co_return std::vector<tcp::endpoint>{{literal, port}};
    tcp::resolver resolver(co_await asio::this_coro::executor);
    const auto [error, found] =
        co_await resolver.async_resolve(host, std::to_string(port), use_tuple);
    if (error) co_return Error{Errc::io, error.message()};
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    co_return endpoints;
}

// Asks for TLS and takes the one byte of the answer: 'S' or 'N'.
asio::awaitable<Result<char>> ask_for_tls(Transport& server, Deadline deadline) {
    const std::string request = pg::encode_ssl_request();
    const Status sent = co_await write_all(server, request, deadline);
    if (!sent) co_return sent.error();
    std::string answer;
    const Status read = co_await read_exactly(server, answer, 1, deadline);
    if (!read) co_return read.error();
    if (answer[0] != 'S' && answer[0] != 'N')
        co_return Error{Errc::bad_value, "unexpected answer to the request for TLS"};
    co_return answer[0];
}

std::string_view parameter(const StartupParameters& startup, std::string_view wanted) {
    for (const auto& [key, value] : startup) {
        if (key == wanted) return value;
    }
    return {};
}

std::string_view database_of(const StartupParameters& startup) {
    const std::string_view database = parameter(startup, "database");
    return database.empty() ? parameter(startup, "user") : database;
}

void set_database(StartupParameters& startup, const std::string& database) {
    const auto found = std::find_if(
        startup.begin(), startup.end(), [](const auto& p) { return p.first == "database"; });
    if (found != startup.end()) {
        found->second = database;
    } else {
        startup.emplace_back("database", database);
    }
}

}  // namespace

Dialer::Dialer(std::unique_ptr<Server> source,
               std::unique_ptr<Server> target,
               const CredentialMap* mapped)
    : servers_{std::move(source), std::move(target)}, mapped_(mapped) {}
Dialer::~Dialer() = default;

Result<std::unique_ptr<Dialer>> Dialer::make(const ServerConfig& source,
                                             const ServerConfig& target,
                                             const CredentialMap* mapped) {
    auto source_tls = ServerTls::make(source);
    if (!source_tls) return source_tls.error();
    auto target_tls = ServerTls::make(target);
    if (!target_tls) return target_tls.error();
    return std::unique_ptr<Dialer>{
        new Dialer(std::make_unique<Server>(Server{source, std::move(*source_tls)}),
                   std::make_unique<Server>(Server{target, std::move(*target_tls)}),
                   mapped)};
}

Status Dialer::files_readable(Side side) {
    return at(side).never_tls() ? Status{Done{}} : at(side).tls->read_files();
}

Status Dialer::read_files_again(Side side) {
    return at(side).never_tls() ? Status{Done{}} : at(side).tls->read_files_again();
}

const ServerConfig& Dialer::server(Side side) const { return at(side).config; }

bool Dialer::asks_for_migrated_database(const StartupParameters& startup) const {
    return database_of(startup) == at(Side::source).config.database;
}

asio::awaitable<Result<Transport>> Dialer::connect_plain(Side side, Deadline deadline) {
    const ServerConfig& server = at(side).config;
    const auto limit = [deadline] {
        return std::min(deadline, std::chrono::steady_clock::now() + connect_time_max);
    };
    if (!server.unix_directory.empty()) {
        const std::string path = server.unix_directory + "/.s.PGSQL." + std::to_string(server.port);
        if (path.size() >= sizeof(sockaddr_un{}.sun_path))
            co_return unreachable(side, server, "the socket's path is too long");
        const Result<int> fd = co_await connect_to<asio::local::stream_protocol>(
            asio::local::stream_protocol::endpoint{path}, limit());
        if (!fd) co_return unreachable(side, server, fd.error().detail);
        co_return Transport{*fd};
    }
    const auto endpoints = co_await resolve(server.host, server.port);
    if (!endpoints) co_return unreachable(side, server, endpoints.error().detail);
    std::string why = "no address";
    for (const tcp::endpoint& endpoint : *endpoints) {
        const Result<int> fd = co_await connect_to<tcp>(endpoint, limit());
        if (fd) co_return Transport{*fd};
        why = fd.error().detail;
    }
    co_return unreachable(side, server, why);
}

asio::awaitable<Result<Transport>> Dialer::connect(Side side,
                                                   bool client_uses_tls,
                                                   Deadline deadline) {
    const Server& server = at(side);
    Result<Transport> transport = co_await connect_plain(side, deadline);
    if (!transport) co_return transport.error();
    const SslMode mode = server.tls->mode();
    // As libpq: no TLS on Unix sockets. `allow` comes without it first (start).
    const bool never =
        !server.config.unix_directory.empty() || mode == SslMode::disable || mode == SslMode::allow;
    if (never || (mode == SslMode::as_client && !client_uses_tls)) co_return std::move(*transport);
    const Result<char> answer =
        server.config.direct_tls ? Result<char>{'S'} : co_await ask_for_tls(*transport, deadline);
    if (!answer) co_return unreachable(side, server.config, answer.error().detail);
    if (*answer == 'N') {
        if (mode == SslMode::prefer) co_return std::move(*transport);
        co_return unreachable(side,
                              server.config,
                              mode == SslMode::as_client
                                  ? "it offers no TLS, and the client's connection uses TLS "
                                    "(sslmode in the URL decides otherwise)"
                                  : "it offers no TLS, which its sslmode requires");
    }
    const Status done = co_await server.tls->connect(*transport, deadline);
    if (!done) co_return unreachable(side, server.config, done.error().detail);
    co_return std::move(*transport);
}

asio::awaitable<Started> Dialer::start_on(Result<Transport> connected,
                                          Side side,
                                          const StartupParameters& startup,
                                          Deadline deadline,
                                          std::uint32_t protocol) {
    if (!connected) co_return OpenFailure{connected.error(), {}};
    pg::StartupMessage message{protocol, startup, {}};
    const std::string& migrated_on_target = at(Side::target).config.database;
    if (side == Side::target && asks_for_migrated_database(startup) &&
        !migrated_on_target.empty()) {
        set_database(message.parameters, migrated_on_target);
    }
    auto leg = std::make_unique<ServerLeg>(ServerLeg{std::move(*connected), side, deadline, {}});
    auto failure = co_await leg->say(pg::encode_startup(message));
    if (failure) co_return std::move(*failure);
    Heard heard = co_await leg->hear();
    constexpr char negotiate_protocol_version = 'v';
    const auto* answer = std::get_if<Message>(&heard);
    if (answer != nullptr && answer->tag == negotiate_protocol_version)
        heard = co_await leg->hear();
    if (auto* refused = std::get_if<OpenFailure>(&heard)) co_return std::move(*refused);
    auto first = std::make_unique<Message>(std::move(std::get<Message>(heard)));
    co_return std::pair{std::move(leg), std::move(first)};
}

asio::awaitable<Started> Dialer::start(Side side,
                                       const StartupParameters& startup,
                                       bool client_uses_tls,
                                       Deadline deadline,
                                       std::uint32_t protocol) {
    Result<Transport> connected = co_await connect(side, client_uses_tls, deadline);
    Started started = co_await start_on(std::move(connected), side, startup, deadline, protocol);
    const Server& server = at(side);
    const auto* failure = std::get_if<OpenFailure>(&started);
    const bool retry = failure != nullptr && failure->error.code == Errc::server &&
                       server.tls->mode() == SslMode::allow && server.config.unix_directory.empty();
    if (!retry) co_return started;
    // sslmode=allow: refused without TLS, so once more with it; where that cannot be had, the
    // refusal stands.
    Result<Transport> second = co_await connect_plain(side, deadline);
    if (!second) co_return started;
    const Result<char> answer = co_await ask_for_tls(*second, deadline);
    if (!answer || *answer != 'S') co_return started;
    const Status done = co_await server.tls->connect(*second, deadline);
    if (!done) co_return started;
    co_return co_await start_on(std::move(second), side, startup, deadline, protocol);
}

asio::awaitable<Opened> Dialer::log_in(Side side,
                                       const StartupParameters& startup,
                                       const Credentials& credentials,
                                       bool client_uses_tls,
                                       Deadline deadline) {
    Started started = co_await start(side, startup, client_uses_tls, deadline);
    if (auto* failure = std::get_if<OpenFailure>(&started)) co_return std::move(*failure);
    auto& [leg, first] = *std::get_if<0>(&started);
    const std::string_view user = parameter(startup, "user");
    const CredentialMap::Entry* entry = mapped_ != nullptr ? mapped_->find(user, side) : nullptr;
    const Credentials mapped =
        entry != nullptr ? Credentials{Password{entry->password}} : Credentials{};
    auto failure = co_await authenticate(
        *leg, std::move(*first), entry != nullptr ? mapped : credentials, user);
    if (failure) co_return std::move(*failure);
    co_return co_await finish_login(std::move(*leg));
}

asio::awaitable<Result<Backend>> Dialer::open(Side side,
                                              const StartupParameters& startup,
                                              const Credentials& credentials,
                                              bool client_tls) {
    const Deadline deadline = std::chrono::steady_clock::now() + other_login_time_max;
    Opened opened = co_await log_in(side, startup, credentials, client_tls, deadline);
    if (auto* failure = std::get_if<OpenFailure>(&opened)) co_return std::move(failure->error);
    co_return std::move(std::get<OpenedBackend>(opened).backend);
}

}  // namespace segue::proxy
