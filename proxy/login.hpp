#pragma once
// From an accepted socket to a finished session: TLS with the client, startup packet,
// authentication on both legs. Everything here runs on the control thread and is bounded in memory
// and time.

#include <boost/asio/awaitable.hpp>

#include <functional>

#include "proxy/config.hpp"
#include "proxy/open_backend.hpp"
#include "proxy/session_sink.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

class ClientTls;    // tls.hpp
class RoleSecrets;  // role_secrets.hpp

// What logins use; all of it outlives them.
struct LoginServices {
    const Config& config;
    const Traffic& traffic;
    Dialer& dialer;
    const ClientTls* tls;  // Null without a certificate.
    RoleSecrets& secrets;
    SessionSink& sink;
    CancelTargets& cancels;
    std::function<std::size_t()> live_sessions;  // Compared with clients_max.
    // While no authority is known: what clients are told at once, in place of waiting for it.
    // Empty: they wait.
    std::function<std::string()> unreachable = {};
};

// Serves one accepted client up to the hand-over, a refusal or the login timeout. Ends by itself;
// the error (already told to the client where it could be) is for the log. Clients on Unix sockets
// are not offered TLS.
boost::asio::awaitable<Status> serve_login(Transport client,
                                           bool unix_socket,
                                           const LoginServices& services);

}  // namespace segue::proxy
