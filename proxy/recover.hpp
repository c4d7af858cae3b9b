#pragma once
// Recovery at the start: reads both control records, does what router::recover says of them, until
// clients can be served. Blocking; on the operator's thread.

#include <optional>
#include <string>

#include "backfill/change_steps.hpp"
#include "backfill/control.hpp"
#include "proxy/journal.hpp"

namespace segue::proxy {

struct RecoveryRound {
    bool through = false;
    // When through: the authority's record or the tombstone; empty: no migration, the source
    // serves.
    std::optional<backfill::ControlRecord> record = {};
    bool follower_behind = false;  // Its record could not be brought up to date: to be tried again.
    std::string waiting_for = {};  // When not through: why, naming the side.
    // Not empty: what clients are told at once, in place of waiting. Names the side and no more:
    // they have not logged in.
    std::string unreachable = {};
};

// One round: reads, acts, reads again while that leads on. The authority's fence is open when it is
// through. `migration` is the configured name: records of another migration are refused.
RecoveryRound recover_once(backfill::ChangeSteps& steps,
                           Journal& journal,
                           const std::string& migration);

}  // namespace segue::proxy
