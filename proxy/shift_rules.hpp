#pragma once
// Which reads may be shifted, as the operator's thread has it and every relay thread looks it up;
// and the places of the sessions where a percentage of sessions is shifted.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "protocol/postgres/table_scope.hpp"
#include "router/share.hpp"
#include "router/shift_scope.hpp"

namespace segue::proxy {

// The sessions of one rule. Thread-safe; asked when a session comes, goes, or has to look again.
class SessionBalance {
public:
    bool join(double percent) {
        const std::lock_guard lock{mutex_};
        return share_.join(percent);
    }
    bool settle(bool chosen, double percent) {
        const std::lock_guard lock{mutex_};
        return share_.settle(chosen, percent);
    }
    void leave(bool chosen) {
        const std::lock_guard lock{mutex_};
        share_.leave(chosen);
    }
    router::SessionShare now() const {
        const std::lock_guard lock{mutex_};
        return share_;
    }

private:
    mutable std::mutex mutex_;
    router::SessionShare share_;
};

// One session's place among those that a percentage is of; none until it is first asked for. It
// stays the same as long as rule and percentage do. One thread at a time.
class SessionSeat {
public:
    SessionSeat() = default;
    SessionSeat(SessionSeat&& from) noexcept { *this = std::move(from); }
    SessionSeat& operator=(SessionSeat&& from) noexcept {
        std::swap(balance_, from.balance_);
        std::swap(percent_, from.percent_);
        std::swap(chosen_, from.chosen_);
        return *this;
    }
    ~SessionSeat() { leave(); }

    // Whether the session is one of the chosen.
    bool take(const std::shared_ptr<SessionBalance>& balance, double percent);
    void leave();

private:
    // Shared with the rule, and with the seats of other sessions, which may outlive it.
    std::shared_ptr<SessionBalance> balance_;
    double percent_ = 0;
    bool chosen_ = false;
};

struct ShiftRule {
    router::ShiftScope scope;
    std::vector<protocol::postgres::QualifiedName> tables;  // Of the scope.
    std::shared_ptr<SessionBalance> balance = std::make_shared<SessionBalance>();
};

// One writer.
class ShiftRules {
public:
    // Another scope is another rule, under which sessions take their seats anew.
    void set(const router::ShiftScope& scope);
    // Any thread. Never null.
    std::shared_ptr<const ShiftRule> current() const {
        const std::lock_guard lock{mutex_};
        return rule_;
    }
    // Raised with every rule, so that nobody asks in vain.
    std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const ShiftRule> rule_ = std::make_shared<ShiftRule>();
    std::atomic<std::uint64_t> version_{1};
};

}  // namespace segue::proxy
