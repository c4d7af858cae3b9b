#pragma once
// Opens connections to the two servers on the control thread: connect, TLS, the client's own startup
// parameters, authentication with the session's credentials.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "proxy/backend.hpp"
#include "proxy/config.hpp"
#include "proxy/move_session.hpp"
#include "proxy/transport.hpp"
#include "proxy/wait.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Why a connection could not be opened.
struct OpenFailure {
    Error error;            // Names the side; `sqlstate` where the server answered.
    std::string response;   // The server's ErrorResponse as it came, to be relayed verbatim; empty where it sent none.
};

struct OpenedBackend {
    Backend backend;
    std::string greeting;   // AuthenticationOk, ParameterStatus ..., BackendKeyData, ReadyForQuery: as the server sent them.
};

using Opened = std::variant<OpenedBackend, OpenFailure>;

// Two servers and how to reach them. Used on the control thread only.
class Dialer : public BackendOpener {
public:
    // Reads the servers' root certificates; an Error names the file.
    static Result<std::unique_ptr<Dialer>> make(boost::asio::io_context& context, const ServerConfig& source,
                                                const ServerConfig& target);
    ~Dialer() override;

    // A connected transport, TLS done as the side's sslmode says (empty: exactly when `client_uses_tls`); nothing of the session
    // has been sent on it.
    boost::asio::awaitable<Result<Transport>> connect(Side side, bool client_uses_tls, Deadline deadline);

    // A connection logged in with `startup` and `credentials`, which the caller keeps alive until the result is there.
    boost::asio::awaitable<Opened> log_in(Side side, const StartupParameters& startup, const Credentials& credentials,
                                          bool client_uses_tls, Deadline deadline);

    // The same for a session that moves; the failure as its Error.
    boost::asio::awaitable<Result<Backend>> open(Side side, const StartupParameters& startup,
                                                 const Credentials& credentials, bool client_tls) override;

    const ServerConfig& server(Side side) const;

private:
    struct State;
    explicit Dialer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace segue::proxy
