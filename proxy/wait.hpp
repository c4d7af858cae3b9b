#pragma once
// Waiting on a Transport in the control plane: readiness by Asio, with a deadline. The descriptor
// stays the Transport's: it is registered for the time of one wait only, so that a relay thread may
// own it before and after.

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "protocol/result.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

using Deadline = std::chrono::steady_clock::time_point;

// Errc::timed_out at the deadline. One waiter per descriptor at a time. The Transport outlives the
// wait.
boost::asio::awaitable<Status> wait_readable(const Transport& transport, Deadline deadline);
boost::asio::awaitable<Status> wait_writable(const Transport& transport, Deadline deadline);

// Writes all of `from`, which the caller keeps alive.
boost::asio::awaitable<Status> write_all(Transport& transport,
                                         std::string_view from,
                                         Deadline deadline);

// Appends at least one and at most `size_max` bytes to `into`. Errc::closed at the peer's orderly
// end.
boost::asio::awaitable<Status> read_more(Transport& transport,
                                         std::string& into,
                                         std::size_t size_max,
                                         Deadline deadline);

// Appends exactly `size` bytes, so that nothing behind a message is taken off the socket.
boost::asio::awaitable<Status> read_exactly(Transport& transport,
                                            std::string& into,
                                            std::size_t size,
                                            Deadline deadline);

boost::asio::awaitable<void> pause_for(std::chrono::milliseconds time);

}  // namespace segue::proxy
