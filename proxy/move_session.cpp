#include "proxy/move_session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/postgres/notification_barrier.hpp"
#include "protocol/postgres/statement_check.hpp"
#include "proxy/ask.hpp"

namespace segue::proxy {

namespace {

using namespace protocol::postgres;
namespace asio = boost::asio;

asio::awaitable<Status> describe_statements(Transport& backend,
                                            const SessionState& state,
                                            MoveDeadline deadline,
                                            DescribedStatements& described) {
    const std::size_t all = descriptions_of(state);
    described.clear();
    while (described.size() < all) {
        const std::size_t first = described.size();
        const std::size_t count = std::min(all - first, descriptions_max);
        const std::string request = describe_request(state, first, count);
        const Status written = co_await write_all(backend, request, deadline);
        if (!written) co_return written.error();
        std::string reply;
        const auto parse = [&state, first, count](Bytes received) {
            return parse_describe_reply(received, state, first, count);
        };
        auto some = co_await read_answer<DescribedStatements>(backend, reply, parse, deadline);
        if (!some) co_return some.error();
        std::move(some->begin(), some->end(), std::back_inserter(described));
    }
    co_return Done{};
}

}  // namespace

asio::awaitable<Probed> probe_state(Transport& backend,
                                    const StateHints& hints,
                                    MoveDeadline deadline) {
    std::string for_client;
    const auto parse = [&hints](Bytes received) { return parse_probe_reply(received, hints); };
    Result<SessionState> state =
        co_await ask<SessionState>(backend, probe_request(hints), parse, deadline, for_client);
    co_return Probed{std::move(state), std::move(for_client)};
}

asio::awaitable<Checked> put_off_unusable_statements(Transport& backend,
                                                     SessionState& state,
                                                     std::chrono::milliseconds patience) {
    std::string for_client;
    std::vector<bool> unusable;
    const std::size_t all = checks_of(state);
    while (unusable.size() < all) {
        const std::size_t count = std::min(all - unusable.size(), statement_checks_max);
        const MoveDeadline deadline = std::chrono::steady_clock::now() + patience;
        const std::string request = statement_check_request(state, unusable.size(), count);
        const auto parse = [count](Bytes received) {
            return parse_statement_check_reply(received, count);
        };
        const auto some =
            co_await ask<std::vector<bool>>(backend, request, parse, deadline, for_client);
        if (!some) co_return Checked{some.error(), std::move(for_client)};
        unusable.insert(unusable.end(), some->begin(), some->end());
    }
    put_off_unusable(state, unusable);
    co_return Checked{Done{}, std::move(for_client)};
}

asio::awaitable<Status> restore_state(Transport& backend,
                                      const SessionState& state,
                                      bool reset,
                                      MoveDeadline deadline,
                                      DescribedStatements* described) {
    std::string reply;
    if (reset) {
        const std::string request = reset_request();
        const Status written = co_await write_all(backend, request, deadline);
        if (!written) co_return written.error();
        const Result<Done> done =
            co_await read_answer<Done>(backend, reply, check_restore_reply, deadline);
        if (!done) co_return done.error();
        reply.clear();
    }
    TypeOids oids;
    const std::string resolve = resolve_request(state);
    if (!resolve.empty()) {
        const Status written = co_await write_all(backend, resolve, deadline);
        if (!written) co_return written.error();
        const auto parse = [&state](Bytes received) {
            return parse_resolve_reply(received, state);
        };
        Result<TypeOids> resolved = co_await read_answer<TypeOids>(backend, reply, parse, deadline);
        if (!resolved) co_return resolved.error();
        oids = std::move(*resolved);
        reply.clear();
    }
    const Result<std::string> request = restore_request(state, oids);
    if (!request) co_return request.error();
    const Status written = co_await write_all(backend, *request, deadline);
    if (!written) co_return written.error();
    const Result<Done> restored =
        co_await read_answer<Done>(backend, reply, check_restore_reply, deadline);
    if (!restored) co_return restored.error();
    if (described != nullptr)
        co_return co_await describe_statements(backend, state, deadline, *described);
    co_return Done{};
}

asio::awaitable<Notified> read_notifications(Transport& backend,
                                             const std::string& channel,
                                             MoveDeadline deadline) {
    const std::string request = barrier_request(channel);
    std::string reply;
    const Status written = co_await write_all(backend, request, deadline);
    if (!written) {
        co_await read_last_words(backend, reply);
        co_return Notified{written.error(), messages_for_client(bytes(reply))};
    }
    const auto parse = [&channel](Bytes received) {
        return parse_barrier_reply(received, channel);
    };
    Result<std::string> read = co_await read_answer<std::string>(backend, reply, parse, deadline);
    if (!read) co_return Notified{read.error(), messages_for_client(bytes(reply))};
    co_return Notified{Done{}, std::move(*read)};
}

bool is_usable(const std::optional<Backend>& backend, Side side) {
    return backend && backend->side == side && is_usable(*backend);
}

bool is_usable(const Backend& backend) {
    char first = 0;
    const ssize_t peeked = ::recv(backend.transport.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (peeked < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    // An idle server that says an error is about to close. Below TLS nothing can be told of the
    // bytes.
    return peeked > 0 && (backend.transport.uses_tls() || first != 'E');
}

}  // namespace segue::proxy
