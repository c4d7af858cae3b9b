#include "tests/model/change_model.hpp"

#include <algorithm>
#include <utility>

#include "protocol/result.hpp"

namespace segue::model {

namespace {

using router::Phase;

Doing doing(const router::Action& action) {
    return std::visit(Overloaded{
                          [](const router::Check&) { return Doing::check; },
                          [](const router::RecordIntent&) { return Doing::record_intent; },
                          [](const router::Hold&) { return Doing::hold; },
                          [](const router::Fence&) { return Doing::fence; },
                          [](const router::CatchUp&) { return Doing::catch_up; },
                          [](const router::SetSequences&) { return Doing::set_sequences; },
                          [](const router::RecordDeciding&) { return Doing::record_deciding; },
                          [](const router::CommitEpoch&) { return Doing::commit_epoch; },
                          [](const router::AskEpoch&) { return Doing::ask_epoch; },
                          [](const router::Become&) { return Doing::become; },
                          [](const router::OpenFence&) { return Doing::open_fence; },
                          [](const router::Swap&) { return Doing::swap; },
                          [](const router::Undo&) { return Doing::undo; },
                          [](const router::Release&) { return Doing::release; },
                          [](const router::RecordSteady&) { return Doing::record_steady; },
                          [](const router::Finished&) { return Doing::nothing; },
                      },
                      action);
}

}  // namespace

ChangeState ChangeModel::initial() const {
    ChangeState state;
    state.left = budget_;
    state.processes[0].mode = Mode::serving;
    return state;
}

bool ChangeModel::goal(const ChangeState& state) const {
    return state.processes[0].mode == Mode::serving && state.processes[1].mode == Mode::none &&
           state.world.at(state.processes[0].route).open == 1 && state.world.quiet() &&
           state.late.kind == Operation::Kind::none;
}

void ChangeModel::emit(Steps& out,
                       const ChangeState& next,
                       const char* action,
                       const char* violation) const {
    if (violation == nullptr) violation = broken_promise(next.world);
    out.push_back({next, action, violation});
}

void ChangeModel::steps(const ChangeState& state, Steps& out) const {
    world_steps(
        state.world, rules_, [&](const World& world, const char* action, const char* violation) {
            ChangeState next = state;
            next.world = world;
            emit(out, next, action, violation);
        });
    misfortunes(state, out);
    for (std::size_t who = 0; who < state.processes.size(); ++who) act(state, who, out);
}

Process ChangeModel::restarted(ChangeState& state) const {
    for (Database& database : state.world.databases) database.locked = 0;
    state.world.mover = {};
    if (!rules_.recover_before_moving) {
        const Record& record = state.world.at(Side::source).record;
        state.world.mover = {1, record.authority, state.world.at(record.authority).record.since};
    }
    Process process;
    process.mode = Mode::recovering;
    return process;
}

void ChangeModel::misfortunes(const ChangeState& state, Steps& out) const {
    if (state.left.crashes > 0) {
        ChangeState next = state;
        --next.left.crashes;
        next.processes[0] = restarted(next);
        emit(out, next, "kill -9, restart");
    }
    const bool busy =
        state.processes[0].mode == Mode::changing || state.processes[0].mode == Mode::recovering;
    if (state.left.freezes > 0 && busy && state.processes[1].mode == Mode::none) {
        ChangeState next = state;
        --next.left.freezes;
        next.processes[1] = next.processes[0];
        next.processes[0] = restarted(next);
        emit(out, next, "the process freezes, another one takes the lease");
    }
    if (state.processes[1].mode != Mode::none) {
        ChangeState next = state;
        next.processes[1] = Process{};
        emit(out, next, "the frozen process ends");
    }
    if (state.late.kind != Operation::Kind::none) {
        ChangeState next = state;
        next.late = Operation{};
        emit(out, next, "the late statement is lost");
        execute(next.world, state.late, rules_);
        emit(out, next, "the late statement arrives");
    }
}

const char* ChangeModel::served(ChangeState& state, std::size_t who, Side side) const {
    if (who != 0) {  // Its clients are applications like others: the fences decide.
        state.processes[who] = Process{};
        return nullptr;
    }
    Process process;
    process.mode = Mode::serving;
    process.route = side;
    state.processes[who] = process;
    for (Database& database : state.world.databases) database.locked = 0;
    const Database& database = state.world.at(side);
    // Without the lease somebody else may be at it this moment; then the fences alone decide.
    if (!rules_.lease_checked) return nullptr;
    if (database.open == 0) return "clients are released onto a fenced side";
    if (database.record.authority != side || state.world.committed != side) {
        return "clients are released onto a side that is not the authority";
    }
    if (database.record.phase != Phase::steady) {
        return "clients are released and the change is still on record";
    }
    return nullptr;
}

const char* ChangeModel::go_on(ChangeState& state, std::size_t who, Outcome outcome) const {
    Process& process = state.processes[who];
    const router::Action action = process.machine.next(outcome);
    process.doing = doing(action);
    process.stage = 0;
    const auto* finished = std::get_if<router::Finished>(&action);
    if (finished == nullptr) return nullptr;
    const bool changed = finished->ending == router::Ending::changed;
    return served(state, who, changed ? other(process.old_side) : process.old_side);
}

void ChangeModel::act(const ChangeState& state, std::size_t who, Steps& out) const {
    switch (state.processes[who].mode) {
        case Mode::none:
            break;
        case Mode::recovering:
            recover(state, who, out);
            break;
        case Mode::serving: {
            if (state.left.changes == 0) break;
            ChangeState next = state;
            --next.left.changes;
            Process& process = next.processes[who];
            process.mode = Mode::changing;
            process.old_side = process.route;
            process.machine = router::Cutover{};
            const char* violation = go_on(next, who, Outcome::done);
            emit(out, next, "operator: change the authority", violation);
            break;
        }
        case Mode::changing:
            change(state, who, out);
            break;
    }
}

}  // namespace segue::model
