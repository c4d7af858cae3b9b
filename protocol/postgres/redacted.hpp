#pragma once
// A statement's text as operators may see it: its constants replaced by parameters, without
// comments, on one line. So executions that differ in their values only share one text, and no
// value of the application's is shown.

#include <cstddef>
#include <string>
#include <string_view>

namespace segue::protocol::postgres {

// Longer texts are cut there, at an edge between characters.
inline constexpr std::size_t redacted_size_max = 400;

// Empty where the grammar does not understand the text. Thread-safe; costs a parse.
std::string redacted(std::string_view statement);

}  // namespace segue::protocol::postgres
