#pragma once
// Commits that came out of the stream but have not yet been seen visible in a snapshot (law 4, and
// rule R2 of the copy protocol: a chunk's snapshot must see every commit dispatched before the
// chunk was opened).
//
// The dispatcher adds each transaction when it dispatches its commit. Whoever takes a snapshot asks
// all_seen_up_to and gives the snapshot to prune. Not thread-safe: one owner.
//
// Commits at or below the slot's restart point are not delivered again, so the list must survive a
// crash: its durable form is written with the restart point, before the slot is confirmed (rule
// R7).

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backfill/snapshot.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill {

// Each backend of a server can have one commit that is in the log and not yet visible, so a list
// above this size only means that nobody has pruned. At the limit add() refuses: the dispatcher
// takes a snapshot, prunes, and goes on; nothing is forgotten.
inline constexpr std::size_t unseen_max = 1 << 16;

class Unseen {
public:
    struct Commit {
        std::uint64_t xid = 0;
        Position position;
        friend bool operator==(const Commit&, const Commit&) = default;
    };

    // False, and nothing is added, when the list holds unseen_max. A commit that is in the list
    // already (delivered again after a reconnect) is added once.
    [[nodiscard]] bool add(std::uint64_t xid, Position position);

    // Forgets what `snapshot` sees: later snapshots see it too.
    void prune(const Snapshot& snapshot);

    // Whether `snapshot` sees every commit at or below `position` that was ever added: rule R2's
    // test.
    bool all_seen_up_to(const Snapshot& snapshot, Position position) const;

    std::size_t size() const { return commits_.size(); }
    bool full() const { return commits_.size() >= unseen_max; }
    const std::vector<Commit>& commits() const { return commits_; }

    // The durable form: the commits at or below `restart`. Those above it are delivered again.
    struct Durable {
        std::vector<std::uint64_t> xids;
        std::vector<Position> positions;
        friend bool operator==(const Durable&, const Durable&) = default;
    };
    Durable durable(Position restart) const;
    // Refuses lists of different lengths, above the limit, or with positions that do not rise.
    static Result<Unseen> restore(const Durable& durable);

private:
    std::vector<Commit> commits_;  // In stream order.
};

}  // namespace segue::backfill
