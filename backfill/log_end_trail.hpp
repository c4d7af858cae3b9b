#pragma once
// Where a side's log ended at which time, so that a position can be dated: how old is the oldest
// piece of the log that has not been applied. Unlike the commits that have arrived it also knows of
// those that the server has not sent yet. Not thread-safe.

#include <chrono>
#include <deque>
#include <optional>

#include "protocol/position.hpp"

namespace segue::backfill {

class LogEndTrail {
public:
    using Time = std::chrono::steady_clock::time_point;
    // Beyond them every second one is forgotten, and later ones are taken as seldom.
    static constexpr std::size_t samples_max = 256;

    // Samples up to `applied` are of no use any more. A lower end than before (a server that lost
    // the end of its log) begins the trail anew.
    void note(Position end, Position applied, Time at);

    // Zero when everything up to the last noted end is applied; otherwise the time since the first
    // sample that lies beyond `applied`: never more than the truth, and less by at most the
    // distance of two samples.
    std::chrono::duration<double> age(Position applied, Time now) const;

private:
    struct Sample {
        Position end;
        Time at;
    };
    std::deque<Sample> samples_;
    Time::duration spacing_{0};
};

}  // namespace segue::backfill
