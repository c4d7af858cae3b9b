#pragma once
// Processes that change the authority, crash, freeze, wake up and recover. What comes next is asked
// of the real code: router/cutover for the order of a change, router/recovery for what a restart
// finds. Each action is carried out on the model's world as the conductor does on real databases;
// answers may be lost and statements may arrive late.

#include <array>
#include <cstdint>
#include <vector>

#include "router/cutover.hpp"
#include "router/recovery.hpp"
#include "tests/model/change_world.hpp"
#include "tests/model/explore.hpp"

namespace segue::model {

enum class Mode : std::uint8_t { none, recovering, serving, changing };

enum class Doing : std::uint8_t {
    nothing,
    check,
    record_intent,
    hold,
    fence,
    catch_up,
    set_sequences,
    record_deciding,
    commit_epoch,
    ask_epoch,
    become,
    open_fence,
    swap,
    undo,
    release,
    record_steady,
};

inline constexpr std::uint8_t unreadable_epoch = 255;

struct Process {
    Mode mode = Mode::none;
    std::uint8_t stage = 0;  // Of what it does.
    router::Cutover machine;
    Doing doing = Doing::nothing;
    Side old_side = Side::source;
    Side route = Side::source;
    std::uint8_t epoch = 0;     // Of the change.
    std::uint8_t position = 0;  // The old side's final position.
    std::array<Record, 2> seen{};
};

// How much may go wrong in one story.
struct Budget {
    std::uint8_t changes = 1;  // Begun by the operator.
    std::uint8_t crashes = 0;  // kill -9, or the loss of all connections.
    std::uint8_t freezes =
        0;  // The process stops; another takes the lease; the first one wakes up at any time.
    std::uint8_t faults =
        0;  // A statement not sent, an answer lost, or a statement that arrives late.
};

struct ChangeState {
    World world = initial_world();
    std::array<Process, 2> processes{};  // 0 has the lease; 1 had it.
    Operation late;  // A statement of somebody who does not wait for it any more.
    Budget left;
};

class ChangeModel {
public:
    using Steps = std::vector<Step<ChangeState>>;

    ChangeModel(ChangeRules rules, Budget budget) : rules_(rules), budget_(budget) {}

    ChangeState initial() const;
    bool goal(const ChangeState& state) const;
    void steps(const ChangeState& state, Steps& out) const;

private:
    using Outcome = router::Outcome;

    void emit(Steps& out,
              const ChangeState& next,
              const char* action,
              const char* violation = nullptr) const;
    void misfortunes(const ChangeState& state, Steps& out) const;
    void act(const ChangeState& state, std::size_t who, Steps& out) const;
    void change(const ChangeState& state, std::size_t who, Steps& out) const;
    void check(const ChangeState& state, std::size_t who, Steps& out) const;
    void record_intent(ChangeState state, std::size_t who, Steps& out) const;
    void fence(const ChangeState& state, std::size_t who, Steps& out) const;
    void catch_up(const ChangeState& state, std::size_t who, Steps& out) const;
    void record_deciding(ChangeState state, std::size_t who, Steps& out) const;
    void commit_epoch(const ChangeState& state, std::size_t who, Steps& out) const;
    void ask(const ChangeState& state, std::size_t who, Steps& out) const;
    void become(ChangeState state, std::size_t who, Steps& out) const;
    void open(const ChangeState& state, std::size_t who, Steps& out) const;
    void swap(ChangeState state, std::size_t who, Steps& out) const;
    void undo(const ChangeState& state, std::size_t who, Steps& out) const;
    void record_steady(const ChangeState& state, std::size_t who, Steps& out) const;
    // The action is over.
    void finish(
        ChangeState state, std::size_t who, Outcome outcome, const char* action, Steps& out) const;
    auto answer() const {
        return [this](ChangeState& state, std::size_t who, Outcome outcome) {
            return go_on(state, who, outcome);
        };
    }
    void recover(const ChangeState& state, std::size_t who, Steps& out) const;
    void decide(const ChangeState& state, std::size_t who, Steps& out) const;
    void serve(const ChangeState& state, std::size_t who, Side side, Steps& out) const;

    // Sends a statement; `then(state, outcome)` changes the sender's state.
    template <class Then>
    void send(const ChangeState& state,
              std::size_t who,
              const Operation& operation,
              const char* name,
              Steps& out,
              const Then& then) const;
    // The machine's next action, and what its end means.
    const char* go_on(ChangeState& state, std::size_t who, Outcome outcome) const;
    const char* served(ChangeState& state, std::size_t who, Side side) const;
    Process restarted(ChangeState& state) const;

    ChangeRules rules_;
    Budget budget_;
};

template <class Then>
void ChangeModel::send(const ChangeState& state,
                       std::size_t who,
                       const Operation& operation,
                       const char* name,
                       Steps& out,
                       const Then& then) const {
    ChangeState next = state;
    const bool allowed = who == 0 || !rules_.lease_checked;
    const bool did = allowed && execute(next.world, operation, rules_);
    ChangeState executed = next;
    const char* violation = then(next, who, did ? Outcome::done : Outcome::failed);
    emit(out, next, name, violation);
    const bool room = state.late.kind == Operation::Kind::none;
    if (state.left.crashes > 0 && who == 0 && room) {
        next = state;
        --next.left.crashes;
        next.late = operation;
        next.processes[0] = restarted(next);
        emit(out, next, "kill -9 with a statement on its way, restart");
    }
    if (state.left.faults == 0 || !allowed) return;
    --executed.left.faults;
    violation = then(executed, who, Outcome::unknown);
    emit(out, executed, "the statement is executed and its answer lost", violation);
    next = state;
    --next.left.faults;
    violation = then(next, who, Outcome::failed);
    emit(out, next, "the statement is not sent", violation);
    if (!room) return;
    next = state;
    --next.left.faults;
    next.late = operation;
    violation = then(next, who, Outcome::unknown);
    emit(out, next, "the statement is on its way and its sender gives it up", violation);
}

}  // namespace segue::model
