#include "proxy/wait.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <memory>

namespace segue::proxy {

namespace asio = boost::asio;

namespace {

constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t read_size = 16u << 10;

using Descriptor = asio::posix::stream_descriptor;

asio::awaitable<Status> wait_for(int fd, Descriptor::wait_type what, Deadline deadline) {
    if (fd < 0) co_return Error{Errc::closed, "connection closed"};
    const auto executor = co_await asio::this_coro::executor;
    // Two owners: this coroutine, and the timer's handler, which may already be queued when the
    // wait ends.
    const auto descriptor = std::make_shared<Descriptor>(executor);
    boost::system::error_code failure;
    descriptor->assign(fd, failure);
    if (failure) co_return Error{Errc::io, failure.message()};
    const auto expired = std::make_shared<bool>(false);
    asio::steady_timer timer(executor, deadline);
    auto on_deadline = [descriptor, expired](boost::system::error_code cancelled) {
        if (cancelled || !descriptor->is_open()) return;
        *expired = true;
        boost::system::error_code ignored;  // A wait that has just ended cannot be cancelled.
        descriptor->cancel(ignored);
    };
    timer.async_wait(std::move(on_deadline));
    const auto [error] = co_await descriptor->async_wait(what, use_tuple);
    timer.cancel();
    descriptor->release();
    if (*expired) co_return Error{Errc::timed_out, "no answer in time"};
    if (error) co_return Error{Errc::io, error.message()};
    co_return Done{};
}

// After one attempt that moved nothing: waits for what it needs, or says why it is over.
asio::awaitable<Status> wait_after(const Transport& transport, Io io, Deadline deadline) {
    switch (io) {
        case Io::ok:
            break;
        case Io::want_read:
            co_return co_await wait_for(transport.fd(), Descriptor::wait_read, deadline);
        case Io::want_write:
            co_return co_await wait_for(transport.fd(), Descriptor::wait_write, deadline);
        case Io::closed:
            co_return Error{Errc::closed, "connection closed by the peer"};
        case Io::failed:
            co_return Error{Errc::io, "connection lost"};
    }
    co_return Done{};
}

}  // namespace

asio::awaitable<Status> wait_readable(const Transport& transport, Deadline deadline) {
    if (transport.has_buffered_input()) co_return Done{};
    co_return co_await wait_for(transport.fd(), Descriptor::wait_read, deadline);
}

asio::awaitable<Status> wait_writable(const Transport& transport, Deadline deadline) {
    co_return co_await wait_for(transport.fd(), Descriptor::wait_write, deadline);
}

asio::awaitable<Status> write_all(Transport& transport, std::string_view from, Deadline deadline) {
    while (!from.empty()) {
        const IoOutcome outcome = transport.write_some(bytes(from));
        if (outcome.io == Io::ok) {
            from.remove_prefix(outcome.size);
            continue;
        }
        const Status waited = co_await wait_after(transport, outcome.io, deadline);
        if (!waited) co_return waited.error();
    }
    co_return Done{};
}

asio::awaitable<Status> read_more(Transport& transport,
                                  std::string& into,
                                  std::size_t size_max,
                                  Deadline deadline) {
    std::array<std::byte, read_size> scratch;
    for (;;) {
        const IoOutcome outcome = transport.read_some(
            MutableBytes{scratch}.first(size_max < read_size ? size_max : read_size));
        if (outcome.io == Io::ok) {
            into.append(text(Bytes{scratch}.first(outcome.size)));
            co_return Done{};
        }
        const Status waited = co_await wait_after(transport, outcome.io, deadline);
        if (!waited) co_return waited.error();
    }
}

asio::awaitable<Status> read_exactly(Transport& transport,
                                     std::string& into,
                                     std::size_t size,
                                     Deadline deadline) {
    const std::size_t wanted = into.size() + size;
    while (into.size() < wanted) {
        const Status more = co_await read_more(transport, into, wanted - into.size(), deadline);
        if (!more) co_return more.error();
    }
    co_return Done{};
}

asio::awaitable<void> pause_for(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    (void)co_await timer.async_wait(use_tuple);
}

}  // namespace segue::proxy
