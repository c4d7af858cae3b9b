#pragma once
// The client's leg of a login: what is said before a server is chosen, and the questions asked for
// the server's sake.

#include <boost/asio/awaitable.hpp>

#include <string>
#include <string_view>
#include <variant>

#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/messages_startup.hpp"
#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "proxy/transport.hpp"
#include "proxy/wait.hpp"

namespace segue::proxy {

class ClientTls;

// What a client has come for.
using Hello =
    std::variant<protocol::postgres::StartupMessage, protocol::postgres::CancelRequest, Error>;

struct ClientLeg {
    Transport transport;
    bool unix_socket = false;
    Deadline deadline;
    bool refused = false;

    // TLS and GSS negotiation up to the startup packet or cancel request. `tls` may be null. What
    // can be answered has been answered.
    boost::asio::awaitable<Hello> greet(const ClientTls* tls, ListenTls wanted);

    boost::asio::awaitable<Status> say(std::string message);
    // Sends `question`, takes the body of the PasswordMessage or SASL response that must follow. A
    // secret: wipe it.
    boost::asio::awaitable<Result<std::string>> ask(std::string question);
    // Says why and gives up; best effort, and only once. Returns the same as an Error.
    boost::asio::awaitable<Error> refuse(std::string sqlstate,
                                         std::string message,
                                         std::string hint);

private:
    boost::asio::awaitable<Status> direct_tls(const ClientTls* tls);
    boost::asio::awaitable<Status> answer_ssl_request(const ClientTls* tls);
    boost::asio::awaitable<Hello> take_startup(std::uint32_t code,
                                               std::string packet,
                                               ListenTls wanted);
};

}  // namespace segue::proxy
