#include "proxy/move_session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/notification_barrier.hpp"
#include "protocol/postgres/statement_check.hpp"
#include "proxy/wait.hpp"

namespace segue::proxy {

namespace {

using namespace protocol::postgres;
namespace asio = boost::asio;

constexpr std::size_t read_size_max = 64 * 1024;

// Nothing of a message's end is still on its way: the next reader starts at a tag.
bool ends_between_messages(Bytes received) {
    while (!received.empty()) {
        const Step<Frame> step = next_frame(received, state_reply_size_max);
        const auto* frame = std::get_if<Frame>(&step);
        if (frame == nullptr) return false;
        received = received.subspan(frame->wire.size());
    }
    return true;
}

// Reads until `parse` has its answer and the connection stands between two messages.
template <class T, class Parse>
asio::awaitable<Result<T>> read_answer(Transport& backend, std::string& reply, Parse parse, MoveDeadline deadline) {
    for (;;) {
        Step<T> step = parse(bytes(reply));
        const bool more = std::holds_alternative<NeedMore>(step) || !ends_between_messages(bytes(reply));
        if (!more) {
            if (auto* error = std::get_if<Error>(&step)) co_return std::move(*error);
            co_return std::get<T>(std::move(step));
        }
        // A fatal error is followed by the connection's end, no ReadyForQuery.
        const Status read = co_await read_more(backend, reply, read_size_max, deadline);
        if (read) continue;
        if (auto* error = std::get_if<Error>(&step)) co_return Error{Errc::closed, error->detail, error->sqlstate};
        co_return read.error();
    }
}

// A server that takes no more may have said why before it went.
asio::awaitable<void> read_last_words(Transport& backend, std::string& reply) {
    constexpr std::chrono::milliseconds there_already{50};
    const auto deadline = std::chrono::steady_clock::now() + there_already;
    while (reply.size() < read_size_max) {
        const Status read = co_await read_more(backend, reply, read_size_max, deadline);
        if (!read) co_return;
    }
}

}  // namespace

asio::awaitable<Probed> probe_state(Transport& backend, const StateHints& hints, MoveDeadline deadline) {
    const std::string request = probe_request(hints);
    std::string reply;
    const Status written = co_await write_all(backend, request, deadline);
    if (!written) {
        co_await read_last_words(backend, reply);
        co_return Probed{written.error(), messages_for_client(bytes(reply))};
    }
    const auto parse = [&hints](Bytes received) { return parse_probe_reply(received, hints); };
    Result<SessionState> state = co_await read_answer<SessionState>(backend, reply, parse, deadline);
    co_return Probed{std::move(state), messages_for_client(bytes(reply))};
}

asio::awaitable<Checked> forget_unusable_statements(Transport& backend, SessionState& state, std::chrono::milliseconds patience) {
    std::string for_client;
    std::vector<bool> unusable;
    const std::size_t all = checks_of(state);
    while (unusable.size() < all) {
        const std::size_t count = std::min(all - unusable.size(), statement_checks_max);
        const MoveDeadline deadline = std::chrono::steady_clock::now() + patience;
        const std::string request = statement_check_request(state, unusable.size(), count);
        std::string reply;
        const Status written = co_await write_all(backend, request, deadline);
        if (!written) {
            co_await read_last_words(backend, reply);
            co_return Checked{written.error(), for_client + messages_for_client(bytes(reply))};
        }
        const auto parse = [count](Bytes received) { return parse_statement_check_reply(received, count); };
        const Result<std::vector<bool>> some = co_await read_answer<std::vector<bool>>(backend, reply, parse, deadline);
        for_client += messages_for_client(bytes(reply));
        if (!some) co_return Checked{some.error(), std::move(for_client)};
        unusable.insert(unusable.end(), some->begin(), some->end());
    }
    forget_unusable(state, unusable);
    co_return Checked{Done{}, std::move(for_client)};
}

asio::awaitable<Status> restore_state(Transport& backend, const SessionState& state, bool reset, MoveDeadline deadline,
                                      DescribedStatements* described) {
    std::string reply;
    if (reset) {
        const std::string request = reset_request();
        const Status written = co_await write_all(backend, request, deadline);
        if (!written) co_return written.error();
        const Result<Done> done = co_await read_answer<Done>(backend, reply, check_restore_reply, deadline);
        if (!done) co_return done.error();
        reply.clear();
    }
    TypeOids oids;
    const std::string resolve = resolve_request(state);
    if (!resolve.empty()) {
        const Status written = co_await write_all(backend, resolve, deadline);
        if (!written) co_return written.error();
        const auto parse = [&state](Bytes received) { return parse_resolve_reply(received, state); };
        Result<TypeOids> resolved = co_await read_answer<TypeOids>(backend, reply, parse, deadline);
        if (!resolved) co_return resolved.error();
        oids = std::move(*resolved);
        reply.clear();
    }
    const Descriptions descriptions = described != nullptr ? Descriptions::wanted : Descriptions::none;
    const Result<std::string> request = restore_request(state, oids, descriptions);
    if (!request) co_return request.error();
    const Status written = co_await write_all(backend, *request, deadline);
    if (!written) co_return written.error();
    Result<Done> restored = co_await read_answer<Done>(backend, reply, check_restore_reply, deadline);
    if (restored && described != nullptr) *described = described_statements(bytes(reply), state);
    co_return restored;
}

asio::awaitable<Notified> read_notifications(Transport& backend, const std::string& channel, MoveDeadline deadline) {
    const std::string request = barrier_request(channel);
    std::string reply;
    const Status written = co_await write_all(backend, request, deadline);
    if (!written) {
        co_await read_last_words(backend, reply);
        co_return Notified{written.error(), messages_for_client(bytes(reply))};
    }
    const auto parse = [&channel](Bytes received) { return parse_barrier_reply(received, channel); };
    Result<std::string> read = co_await read_answer<std::string>(backend, reply, parse, deadline);
    if (!read) co_return Notified{read.error(), messages_for_client(bytes(reply))};
    co_return Notified{Done{}, std::move(*read)};
}

bool is_usable(const std::optional<Backend>& backend, Side side) {
    if (!backend || backend->side != side) return false;
    char first = 0;
    const ssize_t peeked = ::recv(backend->transport.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (peeked < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    // An idle server that says an error is about to close. Below TLS nothing can be told of the bytes.
    return peeked > 0 && (backend->transport.uses_tls() || first != 'E');
}

}  // namespace segue::proxy
