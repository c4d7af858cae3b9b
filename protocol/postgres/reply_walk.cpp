#include "protocol/postgres/reply_walk.hpp"

#include <cassert>
#include <string>

#include "protocol/postgres/messages_server.hpp"

namespace segue::protocol::postgres {

Step<Frame> ReplyWalk::next() {
    assert(!ended());
    refusal_.reset();
    if (reply_.size() > state_reply_size_max)
        return Error{Errc::too_large, std::string{what_} + ": answer above the limit"};
    Step<Frame> step = next_frame(reply_.subspan(at_), state_reply_size_max);
    if (const auto* need = std::get_if<NeedMore>(&step)) return NeedMore{at_ + need->size_min};
    const auto* frame = std::get_if<Frame>(&step);
    if (frame == nullptr) return step;
    at_ += frame->wire.size();
    if (frame->tag == 'Z') ++ready_seen_;
    if (frame->tag != 'E') return step;
    const Result<ErrorFields> fields = parse_error_fields(frame->body);
    if (!fields) return fields.error();
    const std::string said = std::string{what_} + ": " + std::string{fields->message};
    if (fields->fatal()) return Error{Errc::closed, said, std::string{fields->sqlstate}};
    refusal_ = Error{Errc::server, said, std::string{fields->sqlstate}};
    return step;
}

}  // namespace segue::protocol::postgres
