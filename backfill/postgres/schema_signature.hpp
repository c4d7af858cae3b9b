#pragma once
// What a database's tables look like, as comparable texts: columns, constraints, indexes. Segue's
// own objects and what may differ without harm (order of columns, object numbers, replica
// identities) are left out.

#include <compare>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaObject {
    std::string table;       // schema.table
    std::string kind;        // table, column, constraint, index
    std::string name;        // Empty for the table itself.
    std::string definition;  // As the server prints it, with everything qualified.

    friend auto operator<=>(const SchemaObject&, const SchemaObject&) = default;
};

// Table, kind, name and definition of everything that tables look like. `which`: a condition on
// pg_class c and pg_namespace n.
std::string schema_signature_sql(const std::string& which);

// Sorted.
Result<std::vector<SchemaObject>> read_schema_signature(Connection& connection,
                                                        const std::vector<std::string>& exclude);

// One line for each object that is on one side only or different, at most `lines_max`. Pure.
std::vector<std::string> schema_differences(const std::vector<SchemaObject>& source,
                                            const std::vector<SchemaObject>& target,
                                            std::size_t lines_max);

// One line for each table of the target that is also on the source and cannot be used as it is:
// other columns, constraints or indexes that the source does not have, or rows. What is missing on
// the target is no conflict.
Result<std::vector<std::string>> target_conflicts(Connection& source,
                                                  Connection& target,
                                                  const std::vector<std::string>& exclude);

}  // namespace segue::backfill::postgres
