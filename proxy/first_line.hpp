#pragma once
// Files that hold one secret as their first line.

#include <cstddef>
#include <optional>
#include <string>

namespace segue::proxy {

inline constexpr std::size_t first_line_max = 4096;

// Empty when the file cannot be read, or its first line is empty or longer than first_line_max.
std::optional<std::string> first_line(const std::string& file);

}  // namespace segue::proxy
