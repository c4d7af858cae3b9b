#pragma once
// Two databases during a change of authority, as the model sees them: a control record, a fence, a
// log and rows on each; applications that write wherever a fence lets them (through Segue, around
// it, or through a proxy that was frozen: it makes no difference to a database); the stream of each
// side.

#include <array>
#include <cstdint>

#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::model {

inline constexpr unsigned writes_max = 2;  // Transactions of applications.
inline constexpr std::uint8_t unset = 9;   // `since` of a record whose log end was not read yet.

struct Record {
    std::uint8_t epoch = 0;
    Side authority = Side::source;
    router::Phase phase = router::Phase::steady;
    std::uint8_t attempt = 0;
    std::uint8_t since = 0;

    bool same_version(const Record& other) const {
        return epoch == other.epoch && phase == other.phase && attempt == other.attempt;
    }
    friend bool operator==(const Record&, const Record&) = default;
};

enum class WriteState : std::uint8_t { none, begun, open, committed, failed };

struct Write {
    WriteState state = WriteState::none;
    Side side = Side::source;
    std::uint8_t saw_open = 0;  // What a flag inside MVCC would have shown its snapshot.
    std::uint8_t position = 0;  // In its side's log.
};

struct Database {
    Record record;
    std::uint8_t open = 0;    // The fence's flag.
    std::uint8_t locked = 0;  // The fence's exclusive lock is held by a living session.
    std::uint8_t log = 0;     // Its end.
    std::uint8_t rows = 0;    // Bit i: the row of write i.
    std::uint8_t streamed =
        0;  // How much of the log went through its stream; durable with the rows.
};

// What the mover does now. It lives with the process that has the lease.
struct MoverState {
    std::uint8_t runs = 0;
    Side authority = Side::source;
    std::uint8_t since = 0;
};

// A statement on its way to a database. It may arrive late, after its sender has given it up.
struct Operation {
    enum class Kind : std::uint8_t { none, compare_and_set, open_fence, close_fence };
    Kind kind = Kind::none;
    Side side = Side::source;
    Record expected;
    Record next;
};

struct World {
    std::array<Database, 2> databases{};
    std::array<Write, writes_max> writes{};
    MoverState mover;
    Side committed =
        Side::source;  // By the last epoch that was committed: what everybody must serve.

    Database& at(Side side) { return databases[index(side)]; }
    const Database& at(Side side) const { return databases[index(side)]; }

    std::uint8_t committed_on(Side side) const {
        std::uint8_t result = 0;
        for (unsigned i = 0; i < writes_max; ++i) {
            const bool there = writes[i].state == WriteState::committed && writes[i].side == side;
            if (there) result = static_cast<std::uint8_t>(result | (1u << i));
        }
        return result;
    }
    bool writer_open_on(Side side) const {
        for (const Write& write : writes) {
            if (write.state == WriteState::open && write.side == side) return true;
        }
        return false;
    }
    bool quiet() const {
        for (const Write& write : writes) {
            if (write.state == WriteState::open || write.state == WriteState::begun) return false;
        }
        for (const Database& database : databases) {
            if (database.streamed != database.log) return false;
        }
        return true;
    }
};

struct ChangeRules {
    bool fence_before_position = true;  // Law 5.
    bool fence_waits_for_writers = true;
    bool fence_outside_mvcc = true;  // The flag is seen by snapshots that are older than it.
    bool opening_checks_record =
        true;  // A late opening finds the record of its own epoch, or does nothing.
    bool closing_checks_record = true;  // And so does a late closing.
    bool wait_for_position = true;
    bool abort_by_compare_and_set = true;  // Absence counts only when a late commit must fail.
    bool undo_own_intent_only = true;
    bool lease_checked = true;  // A process whose lease was taken changes no record and no fence.
    bool never_reuse_epochs = true;
    bool deciding_recorded = true;  // Before the new side may be told.
    bool since_before_opening = true;
    bool become_before_opening = true;
    bool recover_before_moving =
        true;                      // The mover starts when recovery has said who is the authority.
    bool ask_when_unknown = true;  // A lost answer to the commit is not a failure.
};

inline World initial_world() {
    World world;
    world.at(Side::source).open = 1;
    world.mover = {1, Side::source, 0};
    return world;
}

// True when the database did it.
inline bool execute(World& world, const Operation& operation, const ChangeRules& rules) {
    Database& database = world.at(operation.side);
    const Record& record = database.record;
    switch (operation.kind) {
        case Operation::Kind::none:
            return false;
        case Operation::Kind::compare_and_set:
            if (!record.same_version(operation.expected)) return false;
            if (operation.next.authority == operation.side && record.authority != operation.side) {
                world.committed = operation.side;
            }
            database.record = operation.next;
            return true;
        case Operation::Kind::open_fence: {
            const bool right = record.epoch == operation.expected.epoch &&
                               record.authority == operation.side &&
                               record.phase == router::Phase::steady;
            if (rules.opening_checks_record && !right) return false;
            database.open = 1;
            database.locked = 0;
            return true;
        }
        case Operation::Kind::close_fence: {
            const bool right = record.epoch == operation.expected.epoch &&
                               record.phase == router::Phase::switching;
            if (rules.closing_checks_record && !right) return false;
            database.open = 0;
            return true;
        }
    }
    return false;
}

// What must hold in every state.
inline const char* broken_promise(const World& world) {
    if (world.databases[0].open == 1 && world.databases[1].open == 1)
        return "two sides accept writes";
    for (const Side side : {Side::source, Side::target}) {
        if (world.at(side).open == 0) continue;
        if ((world.committed_on(other(side)) & ~world.at(side).rows) != 0) {
            return "a side accepts writes and lacks a committed one";
        }
    }
    if (!world.quiet() || world.mover.runs == 0) return nullptr;
    const auto all = static_cast<std::uint8_t>(world.committed_on(Side::source) |
                                               world.committed_on(Side::target));
    for (const Database& database : world.databases) {
        if (database.rows != all) return "everything was moved and the sides differ";
    }
    return nullptr;
}

// One write's next steps: emit(next world, action, violation or null).
template <class Emit>
void write_steps(const World& world, unsigned i, const ChangeRules& rules, const Emit& emit) {
    const Write& write = world.writes[i];
    World next = world;
    switch (write.state) {
        case WriteState::none:
            for (const Side side : {Side::source, Side::target}) {
                const Database& database = world.at(side);
                if (rules.fence_outside_mvcc && database.open == 0) continue;
                const auto state = rules.fence_outside_mvcc ? WriteState::open : WriteState::begun;
                next.writes[i] = {state, side, database.open, 0};
                emit(next, "application: write", nullptr);
            }
            return;
        case WriteState::begun:
            if (write.saw_open == 1 && world.at(write.side).locked == 0) {
                next.writes[i].state = WriteState::open;
                emit(next, "application: write under an old snapshot", nullptr);
            }
            next.writes[i] = {WriteState::failed, Side::source, 0, 0};
            emit(next, "application: write refused", nullptr);
            return;
        case WriteState::open: {
            next.writes[i] = {WriteState::failed, Side::source, 0, 0};
            emit(next, "application: roll back", nullptr);
            Database& database = next.at(write.side);
            database.rows = static_cast<std::uint8_t>(database.rows | (1u << i));
            next.writes[i] = {WriteState::committed, write.side, 0, ++database.log};
            emit(next, "application: commit", nullptr);
            return;
        }
        case WriteState::committed:
        case WriteState::failed:
            return;
    }
}

// The next entry of one side's log goes through its stream.
template <class Emit>
void stream_steps(const World& world, Side side, const Emit& emit) {
    for (unsigned i = 0; i < writes_max; ++i) {
        const Write& write = world.writes[i];
        if (write.state != WriteState::committed || write.side != side) continue;
        if (write.position != world.at(side).streamed + 1) continue;
        World next = world;
        ++next.at(side).streamed;
        if (world.mover.authority != side || write.position <= world.mover.since) {
            emit(next, "mover: a stray write is reported, not applied", nullptr);
            continue;
        }
        std::uint8_t& rows = next.at(other(side)).rows;
        const bool doubled = (rows & (1u << i)) != 0;
        rows = static_cast<std::uint8_t>(rows | (1u << i));
        emit(next, "mover: apply", doubled ? "a write is applied twice" : nullptr);
    }
}

// The applications' and the mover's steps.
template <class Emit>
void world_steps(const World& world, const ChangeRules& rules, const Emit& emit) {
    for (unsigned i = 0; i < writes_max; ++i) {
        if (i > 0 && world.writes[i - 1].state == WriteState::none) break;  // They are alike.
        write_steps(world, i, rules, emit);
    }
    if (world.mover.runs == 0) return;
    for (const Side side : {Side::source, Side::target}) stream_steps(world, side, emit);
}

}  // namespace segue::model
