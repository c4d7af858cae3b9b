#include "proxy/listener.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstring>
#include <exception>
#include <utility>

#include "proxy/listening_problem.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using local = asio::local::stream_protocol;

struct Listener::State {
    State(asio::io_context& io,
          std::shared_ptr<const LoginServices> login_services,
          OnFailure failure)
        : context(io), services(std::move(login_services)), on_failure(std::move(failure)) {}
    asio::io_context& context;
    std::shared_ptr<const LoginServices> services;
    OnFailure on_failure;
    std::vector<std::unique_ptr<tcp::acceptor>> tcp_acceptors;
    std::vector<std::unique_ptr<local::acceptor>> local_acceptors;
    std::vector<std::string> paths;
    std::size_t logins = 0;
    bool stopping = false;
};

namespace {

constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds pause_when_full{10};
constexpr std::chrono::milliseconds pause_after_failure{
    100};  // Out of descriptors: others must end first.

Error cannot_listen(const std::string& where, const boost::system::error_code& why) {
    return {Errc::refused, "cannot listen on " + where + ": " + listening_problem(why)};
}

template <class Acceptor, class Endpoint>
boost::system::error_code bind_to(Acceptor& acceptor, const Endpoint& endpoint) {
    boost::system::error_code failure;
    acceptor.open(endpoint.protocol(), failure);
    if (!failure) acceptor.set_option(asio::socket_base::reuse_address(true), failure);
    if (!failure) acceptor.bind(endpoint, failure);
    if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
    return failure;
}

Result<std::unique_ptr<tcp::acceptor>> listen_tcp(asio::io_context& context,
                                                  const Address& address) {
    const std::string where = address.host + ":" + std::to_string(address.port);
    boost::system::error_code failure;
    tcp::resolver resolver(context);
    const auto found = resolver.resolve(
        address.host, std::to_string(address.port), tcp::resolver::passive, failure);
    if (failure || found.empty()) return cannot_listen(where, failure);
    auto acceptor = std::make_unique<tcp::acceptor>(context);
    failure = bind_to(*acceptor, found.begin()->endpoint());
    if (failure) return cannot_listen(where, failure);
    return acceptor;
}

// A socket file that nobody answers on is left over from a crash.
bool is_stale(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const bool refused =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno == ECONNREFUSED;
    ::close(fd);
    return refused;
}

Result<std::unique_ptr<local::acceptor>> listen_local(asio::io_context& context,
                                                      const std::string& path) {
    if (path.size() >= sizeof(sockaddr_un{}.sun_path))
        return Error{Errc::refused, "cannot listen on " + path + ": the path is too long"};
    if (is_stale(path)) ::unlink(path.c_str());
    auto acceptor = std::make_unique<local::acceptor>(context);
    const auto failure = bind_to(*acceptor, local::endpoint{path});
    if (failure) return cannot_listen(path, failure);
    constexpr mode_t everybody =
        0777;  // As PostgreSQL's own: who may log in is decided by the server.
    (void)::chmod(path.c_str(), everybody);
    return acceptor;
}

// The state is shared: the listener may be destroyed while a login is under way.
template <class StatePointer>
asio::awaitable<void> log_one_in(StatePointer state, Transport client, bool unix_socket) {
    const std::shared_ptr<const LoginServices> services = state->services;
    const Status done = co_await serve_login(std::move(client), unix_socket, *services);
    if (!done && state->on_failure) state->on_failure(done.error());
}

template <class StatePointer>
void spawn_login(const StatePointer& state, Transport client, bool unix_socket) {
    ++state->logins;
    auto on_end = [state](std::exception_ptr thrown) {
        --state->logins;
        if (!thrown) return;
        try {
            std::rethrow_exception(thrown);
        } catch (const std::exception& exception) {
            if (state->on_failure)
                state->on_failure(
                    {Errc::io, std::string{"login ended by an exception: "} + exception.what()});
        }
    };
    asio::co_spawn(
        state->context, log_one_in(state, std::move(client), unix_socket), std::move(on_end));
}

template <class StatePointer, class Acceptor>
asio::awaitable<void> accept_clients(StatePointer state, Acceptor& acceptor, bool unix_socket) {
    while (!state->stopping) {
        auto [error, socket] = co_await acceptor.async_accept(use_tuple);
        if (state->stopping) co_return;
        if (error) {
            co_await pause_for(pause_after_failure);
            continue;
        }
        spawn_login(state, Transport{socket.release()}, unix_socket);
        while (state->logins >= Listener::logins_max && !state->stopping)
            co_await pause_for(pause_when_full);
    }
}

}  // namespace

Listener::Listener(std::shared_ptr<State> state) : state_(std::move(state)) {}

Listener::~Listener() { stop(); }

Result<std::unique_ptr<Listener>> Listener::open(asio::io_context& context,
                                                 const std::vector<Address>& addresses,
                                                 std::shared_ptr<const LoginServices> services,
                                                 OnFailure on_failure) {
    std::signal(SIGPIPE, SIG_IGN);
    auto state = std::make_shared<State>(context, std::move(services), std::move(on_failure));
    for (const Address& address : addresses) {
        if (address.unix_path.empty()) {
            auto acceptor = listen_tcp(context, address);
            if (!acceptor) return acceptor.error();
            state->tcp_acceptors.push_back(std::move(*acceptor));
        } else {
            auto acceptor = listen_local(context, address.unix_path);
            if (!acceptor) return acceptor.error();
            state->local_acceptors.push_back(std::move(*acceptor));
            state->paths.push_back(address.unix_path);
        }
    }
    return std::unique_ptr<Listener>{new Listener(std::move(state))};
}

void Listener::start() {
    auto on_end = [state = state_](std::exception_ptr thrown) {
        if (thrown && state->on_failure)
            state->on_failure({Errc::io, "accepting clients ended by an exception"});
    };
    for (const auto& acceptor : state_->tcp_acceptors) {
        asio::co_spawn(state_->context, accept_clients(state_, *acceptor, false), on_end);
    }
    for (const auto& acceptor : state_->local_acceptors) {
        asio::co_spawn(state_->context, accept_clients(state_, *acceptor, true), on_end);
    }
}

void Listener::use(std::shared_ptr<const LoginServices> services) {
    state_->services = std::move(services);
}

void Listener::stop() {
    if (std::exchange(state_->stopping, true)) return;
    boost::system::error_code ignored;  // Closing is all that is wanted.
    for (const auto& acceptor : state_->tcp_acceptors) acceptor->close(ignored);
    for (const auto& acceptor : state_->local_acceptors) acceptor->close(ignored);
    for (const std::string& path : state_->paths) ::unlink(path.c_str());
}

std::vector<std::uint16_t> Listener::ports() const {
    std::vector<std::uint16_t> ports;
    for (const auto& acceptor : state_->tcp_acceptors) {
        boost::system::error_code ignored;  // An acceptor that is open has an endpoint.
        ports.push_back(acceptor->local_endpoint(ignored).port());
    }
    return ports;
}

}  // namespace segue::proxy
