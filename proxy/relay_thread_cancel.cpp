// A relay thread's cancel requests: who answers them, and that none hits a statement of Segue's own
// on the session's backend.
#include <poll.h>

#include <cassert>

#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

namespace {

bool has_input(int fd) {
    pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, 0) > 0 && (poll.revents & POLLIN) != 0;
}

}  // namespace

std::optional<CancelTarget> RelayThread::cancel(std::uint64_t id) {
    Slot* slot = find(id);
    if (slot == nullptr) return std::nullopt;
    const Motion motion = slot->relay.motion();
    if (motion == Motion::away) {
        // A client that has asked for nothing yet has nothing to be cancelled: what it asks for
        // later is to run.
        if (slot->relay.waiting_since() || has_input(slot->client.fd))
            slot->relay.cancel_when_back();
        return std::nullopt;
    }
    if (motion == Motion::stopped) {
        slot->relay.cancel_waiting(turn_);
        settle(*slot);
        return std::nullopt;
    }
    if (slot->relay.has_shifted_read()) {
        slot->relay.cancel_shifted(turn_);
        settle(*slot);
        return std::nullopt;
    }
    ++slot->cancels;
    const Session& session = *slot->relay.session();
    return CancelTarget{id,
                        session.backend.side,
                        session.backend.pid,
                        session.backend.cancel_key,
                        session.client.uses_tls()};
}

void RelayThread::cancel_ended(std::uint64_t id) {
    Slot* slot = find(id);
    if (slot == nullptr) return;
    assert(slot->cancels > 0);
    --slot->cancels;
    if (slot->relay.motion() == Motion::stopped) on_stopped(*slot);
    settle(*slot);
}

}  // namespace segue::proxy
