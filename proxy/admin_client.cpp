#include "proxy/admin_client.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <exception>
#include <optional>

namespace segue::proxy {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

using Stream = beast::basic_stream<asio::generic::stream_protocol, asio::any_io_executor>;
constexpr auto as_value = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t answer_size_max = 16 << 20;

struct Exchange {
    std::vector<Stream::endpoint_type> endpoints;
    http::request<http::string_body> request;
    Result<AdminAnswer> answer = Error{Errc::refused, "nobody listens"};
};

// `exchange` outlives the coroutine: the caller runs the context to its end.
asio::awaitable<void> run_exchange(asio::io_context& context, Exchange& exchange) {
    Stream stream{context};
    stream.expires_after(admin_answer_max);
    boost::system::error_code connected = asio::error::host_not_found;
    for (const auto& endpoint : exchange.endpoints) {
        const auto [error] = co_await stream.async_connect(endpoint, as_value);
        connected = error;
        if (!error) break;
    }
    if (connected) {
        exchange.answer = Error{Errc::refused, connected.message()};
        co_return;
    }
    const auto [write_error, written] =
        co_await http::async_write(stream, exchange.request, as_value);
    if (write_error) {
        exchange.answer = Error{Errc::closed, write_error.message()};
        co_return;
    }
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(answer_size_max);
    const auto [read_error, read] = co_await http::async_read(stream, buffer, parser, as_value);
    if (read_error) {
        exchange.answer = Error{Errc::closed, read_error.message()};
        co_return;
    }
    auto response = parser.release();
    exchange.answer = AdminAnswer{response.result_int(), std::move(response.body())};
}

void rethrow(std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::string AdminClient::shown_address() const {
    if (!address_.unix_path.empty()) return "unix:" + address_.unix_path;
    return address_.host + ":" + std::to_string(address_.port);
}

Result<AdminAnswer> AdminClient::exchange(const std::string& method,
                                          const std::string& path,
                                          const std::string& body) const {
    try {
        asio::io_context context;
        Exchange exchange;
        if (!address_.unix_path.empty()) {
            exchange.endpoints.emplace_back(
                asio::local::stream_protocol::endpoint{address_.unix_path});
        } else {
            asio::ip::tcp::resolver resolver{context};
            boost::system::error_code error;
            for (const auto& found :
                 resolver.resolve(address_.host, std::to_string(address_.port), error)) {
                exchange.endpoints.emplace_back(found.endpoint());
            }
        }
        exchange.request.method_string(method);
        exchange.request.target(path);
        exchange.request.version(11);
        exchange.request.keep_alive(false);
        exchange.request.set(http::field::host, "localhost");
        if (!token_.empty()) exchange.request.set(http::field::authorization, "Bearer " + token_);
        if (method == "POST") exchange.request.set(http::field::content_type, "application/json");
        exchange.request.body() = body;
        exchange.request.prepare_payload();
        asio::co_spawn(context, run_exchange(context, exchange), rethrow);
        context.run();
        return std::move(exchange.answer);
    } catch (const std::exception& error) {
        return Error{Errc::io, error.what()};
    }
}

}  // namespace segue::proxy
