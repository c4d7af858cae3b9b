#include "router/share.hpp"

#include <algorithm>

namespace segue::router {

namespace {
constexpr double whole = 100;
}

bool Share::take(double percent) {
    if (percent <= 0) {
        owed_ = 0;
        return false;
    }
    if (percent >= whole) return true;
    owed_ = std::min(owed_ + percent, owed_max);
    if (owed_ < whole) return false;
    owed_ -= whole;
    return true;
}

void Share::give_back() { owed_ = std::min(owed_ + whole, owed_max); }

bool take_session(double percent, std::uint64_t chosen, std::uint64_t total) {
    if (percent <= 0) return false;
    // Chosen when the share with it is nearer to what was asked for than without it.
    return static_cast<double>(chosen) + 0.5 <= percent / whole * static_cast<double>(total + 1);
}

}  // namespace segue::router
