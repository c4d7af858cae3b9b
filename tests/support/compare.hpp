#pragma once
// Equality of two databases, row by row, by means of their own that share nothing with Segue's
// verification.

#include <cstdint>
#include <string>
#include <vector>

namespace segue::test {

struct Comparison {
    std::int64_t tables = 0, rows = 0;
    std::vector<std::string>
        differences;  // At most differences_max; each names the table and the row.
};

inline constexpr std::size_t differences_max = 20;

// All user tables (schema segue excepted) of both, as text, duplicates counted. Both must be quiet.
Comparison compare_databases(const std::string& a, const std::string& b);

// Indexes, constraints with their validity, triggers (the fence's excepted), columns, views and
// functions.
std::vector<std::string> compare_catalogs(const std::string& a, const std::string& b);

// A test failure for each difference.
void expect_equal(const std::string& a, const std::string& b);

}  // namespace segue::test
