#pragma once
// A statement's text as operators may see it: its constants replaced by parameters, without
// comments, on one line. So executions that differ in their values only share one text, and no
// value of the application's is shown. And what else is made of a text for them: its fingerprint,
// and what a server plans in its place. All of it is thread-safe, and costs a parse.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace segue::protocol::postgres {

// Longer texts are cut there, at an edge between characters.
inline constexpr std::size_t redacted_size_max = 400;

// Empty where the grammar does not understand the text.
std::string redacted(std::string_view statement);

// Equal for texts that differ in values, spaces, comments, or the length of lists of values only.
// Empty where the grammar does not understand the text.
std::optional<std::uint64_t> fingerprint(std::string_view statement);

// Longer texts are not planned.
inline constexpr std::size_t plannable_size_max = 16 * 1024;

// What a server can prepare in the statement's place: without any value. Empty where a constant
// stands that no parameter can take the place of, and for what is too long.
std::string plannable(std::string_view statement);

// A line of its plan, without string constants: of views, policies and indexes, then.
std::string without_strings(std::string_view line);

}  // namespace segue::protocol::postgres
