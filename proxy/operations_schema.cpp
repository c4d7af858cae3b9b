// A change of the schema that cannot be made on the follower stands in the stream until somebody
// deals with it. Under `mirror sync` and the policy strict every writer would wait as long: sync is
// given up then, on record and for all to see, and taken up again when the stream goes on.

#include "proxy/operations.hpp"

namespace segue::proxy {

using router::Mirror;

namespace {

// A try to close the gate again keeps the operator's thread, twice that at most; there is another
// one at the next tick.
constexpr std::chrono::milliseconds near_patience{1000};

}  // namespace

void Operations::watch_schema_stop() {
    const std::string stop = parts_.change.mover.status().schema_stop;
    if (stop.empty()) {
        schema_stop_since_.reset();
        if (!parts_.board.read().sync_given_up.empty()) sync_again();
        return;
    }
    const auto now = backfill::Clock::now();
    if (!schema_stop_since_) schema_stop_since_ = now;
    const bool sync = parts_.board.read().record->knobs.mirror == Mirror::sync;
    // The policy bounded lets writers go by itself.
    if (!sync || parts_.config.mirror_policy != MirrorPolicy::strict) return;
    if (now - *schema_stop_since_ >= schema_stop_patience) give_up_sync(stop);
}

void Operations::give_up_sync(const std::string& stop) {
    if (!set_mirror(Mirror::async)) return;
    parts_.board.update([&](BoardState& state) { state.sync_given_up = stop; });
    parts_.change.journal.warning("mirror",
                                  "async until this is dealt with, and sync again then: " + stop);
}

void Operations::sync_again() {
    const BoardState state = parts_.board.read();
    const Side authority = state.record->authority;
    const backfill::MoverStatus mover = parts_.change.mover.status();
    const backfill::StreamStatus& stream = mover.streams[index(authority)];
    if (!stream.connected || !stream.reverse_ready || state.record->knobs.paused) return;
    if (!wait_for_follower(authority, near_patience) || !set_mirror(Mirror::sync)) return;
    parts_.board.update([](BoardState& board) { board.sync_given_up.clear(); });
    parts_.change.journal.event("mirror", "sync again: the stream has gone on");
}

}  // namespace segue::proxy
