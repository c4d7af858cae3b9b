#pragma once
// What `segue auto` sees: where the migration stands and the figures it goes by, of what everybody
// reports. A pure function.

#include <string>
#include <vector>

#include "proxy/status.hpp"
#include "router/autopilot.hpp"

namespace segue::proxy {

// What an operator's verb changes under a plan's feet. Where nothing is moved: as it would begin.
router::Course course_of(const BoardState& board);
router::Course course_of(const backfill::ControlRecord& record);

struct AutoView {
    std::string closed;  // Why nothing can be decided now; empty: it can.
    bool moved_by_another = false;  // Closed for that.
    router::Where where;
    router::Figures figures;
};

// `sums`: of every statement that was compared.
AutoView auto_view(const StatusInputs& inputs,
                   const std::vector<StatementSums>& sums,
                   WallTime now);

}  // namespace segue::proxy
