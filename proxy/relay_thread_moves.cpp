// Forced moves, for development: a session stops at a boundary now and then and goes on on its
// other connection, as in a change of authority, while the others go on.
#include <random>
#include <utility>

#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

void RelayThread::force_move_sometimes(Slot& slot) {
    const Session* session = slot.relay.session();
    if (slot.passed_through || slot.moving || session == nullptr || !session->movable) return;
    if (slot.relay.motion() != Motion::running || slot.relay.ending() != Ending::no) return;
    if (!session->boundary.at_boundary()) {
        slot.between_boundaries = true;
        return;
    }
    if (!std::exchange(slot.between_boundaries, false)) return;
    if (std::uniform_int_distribution{1, 100}(dice_) > peers_.move_percent) return;
    slot.moving = true;
    // A cancel request is for the request that waits here, not for the backend.
    peers_.directory->set_held(slot.id, true);
    slot.relay.stop(turn_);
    peers_.move(slot.id);
}

void RelayThread::end_forced_move(std::uint64_t id, bool ready) {
    Slot* slot = find(id);
    if (slot == nullptr || !slot->moving) return;
    slot->moving = false;
    if (slot->relay.session() != nullptr) leave_ring(*slot);
    peers_.directory->set_held(id, false);
    Session* session = slot->relay.session();
    if (ready && session != nullptr && slot->relay.motion() == Motion::stopped && session->other &&
        session->other_state) {
        slot->relay.swap_backends();
        change_server(*slot);
        peers_.directory->update_backends(*session);
    }
    slot->relay.go(turn_);
    settle(*slot);
}

}  // namespace segue::proxy
