#pragma once
// The status JSON as one screen for people.

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "proxy/table_rates.hpp"

namespace segue::proxy {

enum class Colours : std::uint8_t { off, on };

// `status` may be that of an older or a newer `segue run`; throws json's exceptions where what it
// tells is of another kind than ours. `rates`: of looks before, for whoever keeps looking; may be
// null.
std::string status_screen(const nlohmann::json& status,
                          Colours colours,
                          const TableRates* rates = nullptr);

}  // namespace segue::proxy
