#pragma once
// One session's place in a relay thread: its relay, and what epoll and the ring have been told of
// its sockets. Only for the files of RelayThread.

#include <cstdint>

#include "proxy/relay.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

// User data of epoll and keys of the ring: a slot's address, and which of its sockets; 0 is the
// wake-up.
inline constexpr std::uint64_t server_bit = 1;
inline constexpr std::uint64_t other_bit = 2;
inline constexpr std::uint64_t wake_up = 0;

struct RelayThread::Slot {
    explicit Slot(std::unique_ptr<Session> session) : relay(std::move(session)) {}

    void watch_server(const Transport& transport) {
        server = {.fd = transport.fd(), .once = !transport.uses_tls()};
    }

    std::uint64_t id = 0;
    Relay relay;
    Watched client, server;
    Watched other;                   // The follower's, while it answers a read.
    LendReceiver receiver;           // Somebody waits for the session,
    Clock::time_point lend_until{};  // no longer than until here.
    int cancels = 0;                 // On their way to its server.
    std::uint32_t transactions = 0;  // That are in RelayThread::transactions_.
    std::uint32_t requests = 0;      // That are in RelayThread::requests_.
    std::uint32_t errors = 0;        // That are in RelayThread::errors_.
    bool passed_through = false;
    bool newcomer = false;  // Let in during a hold; not stopped before the next one.
    bool removed = false;
    bool in_gated = false;     // Listed in gated_.
    bool in_buffered = false;  // Listed in buffered_.
    bool between_boundaries =
        false;            // Since the last boundary at which a move could have been forced.
    bool moving = false;  // Stopped for a forced move.
};

}  // namespace segue::proxy
