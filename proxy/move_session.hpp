#pragma once
// Moving one session's state: ask its own backend, restore it on the other side's connection.
// Control plane coroutines on connections that nobody else reads meanwhile.

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>

#include "protocol/postgres/described_statements.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/postgres/statement_hints.hpp"
#include "protocol/result.hpp"
#include "proxy/ask.hpp"
#include "proxy/backend.hpp"
#include "proxy/transport.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Opens a connection to one side with the client's own identity. Implemented over backend login; a
// test may stand in. `client_tls`: the client's own connection uses TLS (INTERFACE, TLS to a
// server).
class BackendOpener {
public:
    virtual ~BackendOpener() = default;
    // The arguments live until the coroutine has ended.
    virtual boost::asio::awaitable<Result<Backend>> open(Side side,
                                                         const StartupParameters& startup,
                                                         const Credentials& credentials,
                                                         bool client_tls) = 0;
};

struct Probed {
    Result<protocol::postgres::SessionState> state;
    std::string for_client;  // What the server said to the client meanwhile, to be relayed; its
                             // last words too.
};

// Asks a session's own backend, which stands at a boundary, for the session's state. Errc::server:
// it refused, and stands at the boundary again. Any other error: the connection cannot be used any
// more.
boost::asio::awaitable<Probed> probe_state(Transport& backend,
                                           const protocol::postgres::StateHints& hints,
                                           MoveDeadline deadline);

// Puts off those prepared statements of `state` that the session's own backend, at a boundary,
// could not execute either (statement_check.hpp). `patience`: for the answer to one round trip. An
// error leaves the connection unusable.
struct Checked {
    Status checked;
    std::string for_client;
};
boost::asio::awaitable<Checked> put_off_unusable_statements(Transport& backend,
                                                            protocol::postgres::SessionState& state,
                                                            std::chrono::milliseconds patience);

// Puts the state onto a connection that is fresh (`reset` false) or was used for an earlier
// restore. After an error the connection is to be closed. `described`, unless null: is told how the
// server describes the statements.
boost::asio::awaitable<Status> restore_state(
    Transport& backend,
    const protocol::postgres::SessionState& state,
    bool reset,
    MoveDeadline deadline,
    protocol::postgres::DescribedStatements* described = nullptr);

// Runs on the session's own backend until it has read everything that was notified before: the
// notifications, as bytes for the client. Listens on `channel`, notifies it and waits for that;
// `channel` must be new to the session. An error leaves the connection unusable; its last words are
// for the client.
struct Notified {
    Status read;
    std::string for_client;
};
boost::asio::awaitable<Notified> read_notifications(Transport& backend,
                                                    const std::string& channel,
                                                    MoveDeadline deadline);

// Whether there is a connection to that side, idle and still good as far as can be told without
// reading from it.
bool is_usable(const std::optional<Backend>& backend, Side side);
bool is_usable(const Backend& backend);

}  // namespace segue::proxy
