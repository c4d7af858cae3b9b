#pragma once
// PostgreSQL's text forms of a one-dimensional array, for parameters that are lists, and of a
// record.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace segue::backfill::postgres {

// {"a","b\"c"}: every element quoted, so that NULL, blanks and braces are plain text.
std::string text_array(const std::vector<std::string>& elements);
// The elements of such a text, as the server writes it; NULL becomes the text NULL.
std::vector<std::string> parse_text_array(std::string_view text);
// The fields of (a,,"b ""c"" \\"), as the server writes it; nullopt for NULL. A record without
// fields looks like one whose only field is NULL, and is taken for that.
std::vector<std::optional<std::string>> parse_text_record(std::string_view text);

}  // namespace segue::backfill::postgres
