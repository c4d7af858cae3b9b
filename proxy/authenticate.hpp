#pragma once
// Authentication of a client by the server it wants: the server decides the method, the client
// proves itself, and what is needed to log in on the other server later is kept.

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "proxy/backend.hpp"
#include "proxy/client_leg.hpp"
#include "proxy/role_secrets.hpp"
#include "proxy/server_leg.hpp"

namespace segue::proxy {

struct Authenticated {
    Credentials credentials;
    std::string immovable_because;  // Not empty: the login cannot be repeated.
};
using AuthenticationOutcome = std::variant<Authenticated, OpenFailure>;

struct AuthenticationPeers {
    ClientLeg& client;
    ServerLeg& server;
    RoleSecrets& secrets;
    const ClientTls* tls;  // As the client's connection uses it.
    const CredentialMap& mapped;
};

// `request`: the server's first message. On success AuthenticationOk stands in the server leg's
// greeting, unsent. `peers` outlives the call.
boost::asio::awaitable<AuthenticationOutcome> authenticate_client(AuthenticationPeers& peers,
                                                                  Message request,
                                                                  std::string user);

}  // namespace segue::proxy
