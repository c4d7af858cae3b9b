#pragma once
// Reads a session's temporary tables on its own backend, so that they can be made anew on the other
// side.

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <string>

#include "protocol/postgres/session_state.hpp"
#include "protocol/result.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

struct CarryRead {
    Status read;             // An error leaves the connection unusable.
    std::string for_client;  // What the server said to the client meanwhile.
};

// `state` has just been probed, on the same backend, and nothing but temporary tables and sequences
// pins it: they go into `state.temporary`, and the pins with them; or the pins become the reasons
// why they cannot. `size_max`: for all of them, on disk and as text. `patience`: for the answer to
// one round trip.
boost::asio::awaitable<CarryRead> read_temporary_tables(Transport& backend,
                                                        protocol::postgres::SessionState& state,
                                                        std::size_t size_max,
                                                        std::chrono::milliseconds patience);

}  // namespace segue::proxy
