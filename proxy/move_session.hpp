#pragma once
// Moving one session's state: ask its own backend, restore it on the other side's connection. Control plane
// coroutines; the relay thread lends the session at a boundary and gets it back.

#include <boost/asio/awaitable.hpp>

#include "protocol/result.hpp"
#include "proxy/backend.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Opens a connection to one side with the client's own identity. Implemented over backend login; a test
// may stand in. `client_tls`: the client's own connection uses TLS (INTERFACE, TLS to a server).
class BackendOpener {
public:
    virtual ~BackendOpener() = default;
    // The arguments live until the coroutine has ended.
    virtual boost::asio::awaitable<Result<Backend>> open(Side side, const StartupParameters& startup,
                                                         const Credentials& credentials,
                                                         bool client_tls) = 0;
};

}  // namespace segue::proxy
