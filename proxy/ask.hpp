#pragma once
// One request of our own on a server's connection that nobody else reads meanwhile, and its answer.
// Control plane coroutines.

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <variant>

#include "protocol/postgres/session_state.hpp"
#include "protocol/result.hpp"
#include "proxy/transport.hpp"
#include "proxy/wait.hpp"

namespace segue::proxy {

using MoveDeadline = std::chrono::steady_clock::time_point;

inline constexpr std::size_t answer_read_size_max = 64 * 1024;

// Nothing of a message's end is still on its way: the next reader starts at a tag.
bool ends_between_messages(Bytes received);
// Whole messages of a server, an ErrorResponse among them.
bool says_error(Bytes messages);
// A server that takes no more may have said why before it went.
boost::asio::awaitable<void> read_last_words(Transport& backend, std::string& reply);

// Reads until `parse` has its answer and the connection stands between two messages.
template <class T, class Parse>
boost::asio::awaitable<Result<T>> read_answer(Transport& backend,
                                              std::string& reply,
                                              Parse parse,
                                              MoveDeadline deadline) {
    for (;;) {
        Step<T> step = parse(bytes(reply));
        const bool more =
            std::holds_alternative<NeedMore>(step) || !ends_between_messages(bytes(reply));
        if (!more) {
            if (auto* error = std::get_if<Error>(&step)) co_return std::move(*error);
            co_return std::get<T>(std::move(step));
        }
        // A fatal error is followed by the connection's end, no ReadyForQuery.
        const Status read = co_await read_more(backend, reply, answer_read_size_max, deadline);
        if (read) continue;
        if (auto* error = std::get_if<Error>(&step))
            co_return Error{Errc::closed, error->detail, error->sqlstate};
        co_return read.error();
    }
}

// Errc::server: refused, and the connection stands at its boundary again. After any other error it
// cannot be used any more. `for_client` gets what the server said to the client meanwhile; its last
// words too.
template <class T, class Parse>
boost::asio::awaitable<Result<T>> ask(Transport& backend,
                                      const std::string& request,
                                      Parse parse,
                                      MoveDeadline deadline,
                                      std::string& for_client) {
    std::string reply;
    const Status written = co_await write_all(backend, request, deadline);
    if (!written) {
        co_await read_last_words(backend, reply);
        for_client += protocol::postgres::messages_for_client(bytes(reply));
        co_return written.error();
    }
    Result<T> answer = co_await read_answer<T>(backend, reply, std::move(parse), deadline);
    for_client += protocol::postgres::messages_for_client(bytes(reply));
    co_return answer;
}

}  // namespace segue::proxy
