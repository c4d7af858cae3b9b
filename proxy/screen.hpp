#pragma once
// The status JSON as one screen for people.

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace segue::proxy {

enum class Colours : std::uint8_t { off, on };

std::string status_screen(const nlohmann::json& status, Colours colours);

}  // namespace segue::proxy
