#pragma once
// The part of the check that is about what the application's statements and functions meet when the
// target's server is of another version.

#include <map>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

// A word's category in pg_get_keywords(): U unreserved, C cannot be a function's or type's name,
// T can be nothing else, R reserved.
using Keywords = std::map<std::string, char>;

struct LostNames {
    std::vector<std::string> of_columns;    // Also of tables and schemas.
    std::vector<std::string> of_functions;  // Also of types.
};

// Words that are names without quotation marks on the source, and on the target no more.
LostNames lost_names(const Keywords& source, const Keywords& target);

// Tells of built-in functions that the target does not have and somebody calls, and of names that
// are reserved there.
void check_versions(Connection& source, Connection& target, std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
