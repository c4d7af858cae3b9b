// Several Segues on one migration: what follows when another one was at work while this one was
// frozen or cut off.

#include <tuple>
#include <utility>

#include "proxy/auto_view.hpp"
#include "proxy/control_moves.hpp"
#include "proxy/operations.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

// For 20 ms the operator's thread waits for an answer; a later one is for the next tick.
constexpr int glances_max = 3;

bool is_settled(const ControlRecord& record) {
    return record.phase == router::Phase::steady || record.phase == router::Phase::finished;
}

bool is_later(const ControlRecord& one, const ControlRecord& than) {
    return std::tie(one.epoch, one.attempt) > std::tie(than.epoch, than.attempt);
}

// A verb of another process is seen by one that has nothing to move after so many ticks.
constexpr unsigned idle_ticks_per_look = 4;

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
    if (newest->authority == known.authority && newest->side == newest->authority)
        follow_knobs(known, *newest);
    return false;
}

// This process has not been told of the `start` of another one: its clients would stay on the
// source for good.
bool Operations::begun_by_another() {
    if (idle_ticks_++ % idle_ticks_per_look != 0) return false;
    const auto known = parts_.board.read().record;
    const auto found = read_record(parts_.change.steps.control(Side::source), Side::source);
    if (!found || !is_settled(*found) || found->migration != parts_.config.migration) return false;
    if (known && known->migration_id == found->migration_id && known->epoch == found->epoch &&
        known->phase == found->phase && known->backfill == found->backfill)
        return false;
    parts_.change.journal.event("superseded", "another Segue has started this migration");
    parts_.change.traffic.serving = false;
    parts_.change.traffic.epoch = found->epoch;
    const Side before = known ? known->authority : Side::source;
    if (found->authority != before) parts_.change.sessions.end_superseded();
    parts_.board.update([](BoardState& state) { state.authority_known = false; });
    return true;
}

void Operations::follow_knobs(const ControlRecord& known, const ControlRecord& found) {
    const bool same = found.knobs == known.knobs && found.backfill == known.backfill;
    // Also its number: who takes the lease next counts from there what others do.
    parts_.board.update([&](BoardState& board) { board.record = found; });
    if (!same) take_on(found);
}

void Operations::follow_others() {
    hold_to_others();
    const BoardState state = parts_.board.read();
    if (!state.authority_known || !copying_or_later()) return;
    const backfill::MoverStatus mover = parts_.change.mover.status();
    if (mover.moved_by_another || mover.superseded) return;  // See superseded().
    const Side authority = state.record->authority;
    const auto found = glance(parts_.change.steps.control(authority), glances_max);
    const bool about_this = found && found->migration_id == state.record->migration_id &&
                            found->authority == authority && found->phase == router::Phase::steady;
    if (!about_this || !is_later(*found, *state.record)) return;
    parts_.board.update([&](BoardState& board) {
        note_others(board, *found);
        board.record = *found;
    });
    hold_to_others();
}

// Each writing raises the attempt. One leaves what it has changed; of several, or in a change that
// was given up, the last may have changed back what the first has changed.
void Operations::note_others(BoardState& board, const ControlRecord& found) {
    const ControlRecord& known = *board.record;
    if (!is_later(found, known)) return;
    const bool ours = std::exchange(own_change_unread_, false);
    const bool once = found.epoch == known.epoch && found.attempt == known.attempt + 1;
    if (!once && !ours && course_of(found) == course_of(known)) ++board.course_changes;
    note_difference(board, found);
}

void Operations::note_difference(BoardState& board, const ControlRecord& found) {
    const ControlRecord& known = *board.record;
    if (found.knobs != known.knobs || found.backfill != known.backfill) others_to_follow_ = true;
    if (course_of(found) == course_of(known)) return;
    ++board.course_changes;
    course_before_ = course_of(found);
}

// Not in the middle of a verb, which may have closed the gate for what it is about to put on
// record.
void Operations::hold_to_others() {
    if (!std::exchange(others_to_follow_, false)) return;
    const BoardState state = parts_.board.read();
    if (state.authority_known && copying_or_later()) take_on(*state.record);
}

void Operations::take_on(const ControlRecord& record) {
    publish(record);
    parts_.change.mover.set_paused(record.knobs.paused);
    if (record.knobs.shadow_percent == 0) parts_.change.mover.suspect_none();
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
