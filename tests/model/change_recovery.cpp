// The part of the change model that starts again after a crash: what both records say, and what
// follows.

#include "tests/model/change_model.hpp"

#include <utility>

#include "protocol/result.hpp"

namespace segue::model {

namespace {

using router::Phase;

router::Reading reading(const Record& record) {
    if (record.epoch == unreadable_epoch) return router::Unreadable{};
    return router::SideRecord{record.epoch, record.authority, record.phase, false};
}

Record unreadable() {
    Record record;
    record.epoch = unreadable_epoch;
    return record;
}

// Whatever the answer: the records are read again.
const char* read_again(ChangeState& state, std::size_t who, router::Outcome) {
    Process process;
    process.mode = Mode::recovering;
    state.processes[who] = process;
    return nullptr;
}

Record changed(Record record, Side authority, bool raise_attempt) {
    record.authority = authority;
    record.phase = Phase::steady;
    if (raise_attempt) ++record.attempt;
    return record;
}

}  // namespace

// One record after the other: a late statement may come between.
void ChangeModel::recover(const ChangeState& state, std::size_t who, Steps& out) const {
    const std::uint8_t stage = state.processes[who].stage;
    if (stage >= 2) {
        decide(state, who, out);
        return;
    }
    const Side side = stage == 0 ? Side::source : Side::target;
    ChangeState next = state;
    next.processes[who].stage = static_cast<std::uint8_t>(stage + 1);
    next.processes[who].seen[index(side)] = state.world.at(side).record;
    emit(out,
         next,
         stage == 0 ? "recovery: read the source's record" : "recovery: read the target's record");
    next.processes[who].seen[index(side)] = unreadable();
    emit(
        out,
        next,
        stage == 0 ? "recovery: the source cannot be read" : "recovery: the target cannot be read");
}

void ChangeModel::decide(const ChangeState& state, std::size_t who, Steps& out) const {
    const auto& seen = state.processes[who].seen;
    const auto send_and_read_again = [&](Side side, const Record& next, const char* name) {
        const Operation operation{Operation::Kind::compare_and_set, side, seen[index(side)], next};
        send(state, who, operation, name, out, read_again);
    };
    std::visit(Overloaded{
                   [&](const router::NoMigration&) {
                       emit(out, state, "recovery", "recovery forgets the migration");
                   },
                   [&](const router::Refuse&) {
                       // Between its two readings somebody else may have gone on: only who is alone
                       // must understand.
                       const bool alone = who == 0 && rules_.lease_checked;
                       ChangeState next = state;
                       read_again(next, who, Outcome::done);
                       emit(out,
                            next,
                            "recovery: refuse",
                            alone ? "recovery refuses a history of our own" : nullptr);
                   },
                   [&](const router::HoldAndRetry&) {
                       ChangeState next = state;
                       read_again(next, who, Outcome::done);
                       emit(out, next, "recovery: hold and retry");
                   },
                   [&](const router::UndoIntent& undo) {
                       Record next = changed(seen[index(undo.old_side)], undo.old_side, true);
                       if (!rules_.never_reuse_epochs) --next.epoch;
                       send_and_read_again(undo.old_side, next, "recovery: take the intent back");
                   },
                   [&](const router::AbortEpochFirst& abort) {
                       const Side new_side = other(abort.old_side);
                       Record next = changed(seen[index(new_side)], abort.old_side, true);
                       next.epoch = seen[index(abort.old_side)].epoch;
                       if (rules_.abort_by_compare_and_set) {
                           send_and_read_again(new_side, next, "recovery: abort the epoch");
                           return;
                       }
                       const Record undone =
                           changed(seen[index(abort.old_side)], abort.old_side, true);
                       send_and_read_again(
                           abort.old_side, undone, "recovery: take the intent back, unasked");
                   },
                   [&](const router::GoForward& forward) {
                       const Side old_side = other(forward.new_side);
                       send_and_read_again(old_side,
                                           changed(seen[index(old_side)], forward.new_side, true),
                                           "recovery: the old side's record follows");
                   },
                   [&](const router::Serve& serving) { serve(state, who, serving.side, out); },
               },
               router::recover(reading(seen[0]), reading(seen[1])));
}

// The mover, the fence, the clients: in this order.
void ChangeModel::serve(const ChangeState& state, std::size_t who, Side side, Steps& out) const {
    const Record& seen = state.processes[who].seen[index(side)];
    // Unset only when it is not read before the opening, as it should be.
    const auto since = seen.since == unset ? state.world.at(side).log : seen.since;
    ChangeState next = state;
    if (who == 0) next.world.mover = {1, side, since};
    const Operation open{Operation::Kind::open_fence, side, seen, {}};
    send(next,
         who,
         open,
         "recovery: open the fence and serve",
         out,
         [this, side](ChangeState& s, std::size_t w, Outcome outcome) {
             return outcome == Outcome::done ? served(s, w, side) : read_again(s, w, outcome);
         });
}

}  // namespace segue::model
