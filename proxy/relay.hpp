#pragma once
// One session's bytes, in both directions: read, scan heads, send at once; keep only what a peer
// does not take. No epoll, no thread, no clock of its own, so that tests drive it with socket
// pairs. RelayThread owns the loop, asks for `*_interest`, and calls back on readiness.
//
// Ends: a client that ends its stream (EOF) still gets the answers to what it sent, as from the
// server itself: the server sees the end of the stream after the last bytes. A server that ends its
// stream has its last bytes delivered, then the client's connection is closed. A broken connection
// resets the other.
//
// Holds: `stop` lets what is under way run on to the next boundary, request by request; then
// nothing is read from the client until `go`. What the server says by itself (notices,
// notifications) is relayed meanwhile.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "backfill/applied_position.hpp"
#include "protocol/bytes.hpp"
#include "protocol/postgres/acknowledgement.hpp"
#include "protocol/postgres/refused_request.hpp"
#include "protocol/write_mark.hpp"
#include "proxy/end_log.hpp"
#include "proxy/outbox.hpp"
#include "proxy/read_tap.hpp"
#include "proxy/session.hpp"
#include "router/gate.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// After a statement that names currval or lastval, for as long the session is not moved: the value
// would be gone on the other side. Longer waits between insert and lastval than this are a
// documented limit; nor is a session that never pauses waited for longer than this.
inline constexpr std::chrono::milliseconds sequence_grace{500};
// Reads from one socket before the others of the batch have their turn. Readiness is told once (an
// edge), so a socket is read until a read says that it is empty, or it is resumed in the next turn.
inline constexpr int reads_per_turn_max = 4;
// Of a stopped client, read ahead only to answer a cancel request.
inline constexpr std::size_t stopped_input_size_max = 64 * 1024;

// One turn of the loop, shared by all of a thread's sessions.
struct Turn {
    MutableBytes scratch;
    std::chrono::steady_clock::time_point now;
    std::uint64_t number = 0;               // What an answer held in this turn waits for.
    bool token_wanted[2] = {false, false};  // By index(side): something was held in this turn.
    std::uint64_t answers_held = 0;
    WriteMark written[2];          // By index(side): the newest that has been read.
    ThreadReads* reads = nullptr;  // Null while no read is shadowed or shifted.
    Shadow* shadow = nullptr;
    const backfill::AppliedPosition* applied[2] = {nullptr,
                                                   nullptr};  // By index(side) of the stream.

    bool follower_is_shown(Side authority) const {
        return applied[index(authority)] == nullptr || applied[index(authority)]->shown();
    }
};

enum class Motion : std::uint8_t {
    running,
    stopping,  // Runs on to the next boundary.
    stopped,   // At it.
    away,      // At it, the Session with the control plane.
};

enum class Ending : std::uint8_t {
    no,
    client_ended,  // EOF; the server may still answer.
    server_ended,  // EOF; its last bytes are on their way to the client.
    finished,      // To be destroyed.
};

class Relay {
public:
    using Time = std::chrono::steady_clock::time_point;

    explicit Relay(std::unique_ptr<Session> session) : session_(std::move(session)) {}

    // From now on small pieces are left with the ring until the end of the turn.
    void send_later(const SendLater& to_client, const SendLater& to_server) {
        client_later_ = to_client;
        server_later_ = to_server;
    }

    // Sends bytes of ours to the client, in order with what was sent before.
    void tell_client(Bytes from);

    void on_client(std::uint32_t events, Turn& turn);
    void on_server(std::uint32_t events, Turn& turn);
    // What to wait for, as epoll's bits; 0: nothing, not even errors.
    std::uint32_t client_interest(Time now) const;
    std::uint32_t server_interest() const;
    // There is wanted input that no readiness may announce, because TLS holds it or because a
    // turn's reads were used up: call resume soon.
    bool has_unread_input(Time now) const;
    void resume(Turn& turn);

    bool finished() const { return ending_ == Ending::finished; }
    Motion motion() const { return motion_; }
    Ending ending() const { return ending_; }
    // Of one that has ended.
    EndCause end_cause() const { return end_cause_; }
    // Null while away.
    Session* session() { return session_.get(); }
    const Session* session() const { return session_.get(); }

    void stop(Turn& turn);
    // Whether a stopping session has come to its boundary; becomes `stopped` then. To be called
    // after events and, because of the grace, from time to time.
    bool try_stop(Time now);
    bool in_sequence_grace(Time now) const {
        return now - last_sequence_use_ < sequence_grace && now - stopping_since_ < sequence_grace;
    }
    std::unique_ptr<Session> lend();
    // `for_client`: what the server said to the client meanwhile.
    void take_back(std::unique_ptr<Session> session, Bytes for_client, Turn& turn);
    // Ends the stop. A client that has gone meanwhile is closed and its request dropped.
    void go(Turn& turn);
    bool dropped_request() const { return request_dropped_; }
    // Since when a request of the client waits at the stop.
    std::optional<Time> waiting_since() const { return waiting_since_; }
    // What keeps the session from its boundary: since when its transaction is open, or since when
    // its request, the last bytes of which came then, has not been answered. Not while away.
    Time busy_since() const {
        return session_->boundary.in_transaction() ? transaction_since_ : forwarded_at_;
    }

    // A cancel request for a stopped session: the request that waits is answered with 57014 once it
    // is whole. Where that leaves the client owing a Sync, the session stays stopped until it has
    // come, also after `go`.
    void cancel_waiting(Turn& turn);
    // The same for a session that is away, whose client has sent something: when it is back.
    void cancel_when_back() { cancel_when_back_ = true; }
    // The session goes on with the other connection. False: it has none. The one it leaves is not
    // of its state any more; it is closed when it listens, because nobody reads what it would be
    // told.
    bool swap_backends();
    // Ends the session with this message of ours to the client.
    void end_with(Bytes last_words);

    void set_gate(bool closed);
    bool has_held_answers() const { return !gate_.empty(); }
    std::optional<Time> held_since() const { return gate_.waiting_since(); }
    // What was held in `turn` and before has this token; then whatever `applied` covers goes out.
    void take_token(Side side, std::uint64_t turn, Position position, WriteMark written) {
        gate_.token(side, turn, position, written);
    }
    void release_held(Side side, Position applied);
    void release_all_held();

    // Reads that are shadowed or shifted (relay_reads.cpp). The follower's socket is watched only
    // while it answers.
    void on_other(std::uint32_t events, Turn& turn);
    std::uint32_t other_interest() const;
    int other_fd() const {
        return session_ && session_->other ? session_->other->transport.fd() : -1;
    }
    bool has_shifted_read() const { return tap_ && tap_->shifted(); }
    bool waits_for_follower() const { return has_shifted_read() && !tap_->shifted()->running; }
    // As take_token and release_held; `turn_covered` 0: no token. A read that has waited too long
    // goes to the authority.
    void follow_shift(
        Side side, std::uint64_t turn_covered, Position token, Position applied, Turn& turn);
    void give_up_waiting(Turn& turn);
    // The follower's connection is missing, or its state is behind the session's.
    bool wants_connection(Time now) const { return tap_ && tap_->wants_connection(now); }
    void connection_asked(Time now) { tap_->connection_asked(now); }
    // A cancel request while the follower answers: its connection is closed, the client told with
    // 57014.
    void cancel_shifted(Turn& turn);

private:
    // Of the server, before a slice of its bytes was counted.
    struct Heard {
        std::uint32_t errors;
        bool whole_messages;
    };
    Heard heard() const {
        const auto& boundary = session_->boundary;
        return {boundary.errors(), boundary.server_between_messages()};
    }
    void forward_tapped(Bytes from, Turn& turn);
    void forward_to_authority(Bytes from, Turn& turn);
    void relay_tapped(Bytes from, Turn& turn);
    void start_shift(Turn& turn);
    void fall_back(Turn& turn);
    void receive_shifted(Bytes from, Turn& turn);
    void other_lost(Turn& turn);
    void read_client(Turn& turn, bool to_the_end);
    void read_server(Turn& turn, bool to_the_end);
    void forward(Bytes from, Turn& turn);
    void forward_stopping(Bytes from, Turn& turn);
    void forward_stopped_input(Turn& turn);
    void send_to_server(Bytes from, Turn& turn);
    void relay(Bytes from, Turn& turn);
    bool fenced_off(Bytes from, const Heard& before);  // And has ended the session.
    void note_transaction(Time now);
    void settle_edits();
    void relay_gated(Bytes from, Turn& turn);
    bool wants_client(Time now) const;
    void client_ended();
    void client_broken();
    void server_ended();
    void server_takes_no_more();
    void note_end(EndCause cause);
    void finish_if_done();
    void send_now();
    void on_stopped_client(std::uint32_t events, Turn& turn);
    void client_gone_while_stopped(Turn& turn);
    void read_ahead(Turn& turn);
    void answer_cancelled_request();
    void skip_cancelled_request(Turn& turn);
    void settle_gate();

    std::unique_ptr<Session> session_;
    Outbox to_client_, to_server_, to_other_;
    SendLater client_later_, server_later_;
    std::unique_ptr<ReadTap> tap_;  // Only while reads are shadowed or shifted.
    router::Gate gate_;
    WriteMark written_before_;  // Read before the transaction under way began, or unknown.
    std::optional<protocol::postgres::Acknowledgements>
        acknowledgements_;  // While the gate is closed or has not run empty.
    std::optional<protocol::postgres::SkipToSync>
        skip_;                   // Of a cancelled request, while its Sync is owed.
    std::string stopped_input_;  // Read beyond the boundary; not forwarded, not counted.
    std::optional<Time> waiting_since_;
    Time last_sequence_use_{};
    Time stopping_since_{};
    Time forwarded_at_{};
    Time transaction_since_{};
    std::uint32_t transaction_ = ~0u;  // Of transaction_since_: Boundary::transactions_ended.
    std::uint32_t sequence_uses_seen_ = 0;
    Motion motion_ = Motion::running;
    Ending ending_ = Ending::no;
    EndCause end_cause_ = EndCause::none;
    bool client_unread_ = false;  // The last turn's reads were used up: there may be more.
    bool server_unread_ = false;
    bool gate_closed_ = false;
    bool cancel_waiting_ = false;
    bool cancel_when_back_ = false;
    bool go_wanted_ = false;  // Once nothing is skipped any more.
    bool request_dropped_ = false;
};

}  // namespace segue::proxy
