#include "proxy/lone_session.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace segue::proxy {

namespace {

using Turns = std::array<std::chrono::nanoseconds, turns_of_half_a_trial>;

std::chrono::nanoseconds sum_of_counted(Turns& turns) {
    const auto end = turns.end() - turns_not_counted;
    std::nth_element(turns.begin(), end, turns.end());
    return std::accumulate(turns.begin(), end, std::chrono::nanoseconds{0});
}

}  // namespace

void LoneSession::brought(const void* session) {
    if (session != session_) {
        session_ = session;
        turns_alone_ = 0;
    }
    anything_ = true;
}

std::chrono::microseconds LoneSession::begin(Clock::time_point began) {
    constexpr std::chrono::microseconds not_at_all{0};
    if (!std::exchange(anything_, false) || longest_ == not_at_all) return not_at_all;
    const auto turn = began - std::exchange(last_, began);
    turns_alone_ = std::min(turns_alone_ + 1, turns_alone_min);
    if (turns_alone_ < turns_alone_min || !worth_a_look(turn)) return not_at_all;
    return looking_->exchange(true, std::memory_order_relaxed) ? not_at_all : longest_;
}

bool LoneSession::worth_a_look(std::chrono::nanoseconds turn) {
    if (phase_ == Phase::decided) {
        if (--left_ == 0) phase_ = Phase::without;
        return faster_ && phase_ == Phase::decided;
    }
    turns_[taken_++] = turn;
    if (taken_ == turns_.size()) {
        taken_ = 0;
        const auto took = sum_of_counted(turns_);
        if (phase_ == Phase::with) {
            decide(took);
            return faster_;
        }
        without_ = took;
        phase_ = Phase::with;
    }
    return phase_ == Phase::with;
}

void LoneSession::decide(std::chrono::nanoseconds with) {
    faster_ = static_cast<double>(with.count()) <
              share_with_looks_max * static_cast<double>(without_.count());
    left_ = between_;
    between_ = faster_ ? turns_between_trials : std::min(between_ * 2, turns_between_trials_max);
    phase_ = Phase::decided;
}

void LoneSession::looked() { looking_->store(false, std::memory_order_relaxed); }

}  // namespace segue::proxy
