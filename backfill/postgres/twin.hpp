#pragma once
// Twin snapshots (DESIGN 5): one of the authority and one of the follower that are provably the same state.

#include <functional>
#include <memory>

#include "backfill/mover.hpp"
#include "backfill/postgres/mover_run.hpp"

namespace segue::backfill::postgres {

// The twin shares the run, whose interruption breaks its connections.
Result<std::unique_ptr<Twin>> open_twin_of(std::shared_ptr<MoverRun> run,
                                           MoverShared& shared,
                                           Clock::time_point deadline);

// Copies the rows of these keys anew from the authority (R6), at a moment when the follower is exactly what
// the authority's snapshot shows. Tables without a key are refused.
Status refresh_rows(std::shared_ptr<MoverRun> run,
                    MoverShared& shared,
                    const std::vector<VerifyDifference>& rows,
                    Clock::time_point deadline);

}  // namespace segue::backfill::postgres
