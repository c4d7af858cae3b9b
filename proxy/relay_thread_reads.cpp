// A relay thread's part in shadow and shift.
#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

// Once a turn, so that a message costs no more than a look at a pointer.
void RelayThread::refresh_reads() {
    turn_.reads = reads_->refresh() ? &*reads_ : nullptr;
    const bool shift = turn_.reads != nullptr && reads_->knobs().shift_percent > 0;
    for (backfill::AppliedPosition* applied : peers_.applied) {
        if (applied != nullptr)
            applied->want_shown(shift && applied == peers_.applied[index(reads_->authority())]);
    }
    // As long as somebody waits, it is woken.
    shift_wanted_ = shift || (shift_wanted_ && !gated_.empty());
    subscribe_if_needed();
}

void RelayThread::give_up_waiting_reads() {
    std::vector<Slot*> waiting;
    for (Slot* slot : gated_) {
        if (slot->relay.waits_for_follower()) waiting.push_back(slot);
    }
    for (Slot* slot : waiting) {
        slot->relay.give_up_waiting(turn_);
        settle(*slot);
    }
}

}  // namespace segue::proxy
