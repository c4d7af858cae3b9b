#pragma once
// Walks the answer to a request of ours, message by message, up to the last ReadyForQuery that it
// owes. Pure; views the reply.

#include <cstddef>
#include <optional>
#include <string_view>

#include "protocol/bytes.hpp"
#include "protocol/postgres/framer.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

inline constexpr std::size_t state_reply_size_max = 32u << 20;

class ReplyWalk {
public:
    // `reply`: all bytes received so far. `what` names the request in errors; it outlives the walk.
    ReplyWalk(Bytes reply, std::string_view what, std::size_t ready_count = 1)
        : reply_(reply), what_(what), ready_count_(ready_count) {}

    // The next message; not after ended(). NeedMore counts from the reply's beginning.
    // Errc::closed: the server ends the session, no ReadyForQuery follows. Other errors: above the
    // limit, or not to be understood.
    Step<Frame> next();
    // What the message that next() has just returned says, if it is an ErrorResponse: Errc::server,
    // with the SQLSTATE.
    const std::optional<Error>& refusal() const { return refusal_; }

    // How many ReadyForQuery have been returned.
    std::size_t ready_seen() const { return ready_seen_; }
    bool ended() const { return ready_seen_ == ready_count_; }
    Bytes rest() const { return reply_.subspan(at_); }

private:
    Bytes reply_;
    std::string_view what_;
    std::size_t ready_count_;
    std::size_t ready_seen_ = 0;
    std::size_t at_ = 0;
    std::optional<Error> refusal_;
};

}  // namespace segue::protocol::postgres
