#pragma once
// The control record: the durable truth about who is the authority. One row on each side; every
// change of it is a compare-and-set on (epoch, phase, attempt), synchronously committed.

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::backfill {

struct ControlRecord {
    std::string migration;  // [migration] name: names slots and publications.
    std::string
        migration_id;  // Random, equal on both sides: tells two migrations of one name apart.
    Side side = Side::source;  // The database that this row is in.
    std::uint64_t epoch =
        0;  // Raised at every change of authority; aborted epochs are not used again.
    Side authority = Side::source;
    router::Phase phase = router::Phase::steady;
    std::uint32_t attempt = 0;  // Raised by whoever must make a late compare-and-set fail.
    // Only meaningful where side == authority: transactions of applications in this side's stream
    // above it belong to this epoch; there are none between the epoch's commit and it.
    Position since;
    router::Backfill backfill = router::Backfill::none;
    router::Knobs knobs;  // The authority's row is the one that counts.
    std::string
        system_identifier;  // Of this side, when recorded. A difference invalidates the copy.
    std::uint32_t timeline = 0;
    // As it was read: a newer build has limited the shift in a way that this one does not know. Then
    // the knobs have a shift of 0 percent, and so has the record as soon as it is written.
    bool shift_not_understood = false;

    friend bool operator==(const ControlRecord&, const ControlRecord&) = default;
};

// Outcome of a compare-and-set. `unknown`: the answer was lost (law 8).
enum class Written : std::uint8_t { yes, conflict, unknown };

// One side's control record. Blocking; used from one thread at a time; connects anew when needed.
class ControlStore {
public:
    virtual ~ControlStore() = default;

    // Empty when this side has no record (schema segue is absent).
    virtual Result<std::optional<ControlRecord>> read() = 0;
    // The record, as far as it can be had without waiting: asked for at one call, answered at one
    // of the next, by the connection that is there, or by a new one where that does not answer any
    // more. Empty: nothing is known. Every other call may follow.
    virtual std::optional<ControlRecord> glance() = 0;
    // Fails with Errc::refused when a record exists already.
    virtual Status create(const ControlRecord& record) = 0;
    // Writes `next` if the row still equals `expected` in epoch, phase and attempt and, where
    // `lease` is given, the mover's lease on this side is still of that generation, which is looked
    // at in the same transaction: who was frozen and has lost the lease cannot change the authority
    // however late. Without it: what takes nothing from whoever has it (knobs, undoing, giving up).
    // Synchronous on disk before it returns `yes`. An Error means that nothing was sent.
    virtual Result<Written> compare_and_set(const ControlRecord& expected,
                                            const ControlRecord& next,
                                            std::optional<std::int64_t> lease) = 0;
    Result<Written> compare_and_set(const ControlRecord& expected, const ControlRecord& next) {
        return compare_and_set(expected, next, std::nullopt);
    }
};

}  // namespace segue::backfill
