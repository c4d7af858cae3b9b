#include "protocol/postgres/notification_barrier.hpp"

#include <cstdint>

#include "protocol/postgres/session_state.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::size_t statements = 3;

// NotificationResponse := 'A' int32 size, int32 pid, cstring channel, cstring payload
std::string_view notified_channel(Bytes body) {
    ByteReader reader{body};
    (void)reader.big_endian<std::int32_t>();
    return reader.zero_terminated();
}

}  // namespace

std::string barrier_request(std::string_view channel) {
    const std::string name{channel};
    // Each its own transaction: a notification is sent at its commit.
    return execute_request("LISTEN " + name) + execute_request("NOTIFY " + name) +
           execute_request("UNLISTEN " + name);
}

Step<std::string> parse_barrier_reply(Bytes reply, std::string_view channel) {
    ReplyWalk walk{reply, "notification barrier", statements};
    std::string for_client;
    bool met = false;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* error = std::get_if<Error>(&step)) return *error;
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (walk.refusal()) return *walk.refusal();
        const Frame& frame = std::get<Frame>(step);
        const bool ours = frame.tag == 'A' && notified_channel(frame.body) == channel;
        met = met || ours;
        if ((frame.tag == 'A' && !ours) || frame.tag == 'S') for_client += text(frame.wire);
    }
    if (!met)
        return Error{Errc::bad_value,
                     "the server did not deliver a notification to its own session"};
    // What came behind the last answer belongs to the client as well.
    return for_client + messages_for_client(walk.rest());
}

}  // namespace segue::protocol::postgres
