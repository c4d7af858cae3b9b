#include "backfill/progress.hpp"

#include <algorithm>

namespace segue::backfill {

void Progress::reached(Position position) {
    frontier_ = std::max(frontier_, position);
    const Position done = contiguous();
    beyond_.erase(beyond_.begin(), beyond_.lower_bound(done));
}

void Progress::parked(Position start) { parked_.emplace(start, frontier_); }

void Progress::committed(Position start, Position position) {
    parked_.erase(start);
    if (!parked_.empty()) beyond_.insert(start);
    reached(position);
}

Position Progress::contiguous() const {
    return parked_.empty() ? frontier_ : parked_.begin()->second;
}

std::vector<Position> Progress::beyond() const { return {beyond_.begin(), beyond_.end()}; }

}  // namespace segue::backfill
