#pragma once
// Where a session stands in the protocol: exact accounting over the bytes of both directions, fed
// in slices that may split messages anywhere. Message bodies are skipped by arithmetic; nothing is
// copied or allocated. The client's direction is fed with the bytes that are *forwarded to the
// server*, the server's with the bytes that are *received from it*.
//
// What is counted, and why (PostgreSQL 15, tcop/postgres.c and commands/copyfromparse.c):
// - Query, Sync and FunctionCall are answered by exactly one ReadyForQuery each, in order; except
// - Sync during COPY IN is swallowed, and Query and FunctionCall are dropped between an error of an
// extended
//   message and the next Sync.
// - Extended messages without a Sync (Flush) leave an implicit transaction open though no status
// says so. Where the protocol itself is ambiguous (an error in COPY IN after a Sync that was sent
// early: the server may or may not have swallowed it) the count is *lost*: such a session is never
// at a boundary again. Never guessed.

#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/bytes.hpp"

namespace segue::protocol::postgres {

// A piece of a message that lies in one slice. A message split over n slices comes as n pieces.
struct Piece {
    char tag = 0;
    bool first = false;           // The body's beginning is in this piece.
    bool last = false;            // Its end is.
    std::uint32_t body_size = 0;  // Of the whole message.
    Bytes body;                   // The part in this slice; views it.
};

// A server message that somebody has to act on; offsets are in the slice.
struct ServerEvent {
    char tag = 0;  // C CommandComplete, I EmptyQueryResponse, s PortalSuspended, Z ReadyForQuery, E
                   // ErrorResponse, S, A, G, H, W
    char status = 0;        // Of ReadyForQuery: I, T or E. Known when `complete`.
    bool complete = false;  // The message's end is in this slice.
    std::size_t start =
        0;  // Offset of its tag. Zero also when the message began in an earlier slice.
    std::size_t end = 0;  // Offset after its last byte in this slice.
};

// One direction's place between messages.
struct Cursor {
    std::uint32_t remain = 0;  // Body bytes still to come.
    std::uint32_t body_size = 0;
    std::uint32_t length = 0;  // Length bytes read so far.
    char tag = 0;
    std::uint8_t header_read = 0;  // 0..5; 5 while in a body.

    bool between_messages() const { return header_read == 0; }
};

class Boundary {
public:
    // Feeds client bytes that are being forwarded. `visit(const Piece&)` is called for each piece
    // of a Query ('Q'), Parse ('P'), Bind ('B'), Execute ('E'), Close ('C') or FunctionCall ('F')
    // message in the slice, in order.
    template <class Visit>
    void client(Bytes slice, Visit&& visit);
    void client(Bytes slice);

    // Feeds bytes received from the server. `visit(const ServerEvent&)` is called, in order, for
    // every message (or the piece of it in this slice) with one of the tags named at ServerEvent.
    // After the call for a complete 'Z', status() is that Z's.
    template <class Visit>
    void server(Bytes slice, Visit&& visit);
    void server(Bytes slice);

    // For a hold: how many bytes of `slice` (the next bytes to be forwarded) go up to and including
    // the end of the next Query, Sync or FunctionCall message that will be answered, or the end of
    // a Query's COPY IN; the slice's size when none ends in it. Changes nothing.
    std::size_t client_cut(Bytes slice) const;

    // Nothing outstanding, no partial message in either direction, not in COPY, no extended message
    // without its Sync, status I: the session can be moved here.
    bool at_boundary() const { return quiet() && status_ == 'I'; }
    // The same without the status: the server owes nothing and waits for the client.
    bool quiet() const {
        return replies_outstanding() == 0 && !extended_open_ && copy_ == Copy::none && !lost_ &&
               !terminated_ && client_.between_messages() && server_.between_messages();
    }
    // In a hold: the client's next bytes (up to client_cut) must be forwarded, because what is
    // under way waits for them. False while the server owes a ReadyForQuery for whole messages, and
    // at a boundary.
    bool needs_client() const {
        const bool takes_data = copy_ == Copy::in || copy_ == Copy::both;
        return (replies_outstanding() == 0 || takes_data || !client_.between_messages()) &&
               !at_boundary();
    }

    // What the server answers now are extended messages, their Sync sent or not. False when unsure.
    bool answers_extended() const {
        if (runs_used_ == 0) return extended_open_;
        return kind(0) == Kind::sync || kind(0) == Kind::copy_end_extended;
    }

    char status() const { return status_; }  // Of the last ReadyForQuery.
    bool in_transaction() const { return status_ != 'I'; }
    // Transactions that have ended: equal at two moments in a transaction when it is the same one.
    // Wraps.
    std::uint32_t transactions_ended() const { return transactions_ended_; }
    // Requests that were answered to their end: each ReadyForQuery. Wraps.
    std::uint32_t requests_ended() const { return requests_ended_; }
    // ErrorResponses that were received. Wraps.
    std::uint32_t errors() const { return errors_; }
    // One of them since the last ReadyForQuery: when the server closes now it has said why.
    bool error_said() const { return error_said_; }
    bool in_copy() const { return copy_ != Copy::none; }
    bool in_copy_both() const { return copy_ == Copy::both; }
    bool extended_open() const { return extended_open_; }  // Extended messages since the last Sync.
    bool lost() const { return lost_; }                    // The count is lost: pinned for good.
    bool terminated() const { return terminated_; }        // The client has sent Terminate.
    bool client_between_messages() const { return client_.between_messages(); }
    bool server_between_messages() const { return server_.between_messages(); }
    std::uint32_t replies_outstanding() const { return replies_; }

private:
    enum class Copy : std::uint8_t {
        none,
        in,
        in_ended,
        out,
        both
    };  // in_ended: the client has said that it is done.
    // What the client has sent and the server has not answered, as runs of equal kinds.
    // `dirty_query` follows an Execute without a Sync, `parsed_query` other extended messages
    // without one (asyncpg's prepare, with a Flush): a COPY can only be its own. The copy_ends are
    // CopyDone or CopyFail sent before the server said that it is in COPY IN: of the query or early
    // Sync before it, or of the extended messages whose Sync comes later.
    enum class Kind : std::uint8_t {
        query,
        dirty_query,
        parsed_query,
        sync,
        mixed,
        copy_end,
        copy_end_extended
    };
    struct Run {
        std::uint32_t count : 29;
        std::uint32_t kind : 3;
    };
    static constexpr std::size_t runs_max =
        8;  // Beyond it the last run becomes `mixed`: exact unless a COPY IN begins in it.

    void sent(char tag);  // A client message's header is complete.
    void sent_reply_request(char tag);
    void sent_copy_end();
    void received(char tag);  // A server message's header is complete.
    void received_ready(char status);
    void received_copy_in();
    void received_error();
    void push(Kind kind);
    void take_one(std::size_t run);  // Of runs_[run]; removes the run when it is empty.
    void drop_front_runs(Kind kind);
    void swallow_early_syncs(std::size_t run);
    Kind kind(std::size_t run) const { return static_cast<Kind>(runs_[run].kind); }
    static bool visited_client_tag(char tag);
    static bool visited_server_tag(char tag);

    Cursor client_;
    Cursor server_;
    std::array<Run, runs_max> runs_{};
    std::uint32_t replies_ = 0;          // Sum of all runs but copy_end.
    std::uint32_t syncs_swallowed_ = 0;  // In the present COPY IN.
    std::uint32_t transactions_ended_ = 0;
    std::uint32_t requests_ended_ = 0;
    std::uint32_t errors_ = 0;
    std::uint8_t runs_used_ = 0;
    char status_ = 'I';
    Copy copy_ = Copy::none;
    bool extended_open_ = false;
    bool execute_open_ = false;  // An Execute is among them.
    bool skipping_ = false;      // The server discards up to a Sync that has not been sent yet.
    bool lost_ = false;
    bool terminated_ = false;
    bool error_said_ = false;
};

// Reads what `slice` has of the next header. True when the header is complete.
inline bool take_header(Cursor& cursor, Bytes slice, std::size_t& at) {
    if (cursor.header_read == 0 && slice.size() - at >= 5) {
        cursor.tag = static_cast<char>(slice[at]);
        cursor.length = static_cast<std::uint32_t>(slice[at + 1]) << 24 |
                        static_cast<std::uint32_t>(slice[at + 2]) << 16 |
                        static_cast<std::uint32_t>(slice[at + 3]) << 8 |
                        static_cast<std::uint32_t>(slice[at + 4]);
        at += 5;
    } else {
        for (; cursor.header_read < 5 && at < slice.size(); ++at, ++cursor.header_read) {
            if (cursor.header_read == 0) {
                cursor.tag = static_cast<char>(slice[at]);
                cursor.length = 0;
            } else {
                cursor.length = (cursor.length << 8) | static_cast<std::uint32_t>(slice[at]);
            }
        }
        if (cursor.header_read < 5) return false;
    }
    cursor.header_read = 5;
    // A length below 4 is a broken peer; it will end the connection. Nothing is skipped.
    cursor.body_size = cursor.length < 4 ? 0 : cursor.length - 4;
    cursor.remain = cursor.body_size;
    return true;
}

// Calls `on_header(tag)` when a message's header is complete, and `on_body(piece, start, end)` for
// every message that has bytes in `slice`, with the offsets of that piece.
template <class OnHeader, class OnBody>
void walk(Cursor& cursor, Bytes slice, OnHeader&& on_header, OnBody&& on_body) {
    std::size_t at = 0;
    while (at < slice.size()) {
        const std::size_t start = at;
        const bool first = cursor.header_read < 5;
        if (first) {
            if (!take_header(cursor, slice, at)) return;
            on_header(cursor.tag);
        }
        const std::size_t take =
            cursor.remain < slice.size() - at ? cursor.remain : slice.size() - at;
        const Bytes body = slice.subspan(at, take);
        at += take;
        cursor.remain -= static_cast<std::uint32_t>(take);
        const bool last = cursor.remain == 0;
        if (last) cursor.header_read = 0;
        on_body(Piece{cursor.tag, first, last, cursor.body_size, body}, start, at);
    }
}

template <class Visit>
void Boundary::client(Bytes slice, Visit&& visit) {
    walk(
        client_,
        slice,
        [this](char tag) { sent(tag); },
        [&visit](const Piece& piece, std::size_t, std::size_t) {
            if (visited_client_tag(piece.tag)) visit(piece);
        });
}

template <class Visit>
void Boundary::server(Bytes slice, Visit&& visit) {
    walk(
        server_,
        slice,
        [this](char tag) { received(tag); },
        [this, &visit](const Piece& piece, std::size_t start, std::size_t end) {
            ServerEvent event{piece.tag, 0, piece.last, start, end};
            if (piece.tag == 'Z' && piece.last && !piece.body.empty()) {
                event.status = static_cast<char>(piece.body.back());
                received_ready(event.status);
            }
            if (visited_server_tag(piece.tag)) visit(static_cast<const ServerEvent&>(event));
        });
}

inline bool Boundary::visited_client_tag(char tag) {
    return tag == 'Q' || tag == 'P' || tag == 'B' || tag == 'E' || tag == 'C' || tag == 'F';
}
inline bool Boundary::visited_server_tag(char tag) {
    switch (tag) {
        case 'C':
        case 'I':
        case 's':
        case 'Z':
        case 'E':
        case 'S':
        case 'A':
        case 'G':
        case 'H':
        case 'W':
            return true;
        default:  // Tags are the peer's, not an enumeration of ours.
            return false;
    }
}

}  // namespace segue::protocol::postgres
