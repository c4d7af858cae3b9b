#pragma once
// Opens connections to the two servers on the control thread: connect, TLS, the client's own
// startup parameters, authentication with the session's credentials.

#include <boost/asio/awaitable.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "protocol/postgres/messages_startup.hpp"
#include "proxy/backend.hpp"
#include "proxy/config.hpp"
#include "proxy/move_session.hpp"
#include "proxy/transport.hpp"
#include "proxy/wait.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Why a connection could not be opened.
struct OpenFailure {
    Error error;           // Names the side; `sqlstate` where the server answered.
    std::string response;  // The server's ErrorResponse as it came, to be relayed verbatim; empty
                           // where it sent none.
};

struct OpenedBackend {
    Backend backend;
    std::string greeting;  // AuthenticationOk, ParameterStatus ..., BackendKeyData, ReadyForQuery:
                           // as the server sent them.
};

using Opened = std::variant<OpenedBackend, OpenFailure>;

struct ServerLeg;  // server_leg.hpp
struct Message;
using Started =
    std::variant<std::pair<std::unique_ptr<ServerLeg>, std::unique_ptr<Message>>, OpenFailure>;

// Two servers and how to reach them. Used on the control thread only; outlives what it awaits.
class Dialer : public BackendOpener {
public:
    // An Error only for an sslmode that is none.
    // `mapped` may be null, and outlives the dialer.
    static Result<std::unique_ptr<Dialer>> make(const ServerConfig& source,
                                                const ServerConfig& target,
                                                const CredentialMap* mapped = nullptr);
    ~Dialer() override;

    // A connected transport, TLS done as the side's sslmode says (empty: exactly when
    // `client_uses_tls`); nothing of the session has been sent on it.
    boost::asio::awaitable<Result<Transport>> connect(Side side,
                                                      bool client_uses_tls,
                                                      Deadline deadline);

    // A connection on which `startup` has been sent, and the server's first answer: an
    // authentication request. The client's parameters go unchanged, but for the database's name
    // where the migrated one is called differently on the target. A server may answer that it
    // speaks less than `protocol` only; then it is less, whatever was agreed with the client.
    boost::asio::awaitable<Started> start(
        Side side,
        const StartupParameters& startup,
        bool client_uses_tls,
        Deadline deadline,
        std::uint32_t protocol = protocol::postgres::protocol_3_0);

    // A connection logged in with `startup` and, where none are mapped for its role and that side,
    // with `credentials`, which the caller keeps alive until the result is there.
    boost::asio::awaitable<Opened> log_in(Side side,
                                          const StartupParameters& startup,
                                          const Credentials& credentials,
                                          bool client_uses_tls,
                                          Deadline deadline);

    // The same for a session that moves, within other_login_time_max; the failure as its Error.
    static constexpr std::chrono::seconds other_login_time_max{15};
    boost::asio::awaitable<Result<Backend>> open(Side side,
                                                 const StartupParameters& startup,
                                                 const Credentials& credentials,
                                                 bool client_tls) override;

    const ServerConfig& server(Side side) const;
    // Whether the files that the side's URL names can be read. If not, no session reaches that side
    // until they can.
    Status files_readable(Side side);
    // They may have been replaced: for connections from now on. What cannot be read is an Error and
    // changes nothing.
    Status read_files_again(Side side);
    // Whether a client with these parameters asks for the database that is being moved.
    bool asks_for_migrated_database(const StartupParameters& startup) const;

private:
    struct Server;
    Dialer(std::unique_ptr<Server> source,
           std::unique_ptr<Server> target,
           const CredentialMap* mapped);
    boost::asio::awaitable<Result<Transport>> connect_plain(Side side, Deadline deadline);
    boost::asio::awaitable<Started> start_on(Result<Transport> connected,
                                             Side side,
                                             const StartupParameters& startup,
                                             Deadline deadline,
                                             std::uint32_t protocol);
    const Server& at(Side side) const { return *servers_[index(side)]; }
    std::array<std::unique_ptr<Server>, 2> servers_;
    const CredentialMap* mapped_;
};

}  // namespace segue::proxy
