#pragma once
// (state, read, session) -> who answers, and whether the other side is asked as well. Pure; one
// page.

#include <cstdint>

#include "router/share.hpp"
#include "router/state.hpp"

namespace segue::router {

// A complete request at a boundary outside a transaction.
enum class ReadIntent : std::uint8_t {
    other,           // Not known to be a read.
    authority_only,  // A read that means something on one server only.
    read,            // May run on the follower; its two answers cannot be compared, only timed.
    comparable_read,
};

constexpr bool is_for_follower(ReadIntent intent) {
    return intent == ReadIntent::read || intent == ReadIntent::comparable_read;
}

enum class FollowerConnection : std::uint8_t {
    none,    // There is none, and none can be had (a pinned session).
    wanted,  // To be opened, or its state is behind the session's.
    ready,   // Logged in as the session, in the session's state.
};

enum class Answerer : std::uint8_t { authority, follower };

// Whether the read is one that the shift is about.
enum class ShiftClaim : std::uint8_t {
    none,       // No, or nothing is shifted.
    share,      // One of the statements that the percentage is of.
    whole,      // Of a session that was chosen: all its reads are.
    uncertain,  // To be known once there is a connection.
};

struct Plan {
    Answerer answers = Answerer::authority;
    bool shadow = false;  // The follower is asked as well; the client does not wait.
    bool want_connection =
        false;  // The session should get its follower connection for the next time.

    friend bool operator==(const Plan&, const Plan&) = default;
};

struct Shares {
    Share shift, shadow;
};

// Updates `shares` for every read that could have gone either way. `claim` is none where
// knobs.shift_percent is 0.
Plan route(Backfill backfill,
           const Knobs& knobs,
           ReadIntent intent,
           FollowerConnection connection,
           ShiftClaim claim,
           Shares& shares);

}  // namespace segue::router
