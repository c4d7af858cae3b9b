#include "protocol/postgres/refused_request.hpp"

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr char terminate_tag = 'X';

constexpr char flush_tag = 'H';

// The server answers this message, when it comes at a boundary, with ReadyForQuery.
bool ends_request(char tag) { return tag == 'Q' || tag == 'S' || tag == 'F'; }

std::string ready() {
    std::string message;
    append_message(message, 'Z', "I");
    return message;
}

}  // namespace

Step<RefusedRequest> refuse_request(Bytes input, const ErrorReport& report, std::size_t size_max) {
    std::size_t size = 0;
    bool extended = false;
    for (;;) {
        const Step<Frame> step = next_frame(input.subspan(size), size_max - size);
        if (const auto* error = std::get_if<Error>(&step)) return *error;
        if (const auto* need = std::get_if<NeedMore>(&step)) return NeedMore{size + need->size_min};
        const Frame& frame = std::get<Frame>(step);
        if (frame.tag == terminate_tag) return Error{Errc::closed, "the client ends the session"};
        const bool flushed = frame.tag == flush_tag && extended;
        extended = extended || frame.tag != flush_tag;
        size += frame.wire.size();
        if (flushed) return RefusedRequest{size, encode_error_response(report), true};
        if (ends_request(frame.tag))
            return RefusedRequest{size, encode_error_response(report) + ready(), false};
    }
}

std::size_t SkipToSync::skip(Bytes input) {
    std::size_t dropped = 0;
    const auto on_body = [&](const Piece& piece, std::size_t, std::size_t end) {
        if (ended()) return;
        dropped = end;
        if (piece.tag == terminate_tag) end_ = End::terminate;
        if (piece.tag == 'S' && piece.last) end_ = End::sync;
    };
    walk(
        cursor_, input, [](char) {}, on_body);
    // Without an end also the part of a header that the cursor has taken.
    return ended() ? dropped : input.size();
}

std::string SkipToSync::reply() const { return end_ == End::sync ? ready() : std::string{}; }

}  // namespace segue::protocol::postgres
