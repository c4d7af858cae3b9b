#include "router/share.hpp"

#include <algorithm>

namespace segue::router {

namespace {
constexpr double whole = 100;
}

void Share::owe(double points) {
    const double beyond = std::max(owed_ + points - owed_max, 0.0);
    owed_ += points - beyond;
    debt_ = std::min(debt_ + beyond, debt_max);
}

bool Share::take(double percent) {
    if (percent != percent_) debt_ = 0;
    percent_ = percent;
    if (percent <= 0) {
        owed_ = 0;
        return false;
    }
    if (percent >= whole) return true;
    const double repaid = std::min(debt_, repaid_max);
    debt_ -= repaid;
    owe(percent + repaid);
    if (owed_ < whole) return false;
    owed_ -= whole;
    return true;
}

void Share::give_back() { owe(whole); }

bool take_session(double percent, std::uint64_t chosen, std::uint64_t total) {
    if (percent <= 0) return false;
    // Chosen when the share with it is nearer to what was asked for than without it.
    return static_cast<double>(chosen) + 0.5 <= percent / whole * static_cast<double>(total + 1);
}

bool SessionShare::join(double percent) {
    const bool chosen = take_session(percent, chosen_, total_);
    ++total_;
    chosen_ += chosen ? 1 : 0;
    return chosen;
}

bool SessionShare::settle(bool chosen, double percent) {
    const double wanted = percent / whole * static_cast<double>(total_);
    const double now = static_cast<double>(chosen_);
    if (!chosen && now + 0.5 <= wanted) {
        ++chosen_;
        return true;
    }
    if (chosen && now - 0.5 > wanted) {
        --chosen_;
        return false;
    }
    return chosen;
}

void SessionShare::leave(bool chosen) {
    --total_;
    chosen_ -= chosen ? 1 : 0;
}

}  // namespace segue::router
