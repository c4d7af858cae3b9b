#pragma once
// The compare-and-sets on the control records that the conductor and recovery share. Each reads the
// record anew and raises `attempt`, so that a late compare-and-set of somebody who was given up
// must fail.

#include <cstdint>
#include <optional>

#include "backfill/change_steps.hpp"
#include "backfill/control.hpp"
#include "protocol/result.hpp"
#include "router/cutover.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// The record, or an Error also when there is none.
Result<backfill::ControlRecord> read_record(backfill::ControlStore& store, Side side);

// As ControlStore::glance, until it is answered: so many times at most, every 10 ms.
std::optional<backfill::ControlRecord> glance(backfill::ControlStore& store, int times_max);

// `to` has its own record beside everything that a follower or an authority of `epoch` says.
backfill::ControlRecord as_told(const backfill::ControlRecord& own,
                                std::uint64_t epoch,
                                Side authority,
                                router::Phase phase);

// The intent `ours` of `old_side` is taken back, whatever late compare-and-set of it may still
// come: afterwards its attempt is above ours. A later epoch there is somebody else's and left
// alone. Does not touch the fence. Only to be called when the new side cannot have committed the
// epoch.
Status undo_intent(backfill::ChangeSteps& steps,
                   Side old_side,
                   const backfill::ControlRecord& ours);

// done: `new_side` has committed `epoch`. failed: it has not and never will, "aborted" is on
// record.
router::Outcome ask_epoch(backfill::ChangeSteps& steps, Side new_side, std::uint64_t epoch);

// The other side's record follows the authority's: steady, same epoch, same authority. Nothing to
// do is done.
Status settle_follower(backfill::ChangeSteps& steps, const backfill::ControlRecord& authority);

}  // namespace segue::proxy
