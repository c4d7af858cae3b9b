#pragma once
// How fast each table is copied, from one look at the status to the next.

#include <chrono>
#include <deque>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace segue::proxy {

// A mean over so long, because chunks come in whole.
inline constexpr std::chrono::seconds table_rate_window{15};

class TableRates {
public:
    using Time = std::chrono::steady_clock::time_point;

    void add(Time at, const nlohmann::json& status);
    // Rows a second of the table `schema.name`. Nothing before the second look at it, and for one
    // that has begun anew.
    std::optional<double> of(const std::string& table) const;

private:
    struct Look {
        Time at;
        std::map<std::string, double> rows;
    };
    std::deque<Look> looks_;  // Oldest first.
};

}  // namespace segue::proxy
