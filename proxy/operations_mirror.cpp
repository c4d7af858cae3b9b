// `mirror async` and `mirror sync`: the order of gate and record.

#include <nlohmann/json.hpp>
#include <thread>

#include "proxy/operations.hpp"

namespace segue::proxy {

using backfill::ControlRecord;
using router::Mirror;

namespace {

constexpr std::chrono::milliseconds sync_pause{50};

}  // namespace

VerbResult Operations::mirror(const Json& arguments) {
    const std::string mode = arguments.value("mode", "");
    if (mode != "async" && mode != "sync") return {2, "expected async or sync"};
    const bool sync = mode == "sync";
    if (std::string reason = sync ? not_consistent() : not_moving(); !reason.empty())
        return VerbResult::refused(reason);
    if (sync && parts_.board.read().record->knobs.paused) return VerbResult::refused(paused_text);
    if (const Status set = sync ? begin_sync() : set_mirror(Mirror::async); !set)
        return VerbResult::refused(set.error().detail);
    return VerbResult::done(
        sync ? "mirror sync: a commit is acknowledged when both databases have it"
             : "mirror async: a commit is acknowledged when the authority has it");
}

// A gate in front of a follower that is far behind would stop every commit for as long: first it
// comes near. Where a stream is lost just then, or does not get through in front of a closed gate,
// it is tried again while nobody is held.
Status Operations::begin_sync() {
    const ControlRecord record = *parts_.board.read().record;
    if (record.knobs.mirror == Mirror::sync) return set_mirror(Mirror::sync);
    if (parts_.change.mover.status().moved_by_another)
        return Error{Errc::refused,
                     "another Segue moves this migration, and closes the gate first: run `segue "
                     "mirror sync` there"};
    const auto deadline = backfill::Clock::now() + sync_wait;
    for (;;) {
        if (const Status there = connected({record.authority}); !there) return there;
        Status begun = wait_for_follower(record.authority,
                                         std::chrono::duration_cast<std::chrono::milliseconds>(
                                             deadline - backfill::Clock::now()));
        if (begun) begun = set_mirror(Mirror::sync);
        const bool again =
            !begun && (begun.error().code == Errc::closed || begun.error().code == Errc::timed_out);
        if (!again || parts_.change.stopping || backfill::Clock::now() >= deadline) return begun;
        std::this_thread::sleep_for(sync_pause);
    }
}

// What was committed so far.
Status Operations::wait_for_follower(Side authority, std::chrono::milliseconds time_max) {
    const auto ticket = parts_.change.steps.commit_ticket(authority);
    if (!ticket) return ticket.error();
    const Status nudged = parts_.change.mover.nudge(authority);
    if (!nudged) return Error{Errc::closed, nudged.error().detail + ": try again"};
    const auto deadline = backfill::Clock::now() + time_max;
    if (parts_.change.mover.applied(authority).wait_for(*ticket, deadline)) return Done{};
    return Error{Errc::timed_out,
                 "the follower is too far behind: wait until the lag that `segue status` shows is"
                 " small"};
}

// What is promised of a lost side is read from the record. So sync is on it only while the gate is
// closed, and once the follower also has what was acknowledged before: whoever died in between
// leaves a record that says async.
Status Operations::set_mirror(Mirror mirror,
                              const std::string& given_up_for,
                              const std::function<bool(const router::Knobs&)>& only_if) {
    const ControlRecord record = *parts_.board.read().record;
    Sessions& sessions = parts_.change.sessions;
    const bool closing = mirror == Mirror::sync && record.knobs.mirror != Mirror::sync;
    if (closing) {
        sessions.set_gate(true);
        if (Status near = wait_for_follower(record.authority, gate_wait); !near) {
            sessions.set_gate(false);
            return near;
        }
    }
    const auto written = update_record([&](ControlRecord& next) -> std::string {
        if (mirror == Mirror::sync && next.knobs.paused) return paused_text;
        // Here the gate was closed all the time; in the Segue that was told so it is open.
        const bool reopened = mirror == Mirror::sync && !closing && next.knobs.mirror != mirror;
        if (reopened || (only_if && !only_if(next.knobs)))
            return "another Segue has changed the mirror meanwhile: see `segue status`";
        next.knobs.mirror = mirror;
        next.knobs.sync_given_up = given_up_for;
        return allowed;
    });
    // What may be on record must be kept: then it stays closed.
    const bool in_doubt = !written && written.error().code == Errc::in_doubt;
    if (!written && closing && !in_doubt) sessions.set_gate(false);
    if (!written) return written.error();
    sessions.set_gate(mirror == Mirror::sync);
    return Done{};
}

}  // namespace segue::proxy
