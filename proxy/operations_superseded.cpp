// Several Segues on one migration: what follows when another one was at work while this one was
// frozen or cut off.

#include "proxy/control_moves.hpp"
#include "proxy/operations.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

bool is_settled(const ControlRecord& record) {
    return record.phase == router::Phase::steady || record.phase == router::Phase::finished;
}

std::string told(const ControlRecord& known, const ControlRecord& found) {
    const std::string side{name(found.authority)};
    if (found.authority != known.authority) {
        return "another Segue has made the " + side + " the authority, epoch " +
               std::to_string(found.epoch) +
               ", while this one was cut off: its clients have to connect again";
    }
    if (found.phase == router::Phase::finished) return "another Segue has finished this migration";
    return "another Segue was at work while this one was cut off: the records tell how it goes on";
}

}  // namespace

// What is in force by the records that can be read: the later epoch of those that are settled.
std::optional<ControlRecord> Operations::newest_record(bool& unsettled) const {
    std::optional<ControlRecord> newest;
    for (const Side side : {Side::source, Side::target}) {
        const auto found = read_record(parts_.change.steps.control(side), side);
        if (!found) continue;
        if (!is_settled(*found)) {
            unsettled = true;
        } else if (!newest || found->epoch > newest->epoch ||
                   (found->epoch == newest->epoch && found->authority == side)) {
            newest = *found;
        }
    }
    return newest;
}

// The fence keeps this one's clients from writing; here they are brought to where they can.
bool Operations::superseded() {
    const backfill::MoverStatus status = parts_.change.mover.status();
    if (!mover_started_ || !(status.moved_by_another || status.superseded)) return false;
    const ControlRecord known = *parts_.board.read().record;
    bool unsettled = false;
    const auto newest = newest_record(unsettled);
    // A change that is under way is the other one's, as long as that one lives.
    if (unsettled && status.moved_by_another) return false;
    if (!newest || newest->epoch < known.epoch) return false;
    const bool elsewhere = newest->authority != known.authority && newest->epoch > known.epoch;
    if (newest->phase == router::Phase::finished || elsewhere || status.superseded) {
        give_way(known, *newest);
        return true;
    }
    // An epoch that was given up is no reason to end anybody's session.
    if (newest->authority == known.authority) follow_knobs(known, *newest);
    return false;
}

void Operations::follow_knobs(const ControlRecord& known, const ControlRecord& found) {
    if (found.knobs == known.knobs && found.backfill == known.backfill) return;
    publish(found);
    parts_.change.mover.set_paused(found.knobs.paused);
    parts_.change.journal.event("superseded", "another Segue has changed what this migration does");
}

// Who the authority is has to be found out from the records, before anybody is served.
void Operations::give_way(const ControlRecord& known, const ControlRecord& found) {
    parts_.change.journal.warning("superseded", told(known, found));
    // Logins wait, also those under way, whose sessions would be on the wrong side.
    parts_.change.traffic.serving = false;
    parts_.change.traffic.epoch = found.epoch;
    if (found.authority != known.authority) parts_.change.sessions.end_superseded();
    parts_.change.mover.stop();
    mover_started_ = false;
    verification_loaded_ = false;
    parts_.board.update([](BoardState& state) { state.authority_known = false; });
}

// In the middle of a change of ours, whose clients are still held on its old side.
VerbResult Operations::overtaken(const std::string& reason) {
    const ControlRecord known = *parts_.board.read().record;
    bool unsettled = false;
    give_way(known, newest_record(unsettled).value_or(known));
    parts_.change.sessions.release();
    return VerbResult::refused(reason + ": see `segue status` for who the authority is");
}

}  // namespace segue::proxy
