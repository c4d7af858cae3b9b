#include "proxy/relay.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cassert>
#include <utility>

#include "backfill/postgres/fence_sql.hpp"
#include "proxy/socket_ring.hpp"

namespace segue::proxy {

namespace {

constexpr std::uint32_t broken_events = EPOLLHUP | EPOLLERR;

constexpr protocol::postgres::ErrorReport superseded{
    .sqlstate = "57P01",
    .message = "terminating connection: another Segue has changed the authority; connect again"};

}  // namespace

// Whether bytes of the client may be forwarded now; what must not be forwarded is not read either.
bool Relay::wants_client(Time now) const {
    if (ending_ != Ending::no || !to_server_.empty() || has_shifted_read()) return false;
    if (session_ && session_->backend.types && session_->backend.types->full()) [[unlikely]]
        return false;
    switch (motion_) {
        case Motion::running:
            return true;
        case Motion::stopping: {
            const auto& boundary = session_->boundary;
            if (!boundary.at_boundary()) return boundary.needs_client();
            return gate_.empty() && in_sequence_grace(now);
        }
        case Motion::stopped:
        case Motion::away:
            return false;
    }
    return false;
}

std::uint32_t Relay::client_interest(Time now) const {
    std::uint32_t events = 0;
    if (ending_ == Ending::finished) return events;
    if (motion_ == Motion::away) return waiting_since_ ? 0u : EPOLLIN;
    if (!to_client_.empty()) events |= EPOLLOUT;
    if (motion_ == Motion::stopped && ending_ == Ending::no) {
        events |= EPOLLRDHUP;
        if (!waiting_since_ || cancel_waiting_ || skip_) events |= EPOLLIN;
    } else if (ending_ == Ending::server_ended) {
        events |=
            EPOLLRDHUP;  // Answers may still be held; for a client that has gone they are not.
    } else if (stopped_input_.empty() && wants_client(now)) {
        events |= EPOLLIN;
    }
    return events;
}

std::uint32_t Relay::server_interest() const {
    if (motion_ == Motion::away) return 0;
    std::uint32_t events = 0;
    const bool ended = ending_ == Ending::server_ended || ending_ == Ending::finished;
    if (!ended && to_client_.empty() && !gate_.full() && !has_shifted_read()) events |= EPOLLIN;
    if (!ended && !to_server_.empty()) events |= EPOLLOUT;
    return events;
}

bool Relay::has_unread_input(Time now) const {
    if (!session_ || ending_ == Ending::finished) return false;
    const bool client = client_unread_ || session_->client.has_buffered_input();
    const bool server = server_unread_ || session_->backend.transport.has_buffered_input();
    return (client && (client_interest(now) & EPOLLIN) != 0) ||
           (server && (server_interest() & EPOLLIN) != 0);
}

void Relay::resume(Turn& turn) {
    if (session_ == nullptr) return;
    if (client_unread_ || session_->client.has_buffered_input()) on_client(EPOLLIN, turn);
    if (finished() || session_ == nullptr) return;
    if (server_unread_ || session_->backend.transport.has_buffered_input())
        on_server(EPOLLIN, turn);
}

void Relay::on_client(std::uint32_t events, Turn& turn) {
    if (motion_ == Motion::away) {
        if (!waiting_since_) waiting_since_ = turn.now;
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        if (!to_client_.flush(session_->client)) return client_broken();
        finish_if_done();
        if (finished()) return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | broken_events)) == 0) return;
    const std::uint32_t gone = broken_events | (ending_ == Ending::server_ended ? EPOLLRDHUP : 0u);
    if (ending_ == Ending::no && motion_ == Motion::stopped) return on_stopped_client(events, turn);
    if (stopped_input_.empty() && wants_client(turn.now))
        return read_client(turn, (events & ~(EPOLLIN | EPOLLOUT)) != 0);
    if ((events & gone) != 0) client_broken();
}

void Relay::on_server(std::uint32_t events, Turn& turn) {
    if (motion_ == Motion::away) return;
    if ((events & EPOLLOUT) != 0) {
        if (!to_server_.flush(session_->backend.transport)) server_takes_no_more();
        finish_if_done();
    }
    if ((events & (EPOLLIN | broken_events)) == 0 || (server_interest() & EPOLLIN) == 0) return;
    read_server(turn, (events & ~(EPOLLIN | EPOLLOUT)) != 0);
    // The answer that a stopping session waited for may be in; what the client sent beyond it is
    // next.
    if (motion_ == Motion::stopping && !stopped_input_.empty()) forward_stopped_input(turn);
}

// `to_the_end`: the peer has ended or broken its stream, which is told only once.
void Relay::read_client(Turn& turn, bool to_the_end) {
    if (std::exchange(client_unread_, false)) to_the_end = true;
    for (int reads = 0; wants_client(turn.now); ++reads) {
        if (reads == reads_per_turn_max) {
            client_unread_ = true;
            return;
        }
        const IoOutcome got = session_->client.read_some(turn.scratch);
        switch (got.io) {
            case Io::ok:
                break;
            case Io::want_read:
            case Io::want_write:
                return;
            case Io::closed:
                return client_ended();
            case Io::failed:
                return client_broken();
        }
        forward(turn.scratch.first(got.size), turn);
        // A short read has emptied the socket; reading again would only say so.
        const bool emptied =
            got.size < turn.scratch.size() && !session_->client.has_buffered_input();
        if (emptied && !to_the_end) return;
    }
}

void Relay::read_server(Turn& turn, bool to_the_end) {
    if (std::exchange(server_unread_, false)) to_the_end = true;
    for (int reads = 0; (server_interest() & EPOLLIN) != 0; ++reads) {
        if (reads == reads_per_turn_max) {
            server_unread_ = true;
            return;
        }
        const IoOutcome got = session_->backend.transport.read_some(turn.scratch);
        switch (got.io) {
            case Io::ok:
                break;
            case Io::want_read:
            case Io::want_write:
                return;
            case Io::closed:
            case Io::failed:
                return server_ended();
        }
        Bytes from = turn.scratch.first(got.size);
        auto& types = session_->backend.types;
        if (types) [[unlikely]]
            from = types->to_client(from);
        auto& late = session_->backend.late;
        if (late) [[unlikely]]
            from = late->to_client(from);
        relay(from, turn);
        if (finished()) return;
        if ((types || late) && session_->boundary.quiet()) [[unlikely]]
            settle_edits();
        const bool emptied =
            got.size < turn.scratch.size() && !session_->backend.transport.has_buffered_input();
        if (emptied && !to_the_end) return;
    }
}

// Both directions are at rest.
void Relay::settle_edits() {
    Backend& backend = session_->backend;
    if (backend.types) backend.types->settle();
    if (!backend.late) return;
    backend.late->settle();
    if (!backend.late->needed()) backend.late.reset();
}

void Relay::forward(Bytes from, Turn& turn) {
    if (motion_ == Motion::running) [[likely]] {
        if (turn.reads != nullptr || tap_) [[unlikely]]
            return forward_tapped(from, turn);
        return send_to_server(from, turn);
    }
    assert(motion_ == Motion::stopping);
    forward_stopping(from, turn);
}

// As much as is under way needs, and no request beyond it.
void Relay::forward_stopping(Bytes from, Turn& turn) {
    while (!from.empty() && wants_client(turn.now)) {
        const std::size_t size = session_->boundary.client_cut(from);
        send_to_server(from.first(size), turn);
        from = from.subspan(size);
    }
    stopped_input_ += text(from);
}

void Relay::forward_stopped_input(Turn& turn) {
    const std::string input = std::exchange(stopped_input_, {});
    forward_stopping(bytes(input), turn);
}

void Relay::send_to_server(Bytes from, Turn& turn) {
    Session& session = *session_;
    if (acknowledgements_ && session.boundary.at_boundary())
        written_before_ = turn.written[index(session.backend.side)];
    session.boundary.client(from, [this, &session](const protocol::postgres::Piece& piece) {
        session.hints.see(piece);
        if (tap_) [[unlikely]]
            tap_->forwarded(piece);
    });
    session.touched_since_probe = true;
    forwarded_at_ = turn.now;
    if (session.hints.sequence_uses() != sequence_uses_seen_ ||
        session.hints.sequence_use_prepared()) {
        sequence_uses_seen_ = session.hints.sequence_uses();
        last_sequence_use_ = turn.now;
    }
    if (session.backend.late) [[unlikely]]
        from = session.backend.late->to_server(from);
    if (session.backend.types) [[unlikely]]
        from = session.backend.types->to_server(from);
    if (!to_server_.send(session.backend.transport, from, server_later_)) server_takes_no_more();
}

void Relay::relay(Bytes from, Turn& turn) {
    if (tap_) [[unlikely]]
        return relay_tapped(from, turn);
    if (acknowledgements_) return relay_gated(from, turn);
    const Heard before = heard();
    session_->boundary.server(from);
    note_transaction(turn.now);
    if (fenced_off(from, before)) [[unlikely]]
        return;
    tell_client(from);
}

// Another Segue has changed the authority, and this one does not know it yet. The server's words
// are for who writes beside Segue: a client of ours has lost its connection, as the others on this
// side are about to. Where more than the refusal is answered here the client is told nothing: what
// comes before may be a commit.
bool Relay::fenced_off(Bytes from, const Heard& before) {
    if (session_->boundary.errors() == before.errors) return false;
    if (session_->passed_through ||
        text(from).find(backfill::postgres::fenced_words) == std::string_view::npos)
        return false;
    if (before.whole_messages && text(from).front() == 'E' && gate_.empty())
        tell_client(bytes(protocol::postgres::encode_error_response(superseded)));
    server_ended();
    return true;
}

void Relay::note_transaction(Time now) {
    const auto& boundary = session_->boundary;
    if (!boundary.in_transaction() || boundary.transactions_ended() == transaction_) return;
    transaction_ = boundary.transactions_ended();
    transaction_since_ = now;
}

void Relay::relay_gated(Bytes from, Turn& turn) {
    const auto& boundary = session_->boundary;
    const Heard before_it = heard();
    std::size_t first = from.size();  // Where the first acknowledgement of this slice begins.
    session_->boundary.server(from, [&](const protocol::postgres::ServerEvent& event) {
        if (tap_ && event.tag == 'E') tap_->answered_error();
        const bool acknowledges = acknowledgements_->sees(event, from, boundary.answers_extended());
        if (acknowledges && event.start < first) first = event.start;
    });
    note_transaction(turn.now);
    if (fenced_off(from, before_it)) [[unlikely]]
        return;
    const bool doubt = acknowledgements_->take_doubt();
    if (!gate_closed_) first = from.size();  // Only what is held already keeps later bytes back.
    const Bytes before = from.first(first);
    if (gate_.empty()) {
        if (!before.empty()) tell_client(before);
    } else if (!before.empty()) {
        gate_.queue(before);
    }
    if (first == from.size()) return;
    const Side side = session_->backend.side;
    gate_.hold(
        from.subspan(first), side, turn.number, turn.now, doubt ? WriteMark{} : written_before_);
    turn.token_wanted[index(side)] = true;
    ++turn.answers_held;
}

void Relay::tell_client(Bytes from) {
    if (from.empty() || ending_ == Ending::finished) return;
    if (!to_client_.send(session_->client, from, client_later_)) client_broken();
}

void Relay::client_ended() {
    note_end(EndCause::client_gone);
    ending_ = Ending::client_ended;
    finish_if_done();
}

// Nobody is left to be answered: the server learns it at once, and what it holds is freed.
void Relay::client_broken() {
    note_end(EndCause::client_gone);
    send_now();
    session_->backend.transport.reset_connection();
    session_->client.close();
    ending_ = Ending::finished;
}

void Relay::server_ended() {
    note_end(EndCause::server_gone);
    if (session_->boundary.error_said()) end_cause_ = EndCause::none;
    if (ending_ == Ending::client_ended) {
        ending_ = Ending::finished;
        return;
    }
    ending_ = Ending::server_ended;
    finish_if_done();
}

// The first cause is the cause of what follows.
void Relay::note_end(EndCause cause) {
    if (ending_ == Ending::no && !session_->boundary.terminated()) end_cause_ = cause;
}

// Its last words may still be on their way to us: they say why.
void Relay::server_takes_no_more() {
    to_server_.clear();
    note_end(EndCause::server_broken);
    if (ending_ == Ending::no) ending_ = Ending::client_ended;
}

// What was asked of the ring is asked of descriptors, which may be closed after this.
void Relay::send_now() {
    if (client_later_.ring != nullptr) client_later_.ring->submit();
}

void Relay::finish_if_done() {
    if (ending_ != Ending::no) send_now();
    switch (ending_) {
        case Ending::no:
        case Ending::finished:
            return;
        case Ending::client_ended:
            // The rest has gone out; the server sees the end of the stream as it would without us.
            if (to_server_.empty()) ::shutdown(session_->backend.transport.fd(), SHUT_WR);
            return;
        case Ending::server_ended:
            if (to_client_.empty() && gate_.empty()) ending_ = Ending::finished;
            return;
    }
}

void Relay::end_with(Bytes last_words) {
    // Closing over bytes that nobody has read resets the connection, and the last words with it.
    std::array<std::byte, 4096> unread;
    (void)session_->client.read_some(unread);
    tell_client(last_words);
    if (ending_ == Ending::finished) return;
    send_now();
    if (last_words.empty()) end_cause_ = EndCause::answer_owed;
    session_->backend.transport.close();
    ending_ = Ending::server_ended;
    finish_if_done();
}

void Relay::set_gate(bool closed) {
    if (session_ && session_->passed_through) return;
    gate_closed_ = closed;
    if (closed) {
        // A session that is away comes back at a boundary, outside a transaction.
        if (!acknowledgements_) {
            acknowledgements_.emplace(session_ ? session_->boundary
                                               : protocol::postgres::Boundary{});
            written_before_ = {};
        }
        return;
    }
    release_all_held();
}

void Relay::release_held(Side side, Position applied) {
    std::string released;
    if (!gate_.release(side, applied, released)) return;
    tell_client(bytes(released));
    settle_gate();
}

void Relay::release_all_held() {
    std::string released;
    gate_.release_all(released);
    if (!released.empty()) tell_client(bytes(released));
    settle_gate();
}

void Relay::settle_gate() {
    if (!gate_closed_ && gate_.empty()) acknowledgements_.reset();
    finish_if_done();
}

}  // namespace segue::proxy
