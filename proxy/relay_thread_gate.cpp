// A relay thread's part of the gate: one question for all answers held in a turn, what releases
// them, and the policy when nothing does.
#include <algorithm>

#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

bool RelayThread::gate_holds() const {
    return gate_wanted_ && !peers_.gate_status->degraded.load(std::memory_order_relaxed);
}

// The follower's progress wakes this thread only while somebody may wait for it.
void RelayThread::subscribe_if_needed() {
    const bool wanted = gate_wanted_ || shift_wanted_;
    if (wanted == subscribed_) return;
    subscribed_ = wanted;
    for (backfill::AppliedPosition* applied : peers_.applied) {
        if (applied == nullptr) continue;
        wanted ? applied->subscribe(wake_fd_) : applied->unsubscribe(wake_fd_);
    }
    wanted ? peers_.positions->subscribe(wake_fd_) : peers_.positions->unsubscribe(wake_fd_);
    if (wanted) return;
    asked_[0].clear();
    asked_[1].clear();
}

void RelayThread::set_gate(bool closed) {
    if (peers_.positions == nullptr || closed == gate_wanted_) return;
    gate_wanted_ = closed;
    subscribe_if_needed();
    if (!closed) recovery_request_ = 0;
    if (closed && peers_.traffic != nullptr)
        peers_.positions->ask(peers_.traffic->authority);  // The first mark.
    apply_gate();
}

void RelayThread::apply_gate() {
    gate_applied_ = gate_holds();
    std::vector<Slot*> all;
    for (const auto& [id, slot] : slots_) all.push_back(slot.get());
    for (Slot* slot : all) {
        slot->relay.set_gate(gate_applied_);
        settle(*slot);
    }
}

// The question is put after all bytes of the turn have been received, so that its answer covers
// them.
void RelayThread::end_turn() {
    for (const Side side : {Side::source, Side::target}) {
        if (!turn_.token_wanted[index(side)]) continue;
        turn_.token_wanted[index(side)] = false;
        asked_[index(side)].push_back({turn_.number, peers_.positions->ask(side)});
        last_gated_side_ = side;
    }
    if (turn_.answers_held > 0) {
        peers_.gate_status->answers_held.fetch_add(turn_.answers_held, std::memory_order_relaxed);
        turn_.answers_held = 0;
    }
    ++turn_.number;
}

void RelayThread::take_tokens() {
    if (subscribed_) {
        for (const Side side : {Side::source, Side::target})
            turn_.written[index(side)] = peers_.positions->newest(side).written;
    }
    if (gated_.empty()) return;
    std::vector<Slot*> waiting;
    waiting.swap(gated_);
    for (Slot* slot : waiting) slot->in_gated = false;
    for (const Side side : {Side::source, Side::target}) {
        const Token token = peers_.positions->newest(side);
        std::vector<Asked>& asked = asked_[index(side)];
        std::uint64_t covered = 0;
        const auto unanswered = std::find_if(asked.begin(), asked.end(), [&](const Asked& one) {
            if (one.request > token.request) return true;
            covered = one.turn;
            return false;
        });
        asked.erase(asked.begin(), unanswered);
        const Position applied = peers_.applied[index(side)]->current();
        for (Slot* slot : waiting) {
            if (covered > 0) slot->relay.take_token(side, covered, token.position, token.written);
            slot->relay.release_held(side, applied);
            slot->relay.follow_shift(side, covered, token.position, applied, turn_);
        }
    }
    for (Slot* slot : waiting) settle(*slot);
}

// While answers wait for long, the mark is kept fresh: of statements that write nothing none shall
// have to wait with them.
void RelayThread::refresh_mark() {
    const bool due =
        gate_wanted_ && !gated_.empty() && turn_.now - mark_asked_at_ >= mark_refreshed_after;
    if (!due || !asked_[index(last_gated_side_)].empty()) return;
    mark_asked_at_ = turn_.now;
    turn_.token_wanted[index(last_gated_side_)] = true;
}

// Policy bounded: an answer that waits too long opens the gate for all, until the follower has
// caught up.
void RelayThread::watch_bound() {
    if (!gate_wanted_ || peers_.gate_policy.policy != MirrorPolicy::bounded) return;
    auto& degraded = peers_.gate_status->degraded;
    const auto overdue = [this](const Slot* slot) {
        const auto since = slot->relay.held_since();
        return since && turn_.now - *since > peers_.gate_policy.bound;
    };
    const auto late = std::count_if(gated_.begin(), gated_.end(), overdue);
    if (late > 0) {
        degraded.store(true, std::memory_order_relaxed);
        peers_.gate_status->answers_unheld.fetch_add(gated_.size(), std::memory_order_relaxed);
    }
    if (degraded.load(std::memory_order_relaxed)) {
        // The way back: a token read while degraded, which the follower reaches.
        const Token token = peers_.positions->newest(recovery_side_);
        const bool caught_up = recovery_request_ > 0 && token.request >= recovery_request_ &&
                               peers_.applied[index(recovery_side_)]->current() >= token.position;
        if (caught_up) {
            degraded.store(false, std::memory_order_relaxed);
            recovery_request_ = 0;
        } else if (recovery_request_ == 0 || token.request >= recovery_request_) {
            recovery_side_ = last_gated_side_;
            recovery_request_ = peers_.positions->ask(recovery_side_);
        }
    } else {
        recovery_request_ = 0;
    }
    if (gate_applied_ != gate_holds()) apply_gate();
}

}  // namespace segue::proxy
