// A relay's reads while some are shadowed or shifted: the detour by the tap, and the answer of the
// follower.
#include <sys/epoll.h>

#include <utility>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "proxy/relay.hpp"

namespace segue::proxy {

namespace {

constexpr protocol::postgres::ErrorReport answer_lost{
    .severity = "ERROR",
    .sqlstate = "08006",
    .message = "the connection to the follower was lost in the middle of an answer",
    .hint = "Run the statement again."};
constexpr protocol::postgres::ErrorReport cancelled{
    .severity = "ERROR", .sqlstate = "57014", .message = "canceling statement due to user request"};

std::string with_ready(const protocol::postgres::ErrorReport& report) {
    std::string output = protocol::postgres::encode_error_response(report);
    protocol::postgres::append_message(output, 'Z', "I");
    return output;
}

}  // namespace

void Relay::forward_tapped(Bytes from, Turn& turn) {
    if (session_->passed_through) return send_to_server(from, turn);
    if (turn.reads == nullptr && !tap_->is_needed()) {
        tap_.reset();
        return send_to_server(from, turn);
    }
    if (!tap_) tap_ = std::make_unique<ReadTap>(*turn.reads, turn.shadow);
    const bool stands_alone = session_->boundary.at_boundary() && to_server_.empty() &&
                              to_client_.empty() && gate_.empty();
    if (turn.reads != nullptr && stands_alone &&
        tap_->offer(from, *session_, turn.now) == ReadTap::Choice::shift) {
        ShiftedRead& read = *tap_->shifted();
        read.turn = turn.number;
        turn.token_wanted[index(read.authority)] = true;
        return;
    }
    forward_to_authority(from, turn);
}

void Relay::forward_to_authority(Bytes from, Turn& turn) {
    const bool translated = session_->backend.types != nullptr;
    const std::string missed = tap_->missed_parse(from, translated);
    if (!missed.empty()) send_to_server(bytes(missed), turn);
    send_to_server(from, turn);
}

void Relay::relay_tapped(Bytes from, Turn& turn) {
    std::string kept;
    if (tap_->is_swallowing()) {
        kept = tap_->without_our_parse(from);
        from = bytes(kept);
        if (from.empty()) return;
    }
    tap_->answered(from, turn.now);
    if (acknowledgements_) return relay_gated(from, turn);
    const Heard before = heard();
    session_->boundary.server(from, [this](const protocol::postgres::ServerEvent& event) {
        if (event.tag == 'E') tap_->answered_error();
    });
    note_transaction(turn.now);
    if (fenced_off(from, before)) [[unlikely]]
        return;
    tell_client(from);
}

void Relay::follow_shift(
    Side side, std::uint64_t turn_covered, Position token, Position applied, Turn& turn) {
    if (!waits_for_follower() || tap_->shifted()->authority != side) return;
    ShiftedRead& read = *tap_->shifted();
    if (!read.token && turn_covered >= read.turn) read.token = token;
    if (read.token && applied >= *read.token) start_shift(turn);
}

void Relay::give_up_waiting(Turn& turn) {
    if (!waits_for_follower()) return;
    const bool too_long = turn.now - tap_->shifted()->since > shift_wait_max;
    if (too_long || turn.reads == nullptr || turn.reads->knobs().shift_percent <= 0)
        fall_back(turn);
}

void Relay::start_shift(Turn& turn) {
    ShiftedRead& read = *tap_->shifted();
    const bool still_so = turn.reads != nullptr && turn.reads->knobs().shift_percent > 0 &&
                          turn.reads->authority() == read.authority &&
                          session_->backend.side == read.authority;
    if (!still_so || !session_->other || !turn.follower_is_shown(read.authority))
        return fall_back(turn);
    read.running.emplace(read.request, read.simple, read.parse, read.forget);
    to_other_.clear();
    Bytes request = bytes(read.running->to_send());
    if (session_->other->types) request = session_->other->types->to_server(request);
    if (!to_other_.send(session_->other->transport, request)) other_lost(turn);
}

// The client has seen nothing: the authority answers instead.
void Relay::fall_back(Turn& turn) {
    const std::string request = std::move(tap_->shifted()->request);
    tap_->shift_ended(false);
    forward_to_authority(bytes(request), turn);
}

std::uint32_t Relay::other_interest() const {
    const bool running =
        has_shifted_read() && tap_->shifted()->running && ending_ == Ending::no && session_->other;
    if (!running) return 0;
    std::uint32_t events = to_client_.empty() ? EPOLLIN : 0u;
    if (!to_other_.empty()) events |= EPOLLOUT;
    return events;
}

void Relay::on_other(std::uint32_t events, Turn& turn) {
    if (other_interest() == 0) return;
    Transport& other = session_->other->transport;
    if ((events & EPOLLOUT) != 0 && !to_other_.flush(other)) return other_lost(turn);
    for (int reads = 0; reads < reads_per_turn_max || other.has_buffered_input(); ++reads) {
        const IoOutcome got = other.read_some(turn.scratch);
        switch (got.io) {
            case Io::ok:
                break;
            case Io::want_read:
            case Io::want_write:
                return;
            case Io::closed:
            case Io::failed:
                return other_lost(turn);
        }
        Bytes from = turn.scratch.first(got.size);
        if (session_->other->types) from = session_->other->types->to_client(from);
        receive_shifted(from, turn);
        if (other_interest() == 0 || !to_client_.empty()) return;
    }
}

void Relay::receive_shifted(Bytes from, Turn& turn) {
    using State = protocol::postgres::WrappedRead::State;
    auto& running = *tap_->shifted()->running;
    // What it reads was fixed before this arrived: it may hold a commit that the authority does not
    // show yet.
    if (!running.exposed() && !turn.follower_is_shown(tap_->shifted()->authority))
        return other_lost(turn);
    std::string for_client;
    running.receive(from, for_client);
    const State state = running.state();
    if (state == State::answered) tap_->shift_ended(true);
    tell_client(bytes(for_client));
    if (state == State::failed && !finished()) fall_back(turn);
}

void Relay::other_lost(Turn& turn) {
    session_->other.reset();
    session_->other_state.reset();
    to_other_.clear();
    const auto& running = tap_->shifted()->running;
    if (!running || !running->exposed()) return fall_back(turn);
    const bool sayable = running->between_messages();
    tap_->shift_ended(false);
    // Half a message cannot be taken back: only the end of the connection says so.
    if (!sayable) {
        client_broken();
        end_cause_ = EndCause::answer_cut;
        return;
    }
    tell_client(bytes(with_ready(answer_lost)));
}

void Relay::cancel_shifted(Turn& turn) {
    if (!has_shifted_read() || ending_ != Ending::no) return;
    const auto& running = tap_->shifted()->running;
    if (running && running->exposed()) return other_lost(turn);
    if (running) {
        // The statement there ends when its server finds nobody to answer.
        session_->other.reset();
        session_->other_state.reset();
        to_other_.clear();
    }
    tap_->shift_ended(false);
    tell_client(bytes(with_ready(cancelled)));
}

}  // namespace segue::proxy
