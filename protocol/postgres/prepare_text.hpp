#pragma once
// Finds one PREPARE in the text that held it: the server remembers the whole string that a client
// sent, even if that held several statements.

#include <optional>
#include <string_view>
#include <vector>

namespace segue::protocol::postgres {

// Cuts a string into its statements at top-level semicolons; quotes, dollar quotes and comments are
// respected. Views `text`; the parts are without their semicolon. `backslash_escapes`:
// standard_conforming_strings is off.
std::vector<std::string_view> split_statements(std::string_view text, bool backslash_escapes);

// The last statement in `text` that is PREPARE of `name`; the whole of `text`, its semicolon and
// comments included, when it holds no other, so that the server remembers the same words.
std::optional<std::string_view> find_prepare(std::string_view text,
                                             std::string_view name,
                                             bool backslash_escapes);

}  // namespace segue::protocol::postgres
