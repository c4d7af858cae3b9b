#include "proxy/table_rates.hpp"

#include <nlohmann/json.hpp>

namespace segue::proxy {

void TableRates::add(Time at, const nlohmann::json& status) {
    Look look{at, {}};
    for (const auto& table : status.at("backfill").at("tables")) {
        if (!table.at("rows_copied").is_number()) continue;
        look.rows[table.at("schema").get<std::string>() + "." +
                  table.at("name").get<std::string>()] = table["rows_copied"].get<double>();
    }
    looks_.push_back(std::move(look));
    while (looks_.size() > 2 && looks_[1].at <= at - table_rate_window) looks_.pop_front();
}

std::optional<double> TableRates::of(const std::string& table) const {
    if (looks_.size() < 2) return std::nullopt;
    const auto first = looks_.front().rows.find(table);
    const auto last = looks_.back().rows.find(table);
    const double seconds =
        std::chrono::duration<double>(looks_.back().at - looks_.front().at).count();
    if (first == looks_.front().rows.end() || last == looks_.back().rows.end() ||
        last->second < first->second || seconds <= 0)
        return std::nullopt;
    return (last->second - first->second) / seconds;
}

}  // namespace segue::proxy
