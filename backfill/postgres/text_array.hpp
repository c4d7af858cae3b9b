#pragma once
// PostgreSQL's text form of a one-dimensional array, for parameters that are lists.

#include <string>
#include <vector>

namespace segue::backfill::postgres {

// {"a","b\"c"}: every element quoted, so that NULL, blanks and braces are plain text.
std::string text_array(const std::vector<std::string>& elements);

}  // namespace segue::backfill::postgres
