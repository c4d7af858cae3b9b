#include "proxy/login.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "protocol/postgres/messages_startup.hpp"
#include "proxy/authenticate.hpp"
#include "proxy/cancel.hpp"
#include "proxy/client_leg.hpp"
#include "proxy/move_session.hpp"
#include "proxy/role_secrets.hpp"
#include "proxy/server_leg.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

namespace {

constexpr std::chrono::milliseconds traffic_poll{2};
constexpr int polls_per_question =
    50;  // Why there is no authority is asked for less often than whether there is one.

// The authority as of one moment without a hold.
struct Authority {
    Side side = Side::source;
    std::uint64_t epoch = 0;
};

// Empty in a hold, before the authority is known, and when a change happened between the reads.
std::optional<Authority> read_authority(const Traffic& traffic) {
    const Authority authority{traffic.authority.load(), traffic.epoch.load()};
    const bool still = traffic.serving.load() && !traffic.holding.load() &&
                       traffic.authority.load() == authority.side &&
                       traffic.epoch.load() == authority.epoch;
    if (!still) return std::nullopt;
    return authority;
}

enum class Replication : std::uint8_t { no, physical, logical };  // Logical: in a database.

// As the server reads a boolean: whatever its case, as far as it can be told from true.
bool says_no(std::string value) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    std::transform(value.begin(), value.end(), value.begin(), lower);
    const auto begins = [&value](std::string_view word) { return word.starts_with(value); };
    return value == "0" || begins("false") || begins("no") || (value.size() > 1 && begins("off"));
}

Replication replication_of(const pg::StartupMessage& startup) {
    const std::string_view value = startup.parameter("replication");
    if (value == "database") return Replication::logical;
    return says_no(std::string{value}) ? Replication::no : Replication::physical;
}

class Login {
public:
    Login(Transport client, bool unix_socket, const LoginServices& services)
        : services_(services),
          client_{std::move(client),
                  unix_socket,
                  std::chrono::steady_clock::now() + services.config.login_timeout} {}

    asio::awaitable<Status> serve() {
        Hello hello = co_await client_.greet(services_.tls, services_.config.tls);
        if (auto* error = std::get_if<Error>(&hello)) co_return std::move(*error);
        if (auto* cancel = std::get_if<pg::CancelRequest>(&hello)) {
            co_return co_await forward_cancel(
                std::move(*cancel), services_.cancels, services_.dialer, client_.deadline);
        }
        co_return co_await serve_startup(std::move(std::get<pg::StartupMessage>(hello)));
    }

private:
    asio::awaitable<Status> serve_startup(pg::StartupMessage startup);
    asio::awaitable<Result<Authority>> wait_for_authority();
    asio::awaitable<Status> log_in_both(Authority authority);
    asio::awaitable<Status> hand_over(Authority authority);
    asio::awaitable<Status> open_again(Side side);
    asio::awaitable<Status> tell(OpenFailure failure);
    void take(OpenedBackend opened);

    const LoginServices& services_;
    ClientLeg client_;
    std::unique_ptr<Session> session_ = std::make_unique<Session>();
    std::string greeting_;
    std::uint32_t protocol_ = pg::protocol_3_0;
};

asio::awaitable<Status> Login::serve_startup(pg::StartupMessage startup) {
    const std::string user{startup.parameter("user")};
    const std::string database{
        startup.parameter("database").empty() ? user : startup.parameter("database")};
    const Replication replication = replication_of(startup);
    session_->startup = std::move(startup.parameters);
    protocol_ = startup.version;
    // A whole server's log (a base backup, a standby) is the authority's, whatever database the
    // client names.
    const bool migrated = replication == Replication::physical ||
                          services_.dialer.asks_for_migrated_database(session_->startup);
    if (services_.live_sessions && services_.live_sessions() >= services_.config.clients_max) {
        co_return co_await client_.refuse(
            "53300", "sorry, too many clients already", "The limit is [limits] clients.");
    }
    if (!migrated && services_.config.other_databases == OtherDatabases::refuse) {
        co_return co_await client_.refuse("3D000",
                                          "database \"" + database + "\" is not moved by Segue",
                                          "The configuration has other_databases = \"refuse\".");
    }
    if (!migrated) session_->immovable_because = "another database than the one that is moved";
    session_->replication = migrated && replication != Replication::no;
    if (session_->replication)
        session_->immovable_because =
            "replication connection: stays on its server and refuses no change";
    session_->passed_through = session_->replication || !migrated;

    Authority authority;  // Other databases stay on the source.
    if (migrated) {
        const Result<Authority> found = co_await wait_for_authority();
        if (!found) co_return found.error();
        authority = *found;
    }
    const Status both = co_await log_in_both(authority);
    if (!both) co_return both.error();
    session_->movable = session_->immovable_because.empty();
    session_->client = std::move(client_.transport);
    co_return co_await hand_over(authority);
}

asio::awaitable<Result<Authority>> Login::wait_for_authority() {
    std::string unreachable;
    for (int poll = 0;; ++poll) {
        const std::optional<Authority> authority = read_authority(services_.traffic);
        if (authority) co_return *authority;
        const bool ask = poll % polls_per_question == 0 && !services_.traffic.serving.load() &&
                         services_.unreachable;
        if (ask) unreachable = services_.unreachable();
        if (!unreachable.empty() || std::chrono::steady_clock::now() >= client_.deadline) break;
        co_await pause_for(traffic_poll);
    }
    if (session_->client.is_open()) client_.transport = std::move(session_->client);
    if (services_.traffic.holding.load()) {
        co_return co_await client_.refuse(
            "57P03", "a change of authority is in progress", "Try again.");
    }
    if (!unreachable.empty())
        co_return co_await client_.refuse(
            "08006", std::move(unreachable), "segue status tells why.");
    co_return co_await client_.refuse("08006",
                                      "it is not established yet which database is the authority",
                                      "segue status tells what is missing.");
}

asio::awaitable<Status> Login::log_in_both(Authority authority) {
    const bool tls = client_.transport.uses_tls();
    Started started = co_await services_.dialer.start(
        authority.side, session_->startup, tls, client_.deadline, protocol_);
    if (auto* failure = std::get_if<OpenFailure>(&started))
        co_return co_await tell(std::move(*failure));
    auto& [leg, request] = *std::get_if<0>(&started);
    AuthenticationPeers peers{client_,
                              *leg,
                              services_.secrets,
                              tls ? services_.tls : nullptr,
                              services_.config.credentials};
    const auto user = std::find_if(session_->startup.begin(),
                                   session_->startup.end(),
                                   [](const auto& parameter) { return parameter.first == "user"; });
    auto outcome = co_await authenticate_client(peers, std::move(*request), user->second);
    if (auto* failure = std::get_if<OpenFailure>(&outcome))
        co_return co_await tell(std::move(*failure));
    auto& authenticated = std::get<Authenticated>(outcome);
    session_->credentials = std::move(authenticated.credentials);
    if (session_->immovable_because.empty())
        session_->immovable_because = std::move(authenticated.immovable_because);
    Opened opened = co_await finish_login(std::move(*leg));
    if (auto* failure = std::get_if<OpenFailure>(&opened))
        co_return co_await tell(std::move(*failure));
    take(std::move(std::get<OpenedBackend>(opened)));
    co_return Done{};
}

void Login::take(OpenedBackend opened) {
    session_->backend = std::move(opened.backend);
    session_->client_types = session_->backend.side;
    session_->client_pid = session_->backend.pid;
    session_->client_cancel_key = session_->backend.cancel_key;
    greeting_ = std::move(opened.greeting);
}

// The client has proved itself, and knows nothing of its backend yet: if the authority changes
// under it, or was about to, the backend is opened anew.
asio::awaitable<Status> Login::hand_over(Authority authority) {
    while (services_.sink.adopt(session_, authority.epoch, greeting_) == Handover::changed) {
        const Result<Authority> now = co_await wait_for_authority();
        if (!now) co_return now.error();
        authority = *now;
        // A fence that was opened again has ended the connections that it did not know of.
        if (authority.side != session_->backend.side || !is_usable(session_->backend)) {
            const Status opened = co_await open_again(authority.side);
            if (!opened) co_return opened.error();
        } else if (std::chrono::steady_clock::now() >= client_.deadline) {
            client_.transport = std::move(session_->client);
            co_return co_await client_.refuse(
                "57P03", "a change of authority is in progress", "Try again.");
        } else {
            co_await pause_for(traffic_poll);
        }
    }
    co_return Done{};
}

asio::awaitable<Status> Login::open_again(Side side) {
    session_->backend = Backend{};
    if (!session_->movable) {
        client_.transport = std::move(session_->client);
        co_return co_await client_.refuse(
            "57P03", "the authority changed during the login", "Try again.");
    }
    const bool tls = session_->client.uses_tls();
    Opened opened = co_await services_.dialer.log_in(
        side, session_->startup, session_->credentials, tls, client_.deadline);
    if (auto* failure = std::get_if<OpenFailure>(&opened)) {
        client_.transport = std::move(session_->client);
        co_return co_await tell(std::move(*failure));
    }
    take(std::move(std::get<OpenedBackend>(opened)));
    co_return Done{};
}

// The server's own words where it said any.
asio::awaitable<Status> Login::tell(OpenFailure failure) {
    if (!client_.transport.is_open()) co_return failure.error;
    if (!failure.response.empty()) {
        (void)co_await client_.say(std::move(failure.response));
        co_return failure.error;
    }
    if (failure.error.code != Errc::closed) {
        const std::string sqlstate =
            failure.error.sqlstate.empty() ? "08006" : failure.error.sqlstate;
        (void)co_await client_.refuse(sqlstate, failure.error.detail, "");
    }
    co_return failure.error;
}

}  // namespace

asio::awaitable<Status> serve_login(Transport client,
                                    bool unix_socket,
                                    const LoginServices& services) {
    Login login{std::move(client), unix_socket, services};
    co_return co_await login.serve();
}

}  // namespace segue::proxy
