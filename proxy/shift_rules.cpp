#include "proxy/shift_rules.hpp"

namespace segue::proxy {

bool SessionSeat::take(const std::shared_ptr<SessionBalance>& balance, double percent) {
    if (balance_ != balance) {
        leave();
        chosen_ = balance->join(percent);
        balance_ = balance;
    } else if (percent_ != percent) {
        chosen_ = balance_->settle(chosen_, percent);
    }
    percent_ = percent;
    return chosen_;
}

void SessionSeat::leave() {
    if (balance_) balance_->leave(chosen_);
    balance_.reset();
    chosen_ = false;
}

void ShiftRules::set(const router::ShiftScope& scope) {
    if (current()->scope == scope) return;
    auto rule = std::make_shared<ShiftRule>();
    rule->scope = scope;
    for (const std::string& table : scope.tables)
        rule->tables.push_back(protocol::postgres::parse_table_name(table));
    const std::lock_guard lock{mutex_};
    rule_ = std::move(rule);
    version_.fetch_add(1, std::memory_order_release);
}

}  // namespace segue::proxy
