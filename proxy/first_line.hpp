#pragma once
// Files that hold one secret as their first line, and why a file cannot be read.

#include <cstddef>
#include <string>

#include "protocol/result.hpp"

namespace segue::proxy {

inline constexpr std::size_t first_line_max = 4096;

// Empty where the file can be read.
std::string why_unreadable(const std::string& file);

// An Error tells why, and nothing of what is in the file.
Result<std::string> first_line(const std::string& file);

}  // namespace segue::proxy
