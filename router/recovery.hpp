#pragma once
// What both control records say after a restart, and what follows from it (DESIGN 6 "Undo" and
// "Restart"). Pure: whoever calls reads both records, asks `recover`, does what it says, reads
// again, until it says Serve, NoMigration or Refuse. Never guesses: what cannot be known holds the
// clients.

#include <cstdint>
#include <string_view>
#include <variant>

#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::router {

// One side's record, as far as it matters here.
struct SideRecord {
    std::uint64_t epoch = 0;
    Side authority = Side::source;
    Phase phase = Phase::steady;
    // The server is not the one, or not on the timeline, that was recorded: a standby was promoted
    // or a backup restored. Fence and record are unproven; it is not believed alone.
    bool identity_changed = false;

    friend bool operator==(const SideRecord&, const SideRecord&) = default;
};
struct Unreadable {
    friend bool operator==(Unreadable, Unreadable) = default;
};
struct Absent {
    friend bool operator==(Absent, Absent) = default;
};  // Readable, and there is no record.
using Reading = std::variant<Unreadable, Absent, SideRecord>;

struct NoMigration {};  // A plain proxy to the source.
struct Serve {          // Clients go to `side`, whose fence is to be open.
    Side side = Side::source;
    std::uint64_t epoch = 0;
    bool finished = false;  // By a tombstone: there is nothing left to move.
};
enum class NewClients : std::uint8_t {
    wait,   // A change was under way: its outcome will be known.
    leave,  // The authority itself is down: they are told so, as by a server that is down.
};
struct HoldAndRetry {
    std::string_view reason;
    NewClients new_clients = NewClients::wait;
};  // Sessions wait; ask again.
struct UndoIntent {
    Side old_side = Side::source;
};  // Its record back to steady, then its fence open. It alone suffices.
struct AbortEpochFirst {
    Side old_side = Side::source;
};  // On the new side: the epoch aborted, by compare-and-set; then read again.
struct GoForward {
    Side new_side = Side::target;
};  // The epoch is committed: the old side's record follows; then read again.
struct Refuse {
    std::string_view reason;
};  // Records that no history of ours can leave. A human must look.

using Recovery =
    std::variant<NoMigration, Serve, HoldAndRetry, UndoIntent, AbortEpochFirst, GoForward, Refuse>;

Recovery recover(const Reading& source, const Reading& target);

}  // namespace segue::router
