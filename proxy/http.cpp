#include "proxy/http.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <exception>
#include <utility>
#include <variant>

#include "proxy/listening_problem.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

using Socket = asio::generic::stream_protocol::socket;
using Stream = beast::basic_stream<asio::generic::stream_protocol, asio::any_io_executor>;
using TcpAcceptor = asio::ip::tcp::acceptor;
using UnixAcceptor = asio::local::stream_protocol::acceptor;

constexpr auto as_value = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds accept_pause{
    100};  // After an accept failed, e.g. for want of descriptors.

// A socket file whose listener is gone is left behind by kill -9. One that answers is somebody's.
void remove_stale(const std::string& path, asio::io_context& context) {
    struct stat information {};
    if (stat(path.c_str(), &information) != 0 || !S_ISSOCK(information.st_mode)) return;
    asio::local::stream_protocol::socket probe{context};
    boost::system::error_code error;
    probe.connect(asio::local::stream_protocol::endpoint{path}, error);
    if (error) unlink(path.c_str());
}

template <class Acceptor>
boost::system::error_code open_acceptor(Acceptor& acceptor,
                                        const typename Acceptor::endpoint_type& endpoint) {
    boost::system::error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    return error;
}

}  // namespace

struct HttpServer::State {
    State(asio::io_context& io, Answer answers)
        : context(io), answer(std::move(answers)), tcp(io), local(io) {}
    asio::io_context& context;
    Answer answer;
    TcpAcceptor tcp;
    UnixAcceptor local;
    std::string unix_path;
    std::size_t connections = 0;
    bool stopped = false;
};

namespace {

template <class State>
asio::awaitable<void> serve_connection(std::shared_ptr<State> state, Socket socket) {
    Stream stream{std::move(socket)};
    beast::flat_buffer buffer{http_header_size_max + http_body_size_max};
    for (;;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(http_header_size_max);
        parser.body_limit(http_body_size_max);
        stream.expires_after(http_idle_max);
        const auto [read_error, read_size] =
            co_await http::async_read(stream, buffer, parser, as_value);
        if (read_error) break;

        auto request = parser.release();
        HttpRequest plain;
        plain.method = request.method_string();
        plain.path = request.target();
        plain.authorization = request[http::field::authorization];
        plain.content_type = request[http::field::content_type];
        plain.host = request[http::field::host];
        plain.by_file = !state->unix_path.empty();
        plain.body = std::move(request.body());
        HttpAnswer answer = state->answer(plain);

        http::response<http::string_body> response{static_cast<http::status>(answer.status),
                                                   request.version()};
        response.set(http::field::content_type, answer.content_type);
        response.set(http::field::cache_control, "no-store");
        response.set("Content-Security-Policy", answer.content_security_policy);
        response.set("X-Content-Type-Options", "nosniff");
        response.set("X-Frame-Options", "DENY");
        response.keep_alive(request.keep_alive() && !state->stopped);
        response.body() = std::move(answer.body);
        response.prepare_payload();
        stream.expires_after(http_idle_max);
        const auto [write_error, write_size] =
            co_await http::async_write(stream, response, as_value);
        if (write_error || !response.keep_alive()) break;
    }
    boost::system::error_code ignored;
    stream.socket().shutdown(Socket::shutdown_both, ignored);
}

template <class State, class Acceptor>
asio::awaitable<void> accept_all(std::shared_ptr<State> state, Acceptor& acceptor) {
    asio::steady_timer pause{state->context};
    while (!state->stopped) {
        Socket socket{state->context};
        const auto [error] = co_await acceptor.async_accept(socket, as_value);
        if (state->stopped) co_return;
        if (error) {
            pause.expires_after(accept_pause);
            co_await pause.async_wait(as_value);
            continue;
        }
        if (state->connections >= http_connections_max) continue;  // The socket closes here.
        ++state->connections;
        auto ended = [state](std::exception_ptr failure) {
            --state->connections;
            if (failure) spdlog::error("admin: a connection ended with an exception");
        };
        asio::co_spawn(
            state->context, serve_connection(state, std::move(socket)), std::move(ended));
    }
}

void report_end(std::exception_ptr failure) {
    if (failure) spdlog::error("admin: accepting ended with an exception");
}

}  // namespace

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() { stop(); }

void HttpServer::stop() {
    if (std::exchange(state_->stopped, true)) return;
    boost::system::error_code ignored;
    state_->tcp.close(ignored);
    state_->local.close(ignored);
    if (!state_->unix_path.empty()) unlink(state_->unix_path.c_str());
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(asio::io_context& context,
                                                       const Address& address,
                                                       Answer answer) {
    auto state = std::make_shared<State>(context, std::move(answer));
    boost::system::error_code error;
    std::string shown;
    if (!address.unix_path.empty()) {
        shown = "unix:" + address.unix_path;
        remove_stale(address.unix_path, context);
        error =
            open_acceptor(state->local, asio::local::stream_protocol::endpoint{address.unix_path});
        // Whoever may open the socket is the operator: no token is asked there.
        if (!error) chmod(address.unix_path.c_str(), S_IRUSR | S_IWUSR);
        if (!error) state->unix_path = address.unix_path;
        if (!error) asio::co_spawn(context, accept_all(state, state->local), report_end);
    } else {
        shown = address.host + ":" + std::to_string(address.port);
        asio::ip::tcp::resolver resolver{context};
        const auto found = resolver.resolve(address.host, std::to_string(address.port), error);
        if (!error) error = open_acceptor(state->tcp, found.begin()->endpoint());
        if (!error) asio::co_spawn(context, accept_all(state, state->tcp), report_end);
    }
    if (error) return Error{Errc::io, "[admin] address " + shown + ": " + listening_problem(error)};
    return std::unique_ptr<HttpServer>{new HttpServer{std::move(state)}};
}

}  // namespace segue::proxy
