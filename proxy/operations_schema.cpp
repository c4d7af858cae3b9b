// A change of the schema that cannot be made on the follower stands in the stream until somebody
// deals with it, and one that takes long there until it is made. Under `mirror sync` and the policy
// strict every writer would wait as long: sync is given up then, on record and for all to see, and
// taken up again when the stream goes on, also by the next run of the program.

#include <utility>

#include "proxy/operations.hpp"

namespace segue::proxy {

using router::Mirror;

namespace {

// A try to close the gate again keeps the operator's thread, twice that at most; there is another
// one at the next tick.
constexpr std::chrono::milliseconds near_patience{1000};
// What is kept on record of the reason.
constexpr std::size_t given_up_text_max = 4000;
// Where the authority cannot keep that: the follower told it in an encoding of its own.
constexpr const char* given_up_for_plain =
    "a change of the schema stands in the stream: see `segue status`";

std::string for_the_record(std::string text) {
    if (text.size() <= given_up_text_max) return text;
    std::size_t end = given_up_text_max;
    // Not in the middle of a character.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
    return text;
}

}  // namespace

void Operations::watch_schema_stop() {
    const backfill::MoverStatus mover = parts_.change.mover.status();
    const auto now = backfill::Clock::now();
    if (mover.schema_stop.empty()) {
        schema_stop_since_.reset();
    } else if (!schema_stop_since_) {
        schema_stop_since_ = now;
    }
    // One that is under way stands in the stream as well, however long it takes.
    const auto since = schema_stop_since_ ? schema_stop_since_ : mover.schema_work_since;
    if (!since) {
        not_given_up_told_ = false;
        if (!parts_.board.read().sync_given_up().empty()) sync_again();
        return;
    }
    const bool sync = parts_.board.read().record->knobs.mirror == Mirror::sync;
    // The policy bounded lets writers go by itself.
    if (!sync || parts_.config.mirror_policy != MirrorPolicy::strict) return;
    if (now - *since < schema_stop_patience) return;
    give_up_sync(mover.schema_stop.empty() ? mover.schema_work : mover.schema_stop);
}

void Operations::give_up_sync(const std::string& stop) {
    const auto is_sync = [](const router::Knobs& knobs) { return knobs.mirror == Mirror::sync; };
    Status given_up = set_mirror(Mirror::async, for_the_record(stop), is_sync);
    if (!given_up && given_up.error().code == Errc::server)
        given_up = set_mirror(Mirror::async, given_up_for_plain, is_sync);
    if (!given_up) {
        if (!std::exchange(not_given_up_told_, true)) {
            parts_.change.journal.warning(
                "mirror", "sync cannot be given up, is tried again: " + given_up.error().detail);
        }
        return;
    }
    not_given_up_told_ = false;
    parts_.change.journal.warning("mirror",
                                  "async until this is dealt with, and sync again then: " + stop);
}

void Operations::sync_again() {
    const BoardState state = parts_.board.read();
    const Side authority = state.record->authority;
    const backfill::MoverStatus mover = parts_.change.mover.status();
    const backfill::StreamStatus& stream = mover.streams[index(authority)];
    if (!stream.connected || !stream.reverse_ready || state.record->knobs.paused) return;
    // The operator may have said async meanwhile, to another Segue.
    const auto is_given_up = [](const router::Knobs& knobs) {
        return !knobs.sync_given_up.empty();
    };
    if (!wait_for_follower(authority, near_patience) || !set_mirror(Mirror::sync, "", is_given_up))
        return;
    parts_.change.journal.event("mirror", "sync again: the stream has gone on");
}

}  // namespace segue::proxy
