#pragma once
// What the operator's thread knows of the migration, for everybody who asks (status, metrics):
// written by that thread, copied out by any.

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/control.hpp"

namespace segue::proxy {

using WallTime = std::chrono::system_clock::time_point;

struct LastChange {
    std::string kind;  // cutover | rollback | rehearsal | abort
    bool ok = false;
    std::optional<std::chrono::microseconds> hold, longest_wait;  // Empty: no client was held.
    WallTime at;
    std::string reason;
    std::chrono::microseconds slowed{0};  // Before the hold; see ChangeLimits.
};

enum class VerifyOutcome : std::uint8_t { never, running, equal, different };
struct VerifyState {
    VerifyOutcome outcome = VerifyOutcome::never;
    std::uint64_t rows_compared = 0;
    std::uint64_t differences = 0;
    std::optional<WallTime> at;
    std::optional<WallTime>
        every_row_since;  // When the oldest comparison began; once all is equal.
};

// See ControlRecord::shift_not_understood.
inline constexpr const char* shift_not_understood_text =
    "a newer build of Segue has limited the shift of reads in a way that this one does not know: "
    "shift is 0 percent instead, `segue shift P` sets it anew";

inline constexpr const char* out_of_reach_means(Side side) {
    return side == Side::source ? "clients are refused until it answers" : "`segue start` needs it";
}

struct BoardState {
    bool authority_known = false;  // Recovery has ended; until then clients wait.
    std::string waiting_for;       // Why it has not; names the side.
    std::string unreachable;       // RecoveryRound::unreachable
    // The authority's record, or the tombstone. Empty: no migration, a plain proxy to the source.
    std::optional<backfill::ControlRecord> record;
    std::optional<LastChange> last_change;
    VerifyState verify;
    std::string current_verb;  // Empty: none runs.
    // Verbs of this process that have changed the course (router::Course), whoever asked for them,
    // and how often it was found that another Segue has changed it, or may have.
    std::uint64_t course_changes = 0;
    std::string mover_problem;  // Why the mover could not be started.
    // By index(side), as long as nothing is being moved: why it cannot be reached. Empty: it can.
    std::array<std::string, 2> out_of_reach;
    // What the follower cannot follow, for which `mirror sync` was given up until it can. Else
    // empty.
    std::string sync_given_up() const {
        const bool moving = record && record->phase != router::Phase::finished;
        return moving ? record->knobs.sync_given_up : std::string{};
    }
};

class StateBoard {
public:
    BoardState read() const {
        const std::lock_guard lock{mutex_};
        return state_;
    }
    template <class Change>
    void update(Change change) {
        const std::lock_guard lock{mutex_};
        change(state_);
    }

private:
    mutable std::mutex mutex_;
    BoardState state_;
};

}  // namespace segue::proxy
