#pragma once
// Reading a connection's notifications up to a point: the server keeps notifications in the order
// of their commits, so a connection that has got one of its own has got every one that was
// committed before. Pure.

#include <string>
#include <string_view>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

// Listens on `channel`, notifies it and forgets it again; to be sent at a boundary. `channel`
// consists of lower case letters, digits and _, and is none of the session's own.
std::string barrier_request(std::string_view channel);

// `reply`: all bytes received since. The messages in it that are meant for the client
// (notifications of other channels, ParameterStatus), as bytes to relay. An Error with the SQLSTATE
// when the server refused.
Step<std::string> parse_barrier_reply(Bytes reply, std::string_view channel);

}  // namespace segue::protocol::postgres
