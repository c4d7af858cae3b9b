#include "proxy/change_run.hpp"

#include <algorithm>
#include <thread>

#include "backfill/crash_point.hpp"
#include "proxy/control_moves.hpp"
#include "proxy/mover_wait.hpp"

namespace segue::proxy {

using backfill::ControlRecord;
using backfill::Written;
using router::Outcome;
using router::Phase;

namespace {

constexpr const char* drain_channel = "segue_drain";
constexpr std::chrono::milliseconds ticket_blink{30};
// A ticket is committed in some round trips; that both have been applied takes at most so many
// times that.
constexpr int ticket_ways = 3;
constexpr std::chrono::milliseconds ticket_patience{700};
// How often a side is glanced at until it has answered: for 1 s.
constexpr int glances_max = 100;
constexpr std::uint32_t pace_min = 250, pace_max = 4000;  // Microseconds a turn: see Traffic::pace.

std::string text(Side side) { return std::string{name(side)}; }

}  // namespace

Outcome ChangeRun::failed(std::string reason) {
    if (report_.reason.empty()) report_.reason = std::move(reason);
    return Outcome::failed;
}

Outcome ChangeRun::outcome(const Status& status) {
    return status ? Outcome::done : failed(status.error().detail);
}

// An Error means that nothing was sent; a conflict that somebody else was there first.
Outcome ChangeRun::outcome(const Result<Written>& written, const char* what) {
    if (!written) return failed(std::string{what} + ": " + written.error().detail);
    switch (*written) {
        case Written::yes:
            return Outcome::done;
        case Written::conflict:
            return failed(std::string{what} +
                          ": the control record was changed by somebody else meanwhile");
        case Written::unknown:
            failed(std::string{what} + ": the answer was lost");
            return Outcome::unknown;
    }
    return Outcome::unknown;
}

Outcome ChangeRun::perform(const router::Check&) {
    for (const auto check :
         {&ChangeRun::check_records, &ChangeRun::check_mover, &ChangeRun::check_fence}) {
        const Status checked = (this->*check)();
        if (!checked) return failed(checked.error().detail);
    }
    if (const Status prepared = prepare_sessions(); !prepared)
        return failed(prepared.error().detail);
    // Last: it may slow the clients down, and the hold is next.
    if (const Status caught_up = catch_up(); !caught_up) {
        return failed("the way there and back could not be proven: " + caught_up.error().detail);
    }
    return Outcome::done;
}

Status ChangeRun::check_records() {
    auto from = read_record(parts_.steps.control(from_), from_);
    if (!from) return from.error();
    if (from->authority != from_ || from->phase != Phase::steady) {
        return Error{
            Errc::refused,
            "the " + text(from_) +
                " is not the authority, or another change is under way: see `segue status`"};
    }
    if (from->backfill != router::Backfill::consistent) {
        return Error{Errc::refused,
                     "the databases are not consistent yet: wait until `segue status` says so"};
    }
    if (from->knobs.paused)
        return Error{Errc::refused, "following is paused: run `segue resume` first"};
    from_record_ = *from;
    // A change before this one may have left the follower's record behind.
    if (Status settled = settle_follower(parts_.steps, *from); !settled) return settled;
    auto to = read_record(parts_.steps.control(to_), to_);
    if (!to) return to.error();
    to_record_ = *to;
    epoch_ = std::max(from->epoch, to->epoch) + 1;
    return Done{};
}

Status ChangeRun::check_mover() {
    const Status connected =
        wait_connected(parts_.mover, {from_, to_}, limits_.connect, parts_.stopping);
    if (!connected) return connected;
    const backfill::MoverStatus status = parts_.mover.status();
    if (!status.problems.empty()) return Error{Errc::refused, status.problems.front()};
    if (parts_.mover.strays(to_) > 0) {
        return Error{Errc::refused,
                     "somebody else than Segue wrote to the " + text(to_) +
                         ": run `segue verify`, then `segue repair`"};
    }
    return Done{};
}

// Until a pair of tickets takes no longer than a blink, because that is what the hold will take at
// least. Where the machine is so busy that the mover gains no ground, the clients are slowed down a
// little, until the hold and no longer than `limits_.slowed`; then it is tried without, and given
// up rather than have them wait. Where the servers are far away the way itself takes its time,
// which no slowing shortens: it is granted on top.
Status ChangeRun::catch_up() {
    const auto deadline = Clock::now() + limits_.probe;
    bool exchanged_once = false;
    Clock::duration way = limits_.probe;  // The shortest seen: others were in the way of the rest.
    for (std::uint32_t pace = 0;; pace = std::clamp(pace * 2, pace_min, pace_max)) {
        set_pace(pace);
        const auto begun = Clock::now();
        const Status committed = commit_tickets();
        if (!committed) return committed;
        const auto committed_at = Clock::now();
        way = std::min(way, committed_at - begun);
        auto patience = committed_at + ticket_patience + ticket_ways * way;
        if (parts_.traffic.pace > 0)
            patience = std::min(patience, begun + (limits_.slowed - report_.slowed));
        const Status exchanged = await_tickets(std::min(deadline, patience));
        const auto now = Clock::now();
        const bool timed_out = !exchanged && exchanged.error().code == Errc::timed_out;
        if (!exchanged && !timed_out) return exchanged;
        // The last one is cut short by the deadline, and says nothing then.
        exchanged_once = exchanged || (exchanged_once && now >= deadline);
        if (now >= deadline) return exchanged_once ? Status{Done{}} : exchanged;
        if (exchanged && now - begun < ticket_blink + ticket_ways * way) return Done{};
    }
}

void ChangeRun::set_pace(std::uint32_t pace) {
    const auto now = Clock::now();
    if (parts_.traffic.pace > 0)
        report_.slowed += std::chrono::duration_cast<std::chrono::microseconds>(now - paced_at_);
    paced_at_ = now;
    parts_.traffic.pace = report_.slowed < limits_.slowed ? pace : 0;
}

Status ChangeRun::check_fence() {
    if (Status armed = parts_.steps.arm_fence(from_, Clock::now() + limits_.arm); !armed)
        return armed;
    auto blockers = parts_.steps.blockers(from_);
    if (!blockers) return blockers.error();
    if (blockers->empty()) return Done{};
    std::string all;
    for (const backfill::Blocker& blocker : *blockers)
        all += (all.empty() ? "" : "\n") + blocker.text;
    return Error{Errc::refused, all};
}

Status ChangeRun::commit_tickets() {
    for (const Side side : {from_, to_}) {
        const auto ticket = parts_.steps.commit_ticket(side);
        if (!ticket) return ticket.error();
        tickets_[index(side)] = *ticket;
    }
    return Done{};
}

Status ChangeRun::await_tickets(Clock::time_point deadline) {
    for (const Side side : {from_, to_}) {
        if (Status nudged = parts_.mover.nudge(side); !nudged) return nudged;
    }
    for (const Side side : {from_, to_}) {
        if (parts_.mover.applied(side).wait_for(tickets_[index(side)], deadline)) continue;
        return Error{Errc::timed_out,
                     "a ticket of the " + text(side) + " did not reach the " + text(other(side)) +
                         " in time"};
    }
    return Done{};
}

Status ChangeRun::exchange_tickets(Clock::time_point deadline) {
    if (Status committed = commit_tickets(); !committed) return committed;
    return await_tickets(deadline);
}

Status ChangeRun::prepare_sessions() {
    return parts_.sessions.prestage(
        to_, Clock::now() + limits_.prestage, std::min(limits_.drain, limits_.deadline));
}

// Only by who holds the lease: a process that was frozen meanwhile must not decide anything.
Result<Written> ChangeRun::write(Side side,
                                 const ControlRecord& expected,
                                 const ControlRecord& next) {
    const auto lease = parts_.mover.lease(side);
    if (!lease) return Error{Errc::refused, "another Segue moves this migration"};
    return parts_.steps.control(side).compare_and_set(expected, next, lease);
}

bool ChangeRun::overtaken(bool may_be_committed) {
    const Side needed = may_be_committed ? to_ : from_;
    // Between two attempts that wait for a dead side many seconds pass: an answer is not left to
    // the next one.
    const int most = limits_.retry_pause.count() > 0 ? glances_max : 1;  // 0: time is not real.
    for (const Side side : {other(needed), needed}) {
        backfill::ControlStore& store = parts_.steps.control(side);
        const auto read = side == needed
                              ? store.read()
                              : Result<std::optional<ControlRecord>>{glance(store, most)};
        if (!read || !*read) continue;
        const ControlRecord& record = **read;
        if (record.epoch <= epoch_ && record.phase != Phase::finished) continue;
        failed("another Segue has taken this migration over meanwhile");
        report_.overtaken = true;
        break;  // Clients are held: nothing more is waited for.
    }
    return report_.overtaken;
}

Outcome ChangeRun::perform(const router::RecordIntent&) {
    parts_.mover.expect_change(epoch_);
    const ControlRecord next = as_told(from_record_, epoch_, from_, Phase::switching);
    const Outcome result = outcome(write(from_, from_record_, next), "intent");
    // Also when the answer was lost: undo must then make a late one fail.
    if (result != Outcome::failed) from_record_ = next;
    intended_ = result != Outcome::failed;
    return result;
}

Outcome ChangeRun::perform(const router::Hold&) {
    const auto now = Clock::now();
    deadline_ = now + limits_.deadline;
    set_pace(0);
    report_.held = true;
    return outcome(parts_.sessions.hold(to_, now + std::min(limits_.drain, limits_.deadline)));
}

Outcome ChangeRun::perform(const router::Fence&) {
    fenced_ = true;
    const auto end_the_others = [&] {
        return parts_.steps.terminate_stale_backends(from_, parts_.sessions.backend_pids(from_));
    };
    // Ours have ended. Another proxy may have been frozen in the middle of one, and nobody would
    // end it.
    const auto patience = std::min<Clock::duration>(limits_.drain, (deadline_ - Clock::now()) / 2);
    Status closed = parts_.steps.close_fence(from_, Clock::now() + patience);
    if (!closed && closed.error().code == Errc::timed_out && Clock::now() < deadline_) {
        if (const Status ended = end_the_others(); !ended) return failed(ended.error().detail);
        closed = parts_.steps.close_fence(from_, deadline_);
    }
    if (!closed) return failed(closed.error().detail);
    return outcome(end_the_others());
}

Outcome ChangeRun::perform(const router::CatchUp&) {
    if (parts_.sessions.any_listening()) {
        const Status drained = parts_.sessions.drain_notifications(drain_channel, deadline_);
        if (!drained) return failed(drained.error().detail);
    }
    return outcome(exchange_tickets(deadline_));
}

Outcome ChangeRun::perform(const router::SetSequences&) {
    return outcome(parts_.steps.sequences_ahead(from_, to_));
}

Outcome ChangeRun::perform(const router::RecordDeciding&) {
    const ControlRecord next = as_told(from_record_, epoch_, from_, Phase::deciding);
    const Outcome result = outcome(write(from_, from_record_, next), "deciding");
    if (result != Outcome::failed) from_record_ = next;
    return result;
}

// The last look before the point of no return; empty when all is well.
std::string ChangeRun::not_ready_to_commit() {
    if (!parts_.steps.fence_held(from_)) return "the session that holds the fence's lock was lost";
    if (parts_.mover.strays(to_) > 0)
        return "somebody else than Segue wrote to the " + text(to_) + " during the change";
    if (Clock::now() >= deadline_)
        return "the deadline of " + std::to_string(limits_.deadline.count()) + " ms passed";
    return "";
}

Outcome ChangeRun::perform(const router::CommitEpoch&) {
    const auto end = parts_.steps.log_end(to_);
    if (!end) return failed(end.error().detail);
    ControlRecord next = as_told(to_record_, epoch_, to_, Phase::steady);
    // The fence of this side is closed until after this commit: no application's transaction lies
    // between.
    next.since = since_ = *end;
    next.backfill = router::Backfill::consistent;
    next.knobs = from_record_.knobs;
    next.knobs.shadow_percent = 0;
    next.knobs.shift_percent = 0;
    next.knobs.shift_scope = {};
    if (std::string reason = not_ready_to_commit(); !reason.empty())
        return failed(std::move(reason));
    const auto written = write(to_, to_record_, next);
    const Outcome result = outcome(written, "commit");
    if (result == Outcome::done) to_record_ = next;
    // Somebody else wrote the record: only the record can tell what stands there now.
    return written && *written == Written::conflict ? Outcome::unknown : result;
}

Outcome ChangeRun::perform(const router::AskEpoch&) { return ask_epoch(parts_.steps, to_, epoch_); }

Outcome ChangeRun::perform(const router::Become&) {
    // What the record says, not a later end: by it the mover finds again, after a restart, what it
    // noted of stray writes.
    return parts_.mover.become(to_, since_) ? Outcome::done : Outcome::failed;
}

Outcome ChangeRun::perform(const router::OpenFence&) {
    return parts_.steps.open_fence(to_) ? Outcome::done : Outcome::failed;
}

Outcome ChangeRun::perform(const router::Swap&) {
    parts_.traffic.authority = to_;
    parts_.traffic.epoch = epoch_;
    parts_.traffic.shadow_percent = 0;
    parts_.traffic.shift_percent = 0;
    parts_.traffic.shift_rules.set({});
    parts_.sessions.swap(to_);
    report_.ending = router::Ending::changed;
    report_.reason.clear();  // What had to be tried twice is in the journal.
    return Outcome::done;
}

Outcome ChangeRun::perform(const router::Undo&) {
    if (intended_ && !undo_intent(parts_.steps, from_, from_record_)) return Outcome::failed;
    if (fenced_) {
        if (!parts_.steps.open_fence(from_)) return Outcome::failed;
        parts_.steps.release_fence_lock(from_);
    }
    report_.ending = router::Ending::undone;
    return Outcome::done;
}

Outcome ChangeRun::perform(const router::Release&) {
    backfill::crash_point("change.before_release");
    if (!report_.held) return Outcome::done;
    const WaitReport waited = parts_.sessions.release();
    report_.hold = waited.hold;
    report_.longest_wait = waited.longest_wait;
    return Outcome::done;
}

Outcome ChangeRun::perform(const router::RecordSteady&) {
    parts_.steps.release_fence_lock(from_);  // The flag stays closed.
    const auto authority = read_record(parts_.steps.control(to_), to_);
    if (!authority) return Outcome::failed;
    return settle_follower(parts_.steps, *authority) ? Outcome::done : Outcome::failed;
}

Outcome ChangeRun::perform(const router::Finished& finished) {
    set_pace(0);
    parts_.mover.expect_change(0);
    report_.ending = finished.ending;
    parts_.sessions.drop_other_connections();
    return Outcome::done;
}

}  // namespace segue::proxy
