// A relay thread's holds: stopping all sessions, lending single ones, swapping, releasing.
#include <algorithm>
#include <cassert>
#include <cstdio>
#include <utility>

#include "protocol/postgres/messages_server.hpp"
#include "proxy/relay_slot.hpp"
#include "proxy/relay_thread.hpp"

namespace segue::proxy {

namespace {

constexpr protocol::postgres::ErrorReport cannot_move{
    .sqlstate = "57P01",
    .message =
        "terminating connection: the database has moved and this session could not be moved with "
        "it",
    .hint = "Connect again."};

std::string seconds_text(RelayThread::Clock::duration time) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f s", std::chrono::duration<double>(time).count());
    return buffer;
}

}  // namespace

bool RelayThread::is_held(const Slot& slot) const { return holding_ && !slot.newcomer; }

void RelayThread::stop_if_wanted(Slot& slot) {
    if (slot.passed_through || slot.relay.motion() != Motion::running) return;
    if (!is_held(slot) && !slot.receiver) return;
    slot.relay.stop(turn_);
    if (slot.relay.motion() == Motion::stopped) on_stopped(slot);
}

void RelayThread::on_stopped(Slot& slot) {
    if (is_held(slot)) peers_.directory->set_held(slot.id, true);
    if (!slot.receiver || slot.cancels > 0) return;
    leave_ring(slot);
    if (slot.relay.finished()) return;
    --lends_waiting_;
    const LendReceiver receiver = std::exchange(slot.receiver, nullptr);
    std::unique_ptr<Session> session = slot.relay.lend();
    // Before it leaves: two threads must not wait for one socket.
    watch(slot);
    receiver(std::move(session));
}

void RelayThread::hold() {
    if (!std::exchange(holding_, true)) requests_dropped_ = 0;
    admitting_ = false;
    std::vector<Slot*> all;
    for (const auto& [id, slot] : slots_) all.push_back(slot.get());
    for (Slot* slot : all) {
        slot->newcomer = false;
        if (slot->relay.motion() == Motion::stopped) {
            slot->relay.stop(turn_);  // It may be about to go on.
            peers_.directory->set_held(slot->id, true);
        }
        stop_if_wanted(*slot);
        settle(*slot);
    }
}

void RelayThread::lend(std::uint64_t id, LendReceiver receiver, Clock::time_point until) {
    Slot* slot = find(id);
    if (slot == nullptr || slot->receiver || slot->relay.motion() == Motion::away)
        return receiver(nullptr);
    if (slot->relay.ending() == Ending::server_ended) return receiver(nullptr);
    slot->receiver = std::move(receiver);
    slot->lend_until = until;
    ++lends_waiting_;
    if (slot->relay.motion() == Motion::stopped) {
        on_stopped(*slot);
    } else {
        stop_if_wanted(*slot);
    }
    settle(*slot);
}

void RelayThread::cancel_lends() {
    std::vector<Slot*> all;
    for (const auto& [id, slot] : slots_) all.push_back(slot.get());
    for (Slot* slot : all) {
        if (slot->receiver) end_lend(*slot);
    }
}

void RelayThread::end_lend(Slot& slot) {
    --lends_waiting_;
    std::exchange(slot.receiver, nullptr)(nullptr);
    if (!is_held(slot) && !slot.moving) slot.relay.go(turn_);
    settle(slot);
}

void RelayThread::take_back(std::uint64_t id,
                            std::unique_ptr<Session> session,
                            const std::string& for_client) {
    Slot* slot = find(id);
    if (slot == nullptr) return;
    if (session == nullptr) {
        tell_end(*slot, EndCause::lost_in_move);
        return remove(*slot);
    }
    peers_.directory->update_backends(*session);
    slot->relay.take_back(std::move(session), bytes(for_client), turn_);
    if (is_held(*slot)) {
        peers_.directory->set_held(id, true);
    } else if (!slot->relay.finished() && !slot->moving) {
        slot->relay.go(turn_);
    }
    settle(*slot);
}

void RelayThread::give_up(std::uint64_t id,
                          std::unique_ptr<Session> session,
                          const std::string& last_words) {
    Slot* slot = find(id);
    if (slot == nullptr) return;
    slot->relay.take_back(std::move(session), {}, turn_);
    slot->relay.end_with(bytes(last_words));
    settle(*slot);
}

std::size_t RelayThread::swap(Side side) {
    assert(holding_);
    std::size_t ended = 0;
    const std::string last_words = protocol::postgres::encode_error_response(cannot_move);
    std::vector<Slot*> all;
    for (const auto& [id, slot] : slots_) {
        all.push_back(slot.get());
        if (slot->relay.motion() == Motion::stopped) cancel_server_receive(*slot);
    }
    for (Slot* slot : all) {
        Session* session = slot->relay.session();
        // One whose server has ended only delivers its last words.
        if (slot->passed_through || slot->relay.ending() == Ending::server_ended) continue;
        if (session != nullptr && session->backend.side == side) continue;
        const bool ready = slot->relay.motion() == Motion::stopped && session->other &&
                           session->other->side == side && session->other_state;
        if (!ready) {
            ++ended;
            if (session == nullptr) {
                remove_away(*slot);
                continue;
            }
            leave_ring(*slot);  // Unread input would be in the way of the last words.
            if (slot->relay.finished()) {
                settle(*slot);
                continue;
            }
            tell_end(*slot, EndCause::not_movable);
            slot->relay.end_with(bytes(last_words));
            settle(*slot);
            continue;
        }
        leave_ring(*slot);
        if (!slot->relay.finished()) {
            slot->relay.swap_backends();
            change_server(*slot);
            peers_.directory->update_backends(*session);
        }
        settle(*slot);
    }
    return ended;
}

bool RelayThread::is_stopped(std::uint64_t id) const {
    const auto found = slots_.find(id);
    return found != slots_.end() && found->second->relay.motion() == Motion::stopped;
}

void RelayThread::note_backends(std::uint64_t id) {
    with_session(id, [this](Session& session) { peers_.directory->update_backends(session); });
}

void RelayThread::drop_others() {
    for (const auto& [id, slot] : slots_) {
        Session* session = slot->relay.session();
        if (session == nullptr || !session->other || slot->relay.has_shifted_read()) continue;
        session->other.reset();
        session->other_state.reset();
        peers_.directory->update_backends(*session);
    }
}

void RelayThread::release(std::promise<ReleaseReport> done) {
    holding_ = admitting_ = false;
    release_done_ = std::move(done);
    release_report_ = {};
    release_pending_ = true;
    for (const auto& [id, slot] : slots_) releasing_.push_back(id);
    // Who has waited longest goes first.
    const auto waiting_since = [this](std::uint64_t id) {
        return find(id)->relay.waiting_since().value_or(Clock::time_point::max());
    };
    std::sort(releasing_.begin(), releasing_.end(), [&](std::uint64_t a, std::uint64_t b) {
        return waiting_since(a) > waiting_since(b);
    });
}

void RelayThread::release_some() {
    if (!release_pending_) return;
    for (std::size_t count = 0; count < releases_per_turn_max && !releasing_.empty(); ++count) {
        const std::uint64_t id = releasing_.back();
        releasing_.pop_back();
        Slot* slot = find(id);
        if (slot == nullptr) continue;
        slot->newcomer = false;
        if (const auto since = slot->relay.waiting_since()) {
            const auto waited =
                std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - *since);
            release_report_.longest_wait = std::max(release_report_.longest_wait, waited);
        }
        if (slot->receiver) {
            --lends_waiting_;
            std::exchange(slot->receiver, nullptr)(nullptr);
        }
        slot->relay.go(turn_);
        peers_.directory->set_held(id, false);
        settle(*slot);
    }
    if (!releasing_.empty()) return;
    release_pending_ = false;
    release_report_.requests_dropped = requests_dropped_;
    release_done_.set_value(release_report_);
}

void RelayThread::on_tick() {
    ticked_at_ = turn_.now;
    give_up_waiting_reads();
    if (holding_ || lends_waiting_ > 0) {
        std::vector<Slot*> waiting;
        for (const auto& [id, slot] : slots_) {
            if (slot->relay.motion() == Motion::stopping || slot->receiver)
                waiting.push_back(slot.get());
        }
        for (Slot* slot : waiting) {
            settle(*slot);
            if (slot->receiver && turn_.now >= slot->lend_until) end_lend(*slot);
        }
    }
    refresh_mark();
    watch_bound();
}

Pin RelayThread::busy(const Slot& slot) const {
    const Session* session = slot.relay.session();
    if (session == nullptr) return {0, "its state is still being moved"};
    const auto& boundary = session->boundary;
    std::string why;
    if (boundary.lost()) {
        why = "a COPY protocol sequence that cannot be followed";
    } else if (boundary.at_boundary()) {
        why = slot.relay.has_held_answers() ? "a commit that the follower does not have yet"
              : slot.relay.in_sequence_grace(turn_.now) ? "currval or lastval in use"
                                                        : "a request on its way";
    } else {
        why = boundary.in_copy()          ? "a COPY that is under way"
              : boundary.in_transaction() ? "open transaction"
                                          : "a request that has not been answered";
        why += ", for " + seconds_text(turn_.now - slot.relay.busy_since());
    }
    return {session->backend.pid, std::move(why)};
}

Pin RelayThread::busy(std::uint64_t id) const {
    const auto found = slots_.find(id);
    return found == slots_.end() ? Pin{} : busy(*found->second);
}

// Of a session that is away with what is counted when it is back.
void RelayThread::count_transactions(Slot& slot) {
    const Session* session = slot.relay.session();
    if (session == nullptr) return;
    const std::uint32_t ended = session->boundary.transactions_ended();
    transactions_.fetch_add(ended - slot.transactions, std::memory_order_relaxed);
    slot.transactions = ended;
    const std::uint32_t requests = session->boundary.requests_ended();
    requests_.fetch_add(requests - slot.requests, std::memory_order_relaxed);
    slot.requests = requests;
    const std::uint32_t errors = session->boundary.errors();
    errors_.fetch_add(errors - slot.errors, std::memory_order_relaxed);
    slot.errors = errors;
}

ThreadSurvey RelayThread::survey() {
    ThreadSurvey survey;
    for (const auto& [id, slot] : slots_) {
        count_transactions(*slot);
        const Relay& relay = slot->relay;
        if (const auto since = relay.held_since()) {
            ++survey.answers_waiting;
            const auto waited =
                std::chrono::duration_cast<std::chrono::milliseconds>(turn_.now - *since);
            survey.longest_answer_wait = std::max(survey.longest_answer_wait, waited);
        }
        const Session* session = relay.session();
        if (session == nullptr || slot->passed_through || session->boundary.at_boundary()) continue;
        const bool named = survey.long_busy.size() < pins_reported_max;
        if (named && turn_.now - relay.busy_since() >= long_busy_min)
            survey.long_busy.push_back(busy(*slot));
    }
    return survey;
}

std::vector<Pin> RelayThread::not_held() const {
    std::vector<Pin> pins;
    for (const auto& [id, slot] : slots_) {
        if (slot->passed_through || slot->newcomer) continue;
        if (slot->relay.motion() == Motion::stopped) continue;
        if (slot->relay.ending() == Ending::server_ended) continue;
        pins.push_back(busy(*slot));
    }
    return pins;
}

}  // namespace segue::proxy
