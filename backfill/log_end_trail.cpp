#include "backfill/log_end_trail.hpp"

#include <algorithm>

namespace segue::backfill {

void LogEndTrail::note(Position end, Position applied, Time at) {
    if (!samples_.empty() && end < samples_.back().end) samples_.clear();
    while (!samples_.empty() && samples_.front().end <= applied) samples_.pop_front();
    if (samples_.empty()) spacing_ = {};
    if (end <= applied) return;
    // Where nothing was written the earlier time says more.
    if (!samples_.empty() && (end == samples_.back().end || at - samples_.back().at < spacing_))
        return;
    samples_.push_back({end, at});
    if (samples_.size() <= samples_max) return;
    std::deque<Sample> kept;
    for (std::size_t i = 0; i < samples_.size(); i += 2) kept.push_back(samples_[i]);
    samples_.swap(kept);
    spacing_ = (samples_.back().at - samples_.front().at) / samples_.size();
}

std::chrono::duration<double> LogEndTrail::age(Position applied, Time now) const {
    const auto beyond = std::upper_bound(
        samples_.begin(), samples_.end(), applied, [](Position position, const Sample& sample) {
            return position < sample.end;
        });
    if (beyond == samples_.end()) return std::chrono::duration<double>{0};
    return now - beyond->at;
}

}  // namespace segue::backfill
