// Hundreds of kills of Segue in one life, with crashes of either server, changes of authority and
// verifications in between: not one acknowledged transaction is lost, doubled, revived or
// reordered. SEGUE_FAULT_ROUNDS: how many kills in all (200); SEGUE_FAULT_SEED: the first life's
// seed (1); SEGUE_SCHEMA_CHANGES=1: clients change the schema, too.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/faults/storm.hpp"

namespace segue::test {
namespace {

constexpr int kills_of_one_life = 100;
// In so many, one round in three at a named instant, each of them gets its turn.
constexpr int kills_for_every_point = 1000;

int setting(const char* name, int otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : otherwise;
}

TEST(RandomKills, OfSegueAtAnyTime) {
    SEGUE_NEEDS_POSTGRES();
    auto seed = static_cast<unsigned>(setting("SEGUE_FAULT_SEED", 1));
    const int kills = setting("SEGUE_FAULT_ROUNDS", 200);
    PointBook points;
    for (int left = kills; left > 0; left -= kills_of_one_life, ++seed) {
        SCOPED_TRACE("SEGUE_FAULT_SEED=" + std::to_string(seed));
        std::cout << "           seed " << seed << std::endl;
        Storm storm{seed, std::min(left, kills_of_one_life), points};
        storm.rage();
        std::cout << "           " << storm.report() << std::endl;
        if (testing::Test::HasFailure()) return;
    }
    std::cout << "           deaths at named instants, of those that were asked for:\n"
              << points.text() << std::flush;
    if (kills < kills_for_every_point) return;
    for (const std::string& point : points.never()) ADD_FAILURE() << "nobody died at " << point;
}

}  // namespace
}  // namespace segue::test
