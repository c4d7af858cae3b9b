// Hundreds of kills of Segue in one life, with crashes of either server, changes of authority and
// verifications in between: not one acknowledged transaction is lost, doubled, revived or
// reordered. SEGUE_FAULT_ROUNDS: how many kills in all (200); SEGUE_FAULT_SEED: the first life's
// seed (1).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/faults/storm.hpp"

namespace segue::test {
namespace {

constexpr int kills_of_one_life = 100;

int setting(const char* name, int otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : otherwise;
}

TEST(RandomKills, OfSegueAtAnyTime) {
    SEGUE_NEEDS_POSTGRES();
    auto seed = static_cast<unsigned>(setting("SEGUE_FAULT_SEED", 1));
    int left = setting("SEGUE_FAULT_ROUNDS", 200);
    for (; left > 0; left -= kills_of_one_life, ++seed) {
        SCOPED_TRACE("SEGUE_FAULT_SEED=" + std::to_string(seed));
        std::cout << "           seed " << seed << std::endl;
        Storm storm{seed, std::min(left, kills_of_one_life)};
        storm.rage();
        std::cout << "           " << storm.report() << std::endl;
        if (testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace segue::test
