#pragma once
// A twin in which reads of applications are asked again, each with the rights of its own role.

#include <chrono>
#include <memory>
#include <string>

#include "backfill/postgres/mover_run.hpp"

namespace segue::backfill::postgres {

// What one side may take for one read: the stream goes on meanwhile, but the snapshots stay.
inline constexpr std::chrono::seconds asked_again_max{30};

// Of all tables. Empty role: it is asked only by `query`.
Result<std::unique_ptr<Twin>> open_role_twin(std::shared_ptr<MoverRun> run,
                                             MoverShared& shared,
                                             const std::string& role,
                                             Clock::time_point deadline);

}  // namespace segue::backfill::postgres
