#pragma once
// From an accepted socket to a finished session: TLS with the client, startup packet, authentication on both legs.
// Everything here runs on the control thread and is bounded in memory and time.

#include <boost/asio/awaitable.hpp>

#include "proxy/config.hpp"
#include "proxy/open_backend.hpp"
#include "proxy/session_sink.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

class ClientTls;    // tls.hpp
class RoleSecrets;  // role_secrets.hpp

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
