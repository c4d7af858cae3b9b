#pragma once
// The named instants of all lives of one run: how often Segue was told to die at each, and how
// often it did. So each gets its turn, also those that only few lives reach.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/dice.hpp"

namespace segue::test {

class PointBook {
public:
    // What the program says of itself (backfill/crash_point.hpp). A name may come again.
    void learn(const std::string& point) { points_[point]; }
    // One of those that a life reaches at that stage, of those that were armed least; empty: none
    // is known yet.
    std::optional<std::string> arm(Dice& dice, bool copied);
    // A life copies once only, and soon has: while one of those instants is left that nobody died
    // at, it is their turn.
    bool is_owed_while_copying() const;
    void died(const std::string& point) { ++points_[point].deaths; }

    // Those that any life can be made to reach, and none has died at.
    std::vector<std::string> never() const;
    std::string text() const;  // A line each.

private:
    struct Turns {
        int armed = 0, deaths = 0;
    };
    std::map<std::string, Turns> points_;
};

}  // namespace segue::test
