#pragma once
// Logins of roles for which the operator has given Segue a password on the side that they go to
// ([[credentials]]): Segue itself checks the client, then logs in with that password.

#include <boost/asio/awaitable.hpp>

#include <string>

#include "proxy/authenticate.hpp"

namespace segue::proxy {

// `request`: the server's first message, a question. The role is mapped for the server's side.
// `peers` outlives the call.
boost::asio::awaitable<AuthenticationOutcome> authenticate_mapped(AuthenticationPeers& peers,
                                                                  Message request,
                                                                  std::string user);

}  // namespace segue::proxy
