// The actions of a change, each as the conductor carries it out.

#include <algorithm>

#include "tests/model/change_model.hpp"

namespace segue::model {

namespace {

using router::Phase;

Operation compare_and_set(Side side, const Record& expected, const Record& next) {
    return {Operation::Kind::compare_and_set, side, expected, next};
}
Operation open_fence(Side side, std::uint8_t epoch) {
    return {Operation::Kind::open_fence, side, Record{epoch, side, Phase::steady, 0, 0}, {}};
}
Operation close_fence(Side side, std::uint8_t epoch) {
    return {Operation::Kind::close_fence, side, Record{epoch, side, Phase::switching, 0, 0}, {}};
}

Record with(Record record, std::uint8_t epoch, Side authority, Phase phase, bool raise_attempt) {
    record.epoch = epoch;
    record.authority = authority;
    record.phase = phase;
    if (raise_attempt) ++record.attempt;
    return record;
}

}  // namespace

void ChangeModel::change(const ChangeState& state, std::size_t who, Steps& out) const {
    switch (state.processes[who].doing) {
        case Doing::check:
            return check(state, who, out);
        case Doing::record_intent:
            return record_intent(state, who, out);
        case Doing::hold:
            finish(state, who, Outcome::done, "hold", out);
            return finish(state, who, Outcome::failed, "hold: deadline", out);
        case Doing::fence:
            if (rules_.fence_before_position) return fence(state, who, out);
            return finish(state, who, Outcome::done, "(no fence yet)", out);
        case Doing::catch_up:
            return catch_up(state, who, out);
        case Doing::set_sequences:
            if (!rules_.fence_before_position) return fence(state, who, out);
            return finish(state, who, Outcome::done, "sequences", out);
        case Doing::record_deciding:
            return record_deciding(state, who, out);
        case Doing::commit_epoch:
            return commit_epoch(state, who, out);
        case Doing::ask_epoch:
            return ask(state, who, out);
        case Doing::become:
            return become(state, who, out);
        case Doing::open_fence:
            return open(state, who, out);
        case Doing::swap:
            return swap(state, who, out);
        case Doing::undo:
            return undo(state, who, out);
        case Doing::release:
            return finish(state, who, Outcome::done, "release", out);
        case Doing::record_steady:
            return record_steady(state, who, out);
        case Doing::nothing:
            return;
    }
}

void ChangeModel::finish(
    ChangeState state, std::size_t who, Outcome outcome, const char* action, Steps& out) const {
    const char* violation = go_on(state, who, outcome);
    emit(out, state, action, violation);
}

void ChangeModel::check(const ChangeState& state, std::size_t who, Steps& out) const {
    ChangeState next = state;
    Process& process = next.processes[who];
    process.seen = {state.world.databases[0].record, state.world.databases[1].record};
    const Record& old_record = process.seen[index(process.old_side)];
    const Record& new_record = process.seen[index(other(process.old_side))];
    for (const Record& record : {old_record, new_record}) {
        if (record.authority == process.old_side && record.phase == Phase::steady) continue;
        process = Process{};  // Somebody's intent, arrived late: recovery undoes it first.
        process.mode = Mode::recovering;
        return emit(out, next, "check: an intent is on record");
    }
    const auto last =
        rules_.never_reuse_epochs ? std::max(old_record.epoch, new_record.epoch) : old_record.epoch;
    process.epoch = static_cast<std::uint8_t>(last + 1);
    finish(next, who, Outcome::done, "check", out);
    finish(state, who, Outcome::failed, "check: refused", out);
}

void ChangeModel::record_intent(ChangeState state, std::size_t who, Steps& out) const {
    Process& process = state.processes[who];
    Record& seen = process.seen[index(process.old_side)];
    const Record before = seen;
    seen = with(before, process.epoch, process.old_side, Phase::switching, true);
    const auto operation = compare_and_set(process.old_side, before, seen);
    send(state, who, operation, "intent", out, answer());
}

void ChangeModel::catch_up(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Database& database = state.world.at(process.old_side);
    if (process.stage == 0) {
        ChangeState next = state;
        next.processes[who].position = database.log;
        next.processes[who].stage = 1;
        return emit(out, next, "position: read");
    }
    if (database.streamed >= process.position || !rules_.wait_for_position) {
        finish(state, who, Outcome::done, "position: applied", out);
    }
    finish(state, who, Outcome::failed, "position: deadline", out);
}

void ChangeModel::record_deciding(ChangeState state, std::size_t who, Steps& out) const {
    if (!rules_.deciding_recorded) {
        return finish(state, who, Outcome::done, "(deciding is not recorded)", out);
    }
    Process& process = state.processes[who];
    Record& seen = process.seen[index(process.old_side)];
    const Record before = seen;
    seen = with(before, process.epoch, process.old_side, Phase::deciding, true);
    const auto operation = compare_and_set(process.old_side, before, seen);
    send(state, who, operation, "deciding", out, answer());
}

// `since` is read while the fence is closed and stands in the same record.
void ChangeModel::commit_epoch(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Side new_side = other(process.old_side);
    const Record& seen = process.seen[index(new_side)];
    Record committed = with(seen, process.epoch, new_side, Phase::steady, true);
    committed.since = rules_.since_before_opening ? state.world.at(new_side).log : unset;
    const auto operation = compare_and_set(new_side, seen, committed);
    send(state,
         who,
         operation,
         "commit the epoch",
         out,
         [this](ChangeState& s, std::size_t w, Outcome outcome) {
             const bool guess = outcome == Outcome::unknown && !rules_.ask_when_unknown;
             return go_on(s, w, guess ? Outcome::failed : outcome);
         });
}

void ChangeModel::open(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const auto operation = open_fence(other(process.old_side), process.epoch);
    send(state, who, operation, "open the new side's fence", out, answer());
}

void ChangeModel::swap(ChangeState state, std::size_t who, Steps& out) const {
    const Side new_side = other(state.processes[who].old_side);
    const bool late = !rules_.since_before_opening || !rules_.become_before_opening;
    if (late && who == 0) {
        const Database& database = state.world.at(new_side);
        state.world.mover = {
            1, new_side, rules_.since_before_opening ? database.record.since : database.log};
    }
    finish(state, who, Outcome::done, "swap", out);
}

void ChangeModel::record_steady(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Record& seen = process.seen[index(process.old_side)];
    const Record steady = with(seen, process.epoch, other(process.old_side), Phase::steady, true);
    const auto operation = compare_and_set(process.old_side, seen, steady);
    send(state, who, operation, "steady", out, answer());
}

// The flag, then the lock: having it proves that no writer is open.
void ChangeModel::fence(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Side old_side = process.old_side;
    if (process.stage == 0) {
        send(state,
             who,
             close_fence(old_side, process.epoch),
             "fence: flag",
             out,
             [this](ChangeState& s, std::size_t w, Outcome outcome) -> const char* {
                 if (outcome != Outcome::done) return go_on(s, w, Outcome::failed);
                 s.processes[w].stage = 1;
                 return nullptr;
             });
        return;
    }
    ChangeState next = state;
    if (!state.world.writer_open_on(old_side) || !rules_.fence_waits_for_writers) {
        next.world.at(old_side).locked = 1;
        const char* violation = go_on(next, who, Outcome::done);
        emit(out, next, "fence: lock", violation);
    }
    next = state;
    const char* violation = go_on(next, who, Outcome::failed);
    emit(out, next, "fence: deadline", violation);
}

// Committed, or made impossible: nothing else is an answer.
void ChangeModel::ask(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Side new_side = other(process.old_side);
    const Record& record = state.world.at(new_side).record;
    ChangeState next = state;
    next.processes[who].seen[index(new_side)] = record;
    if (record.epoch == process.epoch) {
        const bool committed = record.authority == new_side;
        const char* violation = go_on(next, who, committed ? Outcome::done : Outcome::failed);
        emit(out, next, committed ? "ask: committed" : "ask: aborted", violation);
        return;
    }
    if (record.epoch > process.epoch) return;  // Superseded; its clients stay held until it ends.
    if (!rules_.abort_by_compare_and_set) {
        const char* violation = go_on(next, who, Outcome::failed);
        emit(out, next, "ask: absent", violation);
        return;
    }
    const Record aborted = with(record, process.epoch, process.old_side, Phase::steady, true);
    send(next,
         who,
         compare_and_set(new_side, record, aborted),
         "ask: abort the epoch",
         out,
         [this](ChangeState& s, std::size_t w, Outcome outcome) {
             return go_on(s, w, outcome == Outcome::done ? Outcome::failed : Outcome::unknown);
         });
}

void ChangeModel::become(ChangeState state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Side new_side = other(process.old_side);
    const Record& record = state.world.at(new_side).record;
    if (record.epoch != process.epoch || record.authority != new_side) return;  // Superseded.
    const bool now = rules_.since_before_opening && rules_.become_before_opening;
    if (who == 0 && now) state.world.mover = {1, new_side, record.since};
    finish(state, who, Outcome::done, "become", out);
}

// Its own intent taken back, or made impossible if it is still on its way; then the old side's
// fence.
void ChangeModel::undo(const ChangeState& state, std::size_t who, Steps& out) const {
    const Process& process = state.processes[who];
    const Side old_side = process.old_side;
    const Record& record = state.world.at(old_side).record;
    const Record& ours = process.seen[index(old_side)];
    const bool own = record.authority == old_side && record.epoch <= process.epoch;
    if (!own && rules_.undo_own_intent_only)
        return;  // Superseded; its clients stay held until it ends.
    if (record.phase == Phase::steady && record.attempt > ours.attempt) {
        return send(state,
                    who,
                    open_fence(old_side, record.epoch),
                    "undo: open the old side's fence",
                    out,
                    answer());
    }
    Record steady = with(record, record.epoch, old_side, Phase::steady, true);
    steady.attempt = static_cast<std::uint8_t>(std::max(record.attempt, ours.attempt) + 1);
    if (!rules_.never_reuse_epochs && record.phase != Phase::steady) --steady.epoch;
    send(state,
         who,
         compare_and_set(old_side, record, steady),
         "undo: take the intent back",
         out,
         [](ChangeState&, std::size_t, Outcome) -> const char* { return nullptr; });
}

}  // namespace segue::model
