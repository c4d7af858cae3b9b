#pragma once
// From an accepted socket to a finished session: TLS with the client, startup packet, authentication on both legs.
// Everything here runs on the control thread and is bounded in memory and time.

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/config.hpp"
#include "proxy/open_backend.hpp"
#include "proxy/session.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

class ClientTls;    // tls.hpp
class RoleSecrets;  // role_secrets.hpp

// Where a cancel request belongs now.
struct CancelRoute {
    Side side = Side::source;
    std::int32_t pid = 0;    // Of the backend that serves the session now.
    std::string cancel_key;
    bool uses_tls = false;   // Of the session's own client connection.
};

// Implemented by the registry of sessions. Thread-safe.
class CancelTargets {
public:
    virtual ~CancelTargets() = default;
    // Finds the session by what its client knows. Empty: unknown, or there is nothing to forward because the request was
    // answered there and then (a held request is answered with 57014).
    virtual std::optional<CancelRoute> cancel(std::int32_t client_pid, std::string_view client_key) = 0;
};

enum class Handover : std::uint8_t {
    taken,    // The sink owns the session and sends the greeting to the client before anything else.
    changed,  // The authority is another one, or a hold is in force: nothing was taken; wait, and open anew where it is needed.
};

// Implemented by the registry of sessions. Decides atomically with respect to hold and swap.
class SessionSink {
public:
    virtual ~SessionSink() = default;
    // Takes the session exactly when no hold is in force and `epoch` (read before the backend was opened) is still current;
    // sessions with `passed_through` are always taken. `greeting` goes to the client.
    virtual Handover adopt(std::unique_ptr<Session>& session, std::uint64_t epoch, std::string& greeting) = 0;
};

struct LoginServices {
    const Config& config;
    const Traffic& traffic;
    Dialer& dialer;
    ClientTls* tls;          // Null without a certificate.
    RoleSecrets& secrets;
    SessionSink& sink;
    CancelTargets& cancels;
};

// Serves one accepted client up to the hand-over, a refusal or the login timeout. Ends by itself; the error (already told to the client
// where it could be) is for the log. `client` must be connected; `unix_socket` clients are not asked for TLS.
boost::asio::awaitable<Status> serve_login(Transport client, bool unix_socket, LoginServices& services);

}  // namespace segue::proxy
