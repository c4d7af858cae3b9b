#pragma once
// What the data plane needs to know of the migration's state, published by the operator's thread
// and read by every relay thread without a lock (but for a new rule of what may be shifted). One
// writer.

#include <atomic>
#include <cstdint>

#include "proxy/shift_rules.hpp"
#include "router/side.hpp"

namespace segue::proxy {

struct Traffic {
    std::atomic<Side> authority{Side::source};
    std::atomic<std::uint64_t> epoch{0};
    // False until recovery has established who the authority is: clients wait at login (bounded),
    // then 08006.
    std::atomic<bool> serving{false};
    // Logins wait: from a hold to its release, but for the time in which the hold waits for
    // transactions that have been open for long.
    std::atomic<bool> holding{false};
    std::atomic<bool> gate_closed{false};  // mirror sync
    // Each relay thread pauses for so many microseconds after every turn of its loop. Zero but for
    // the moments before the hold of a change, ChangeLimits::slowed at most, in which a saturated
    // machine leaves the mover no time to catch up.
    std::atomic<std::uint32_t> pace{0};
    std::atomic<double> shadow_percent{0};
    std::atomic<double> shift_percent{0};
    ShiftRules shift_rules;  // Set before the percentage is.
};

}  // namespace segue::proxy
