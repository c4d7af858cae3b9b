#include "tests/faults/point_book.hpp"

#include <algorithm>
#include <limits>

namespace segue::test {

namespace {

// Only a lost answer leads there, which only a crash of a server in that very instant makes.
constexpr const char* by_chance = "change.after_ask";

// What is copied is not copied again, and nobody changes the authority before.
bool will_be_reached(const std::string& point, bool copied) {
    if (point == by_chance) return false;
    if (point.starts_with("copy.")) return !copied;
    if (point.starts_with("change.")) return copied;
    return true;
}

}  // namespace

std::optional<std::string> PointBook::arm(Dice& dice, bool copied) {
    int least = std::numeric_limits<int>::max();
    std::vector<std::string> turn;
    for (const auto& [point, turns] : points_) {
        if (!will_be_reached(point, copied) || turns.armed > least) continue;
        if (turns.armed < least) turn.clear();
        least = turns.armed;
        turn.push_back(point);
    }
    if (turn.empty()) return std::nullopt;
    const std::string point = dice.one_of(turn);
    ++points_[point].armed;
    return point;
}

bool PointBook::is_owed_while_copying() const {
    return std::any_of(points_.begin(), points_.end(), [](const auto& one) {
        return one.first.starts_with("copy.") && one.second.deaths == 0;
    });
}

std::vector<std::string> PointBook::never() const {
    std::vector<std::string> never;
    for (const auto& [point, turns] : points_) {
        if (turns.deaths == 0 && point != by_chance) never.push_back(point);
    }
    return never;
}

std::string PointBook::text() const {
    std::string text;
    for (const auto& [point, turns] : points_) {
        text += "             " + point + ": " + std::to_string(turns.deaths) + " of " +
                std::to_string(turns.armed) + "\n";
    }
    return text;
}

}  // namespace segue::test
