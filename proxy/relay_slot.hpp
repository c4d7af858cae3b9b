#pragma once
// One session's place in a relay thread: its relay, and what epoll has been told of its sockets.
// Only for the files of RelayThread.

#include <cstdint>

#include "proxy/relay.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

struct RelayThread::Slot {
    explicit Slot(std::unique_ptr<Session> session) : relay(std::move(session)) {}

    // What epoll watches; -1 and 0 when nothing.
    struct Watched {
        int fd = -1;
        std::uint32_t events = 0;
        bool once = false;  // Edge-triggered. Not with TLS, which does not say when it has emptied
                            // the socket.
    };

    void watch_server(const Transport& transport) {
        server = {transport.fd(), 0, !transport.uses_tls()};
    }

    std::uint64_t id = 0;
    Relay relay;
    Watched client, server;
    Watched other;                   // The follower's, while it answers a read.
    LendReceiver receiver;           // Somebody waits for the session,
    Clock::time_point lend_until{};  // no longer than until here.
    int cancels = 0;                 // On their way to its server.
    bool passed_through = false;
    bool newcomer = false;     // Let in during a hold; not stopped before the next one.
    bool in_gated = false;     // Listed in gated_.
    bool in_buffered = false;  // Listed in buffered_.
    bool between_boundaries =
        false;            // Since the last boundary at which a move could have been forced.
    bool moving = false;  // Stopped for a forced move.
};

}  // namespace segue::proxy
