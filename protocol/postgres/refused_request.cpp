#include "protocol/postgres/refused_request.hpp"

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr char terminate_tag = 'X';

// The server answers this message, when it comes at a boundary, with ReadyForQuery.
bool ends_request(char tag) { return tag == 'Q' || tag == 'S' || tag == 'F'; }

}  // namespace

Step<RefusedRequest> refuse_request(Bytes input, const ErrorReport& report, std::size_t size_max) {
    std::size_t size = 0;
    for (;;) {
        const Step<Frame> step = next_frame(input.subspan(size), size_max - size);
        if (const auto* error = std::get_if<Error>(&step)) return *error;
        if (const auto* need = std::get_if<NeedMore>(&step)) return NeedMore{size + need->size_min};
        const Frame& frame = std::get<Frame>(step);
        if (frame.tag == terminate_tag) return Error{Errc::closed, "the client ends the session"};
        size += frame.wire.size();
        if (!ends_request(frame.tag)) continue;
        RefusedRequest refused{size, encode_error_response(report)};
        append_message(refused.reply, 'Z', "I");
        return refused;
    }
}

}  // namespace segue::protocol::postgres
