#pragma once
// A plan for `segue auto`, as TOML -> router::AutoPlan. configs/auto.example.toml explains every
// key.

#include <string>

#include "protocol/result.hpp"
#include "router/plan.hpp"

namespace segue::proxy {

inline constexpr std::size_t plan_size_max = 32 * 1024;

// `file` is only named. An Error names file, line, key and what was expected, for every mistake.
Result<router::AutoPlan> parse_plan(const std::string& text, const std::string& file);

// The file's text. An Error says why it cannot be read.
Result<std::string> read_plan_file(const std::string& file);

}  // namespace segue::proxy
