#pragma once
// The process that serves the applications, on a simulated world: the real recovery and the real
// change of authority, with fakes only for what they call.

#include <string>

#include "tests/simulation/rules.hpp"

namespace segue::simulation {

struct Outcome {
    std::string violation;  // Empty: every promise was kept.
    unsigned commits = 0, changes = 0, restarts = 0, database_crashes = 0, twins = 0;
};

// The whole life of a migration: copied, changed over and back, interrupted at any moment; in the
// end everything comes to rest, and both sides are equal. `rogues`: with somebody who writes past
// the fence, whom somebody must notice.
Outcome live(std::uint64_t seed, const Rules& rules = {}, bool rogues = false);

}  // namespace segue::simulation
