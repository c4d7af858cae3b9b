// A relay thread's events: from its ring, where there is one, and its epoll.
#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <array>
#include <cassert>

#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"
#include "proxy/socket_ring.hpp"

namespace segue::proxy {

namespace {

// In a long turn the first answers do not wait for the last.
constexpr int completions_per_submission = 64;

constexpr std::chrono::microseconds no_look{0};

// As epoll would tell of it.
std::uint32_t events_of(RingOutcome outcome) {
    switch (outcome) {
        case RingOutcome::bytes:
        case RingOutcome::ready:
            return EPOLLIN;
        case RingOutcome::ended:
            return EPOLLIN | EPOLLRDHUP;
        case RingOutcome::broken:
            return EPOLLIN | EPOLLERR;
        case RingOutcome::unsent:
            return EPOLLOUT;
        case RingOutcome::cancelled:
        case RingOutcome::epoll:
            return 0;
    }
    return 0;
}

Io end_of(RingOutcome outcome) {
    if (outcome == RingOutcome::ended) return Io::closed;
    return outcome == RingOutcome::broken ? Io::failed : Io::ok;
}

}  // namespace

void RelayThread::take_events(std::chrono::milliseconds timeout) {
    if (!ring_) {
        take_epoll_events(timeout);
        return;
    }
    const auto longest_look = timeout.count() == 0 ? no_look : lone_.begin(turn_.now);
    if (longest_look > no_look) {
        ring_->look(longest_look);
        lone_.looked();
    }
    ring_->wait(timeout);
    begin_turn();
    for (int taken = 1; const auto completion = ring_->next(); ++taken) {
        if (completion->outcome == RingOutcome::epoll) {
            take_epoll_events(std::chrono::milliseconds{0});
        } else {
            take_completion(*completion);
        }
        if (taken % completions_per_submission == 0) ring_->submit();
    }
}

void RelayThread::take_epoll_events(std::chrono::milliseconds timeout) {
    std::array<epoll_event, events_per_turn_max> events;
    const int count = ::epoll_wait(
        epoll_fd_, events.data(), events_per_turn_max, static_cast<int>(timeout.count()));
    if (!ring_) begin_turn();
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.u64 == wake_up) {
            drain_wake_ups();
            continue;
        }
        auto& slot = *reinterpret_cast<Slot*>(event.data.u64 & ~(server_bit | other_bit));
        if (slot.removed) continue;  // Earlier in this turn; it lies in the graveyard.
        lone_.brought(&slot);
        if ((event.data.u64 & other_bit) != 0) {
            slot.relay.on_other(event.events, turn_);
        } else {
            tell(slot, (event.data.u64 & server_bit) != 0, event.events);
        }
        settle(slot);
    }
}

void RelayThread::take_completion(const RingCompletion& completion) {
    auto& slot = *reinterpret_cast<Slot*>(completion.key & ~server_bit);
    const bool server = (completion.key & server_bit) != 0;
    if (completion.outcome == RingOutcome::unsent) {
        if (slot.removed || slot.relay.session() == nullptr) return;
        tell(slot, server, EPOLLOUT);
        return settle(slot);
    }
    lone_.brought(&slot);
    Watched& watched = server ? slot.server : slot.client;
    watched.receiving = watched.cancelling = false;
    if (slot.removed) return;
    assert(slot.relay.session() != nullptr);  // Nothing is lent that the ring reads.
    Session& session = *slot.relay.session();
    Transport& transport = server ? session.backend.transport : session.client;
    transport.received(completion.bytes, completion.filled, end_of(completion.outcome));
    tell(slot, server, events_of(completion.outcome));
    transport.keep_received();
    settle(slot);
}

void RelayThread::tell(Slot& slot, bool server, std::uint32_t events) {
    if (events == 0) return;
    if (server) {
        slot.relay.on_server(events, turn_);
    } else {
        slot.relay.on_client(events, turn_);
    }
}

// Lets the ring receive what is wanted from the socket, where it can. Returns what is left for
// epoll.
std::uint32_t RelayThread::watch_by_ring(Watched& watched,
                                         Transport* transport,
                                         std::uint32_t wanted,
                                         std::uint64_t key) {
    // The ring tells of a stream's end only after the bytes before it, which nobody reads here.
    const bool only_watched =
        (wanted & EPOLLRDHUP) != 0 || transport == nullptr || !transport->is_open();
    if (watched.receiving) {
        if (!only_watched) return wanted & ~EPOLLIN;
        // Until that has happened, whatever comes is told by the receive's end.
        if (!watched.cancelling) ring_->cancel(key);
        watched.cancelling = true;
        return wanted & ~(EPOLLIN | EPOLLRDHUP);
    }
    if (only_watched || (wanted & EPOLLIN) == 0) return wanted;
    if (!transport->has_buffered_input()) {  // Else it is resumed.
        ring_->receive(watched.fd, key);
        transport->receiving();
        watched.receiving = true;
    }
    return wanted & ~EPOLLIN;
}

// From here on the ring does nothing with the session's sockets. What it has received is kept by
// them.
void RelayThread::leave_ring(Slot& slot) {
    if (!ring_) return;
    Session* session = slot.relay.session();
    const auto end = [&](Watched& watched, Transport& transport, std::uint64_t key) {
        if (!watched.receiving) return std::uint32_t{0};
        if (!watched.cancelling) ring_->cancel(key);
        const RingCompletion completion = ring_->await(key);
        watched.receiving = watched.cancelling = false;
        transport.received(completion.bytes, completion.filled, end_of(completion.outcome));
        transport.keep_received();
        return events_of(completion.outcome);
    };
    ring_->submit();
    const auto key = reinterpret_cast<std::uint64_t>(&slot);
    end(slot.server, session->backend.transport, key | server_bit);
    // That the client has sent something is known to nobody else.
    tell(slot, false, end(slot.client, session->client, key));
    ring_->submit();  // It may have been answered.
}

// Of many sessions that are about to leave it: together, and not each by a call of its own.
void RelayThread::cancel_server_receive(Slot& slot) {
    if (!slot.server.receiving || slot.server.cancelling) return;
    ring_->cancel(reinterpret_cast<std::uint64_t>(&slot) | server_bit);
    slot.server.cancelling = true;
}

void RelayThread::forget_in_ring(Slot& slot) {
    const auto key = reinterpret_cast<std::uint64_t>(&slot);
    if (slot.client.receiving) ring_->cancel(key);
    if (slot.server.receiving) ring_->cancel(key | server_bit);
    ring_->submit();
}

// Frees what has gone, unless something that is still to be looked at names it.
void RelayThread::bury() {
    if (ring_ && !ring_->taken()) return;
    std::erase_if(graveyard_, [this](const auto& slot) {
        return !ring_ || (!slot->client.receiving && !slot->server.receiving);
    });
}

void RelayThread::open_ring() {
    ring_ = SocketRing::open(epoll_fd_);
    if (!ring_) {
        spdlog::info("relay: io_uring is not permitted here: epoll moves the bytes");
        return;
    }
    for (const auto& [id, slot] : slots_) use_ring(*slot);
}

void RelayThread::use_ring(Slot& slot) {
    const auto key = reinterpret_cast<std::uint64_t>(&slot);
    slot.relay.send_later({ring_.get(), key}, {ring_.get(), key | server_bit});
}

void RelayThread::close_ring() {
    if (!ring_) return;
    ring_->submit();
    for (const auto& [id, slot] : slots_) slot->relay.send_later({}, {});
    ring_.reset();
    graveyard_.clear();
}

}  // namespace segue::proxy
