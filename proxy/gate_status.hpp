#pragma once
// What the gate tells the outside, and the policy it follows. Written by the relay threads, read by
// status.

#include <atomic>
#include <chrono>
#include <cstdint>

#include "proxy/config.hpp"

namespace segue::proxy {

struct GatePolicy {
    MirrorPolicy policy = MirrorPolicy::strict;
    std::chrono::milliseconds bound{2000};  // Only for bounded.
};

struct GateStatus {
    // Policy bounded, and an answer waited longer than the bound: acknowledgements are not held
    // until the follower has caught up with the authority again.
    std::atomic<bool> degraded{false};
    std::atomic<std::uint64_t> answers_held{0};  // Since the start.
    std::atomic<std::uint64_t> answers_unheld{
        0};  // Released by the bound, or passed while degraded.
};

}  // namespace segue::proxy
