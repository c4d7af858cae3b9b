#pragma once
// The server's leg of a login: a connection on which our startup packet has been sent, up to its
// first ReadyForQuery.

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/bytes.hpp"
#include "proxy/backend.hpp"
#include "proxy/open_backend.hpp"
#include "proxy/wait.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Of any message during a login, in either direction; the server's own limit for authentication
// messages.
inline constexpr std::size_t login_message_size_max = 65535;

struct Message {
    char tag = 0;
    std::string wire;
    Bytes body() const { return bytes(wire).subspan(5); }
};

// Takes one message off the connection and not a byte more.
boost::asio::awaitable<Result<Message>> read_message(Transport& transport, Deadline deadline);

using Heard = std::variant<Message, OpenFailure>;

struct ServerLeg {
    Transport transport;
    Side side = Side::source;
    Deadline deadline;
    std::string greeting;  // Notices so far; they go to the client with the rest.

    // The next message that is no notice. An ErrorResponse is an OpenFailure that has it verbatim.
    boost::asio::awaitable<Heard> hear();
    boost::asio::awaitable<std::optional<OpenFailure>> say(std::string message);
    OpenFailure lost(const Error& cause) const;
    // The server has let the session in without a question, and nobody has asked the client
    // anything. A failure when that may be due to a certificate of Segue's own: it proves nothing
    // of the client.
    std::optional<OpenFailure> let_in_unasked() const;
};

// Answers the server's authentication requests, `request` being the first, until it says ok. Empty
// on success; an OpenFailure also when the credentials are not of the kind that the server asks
// for. Both arguments outlive the call.
boost::asio::awaitable<std::optional<OpenFailure>> authenticate(ServerLeg& leg,
                                                                Message request,
                                                                const Credentials& credentials,
                                                                std::string_view user);

// After AuthenticationOk: collects everything up to ReadyForQuery.
boost::asio::awaitable<Opened> finish_login(ServerLeg leg);

// Fresh randomness in printable form, for SCRAM.
std::string random_nonce();

}  // namespace segue::proxy
