#pragma once
// What a database's tables look like, as comparable texts: columns, constraints, indexes, triggers,
// policies, extended statistics.
// Segue's own objects and what may differ without harm (order of columns, object numbers, replica
// identities) are left out.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaObject {
    std::string table;       // schema.table
    std::string kind;        // table, column, constraint, index, trigger, policy ...
    std::string name;        // Empty for the table itself.
    std::string definition;  // As the server prints it, with everything qualified; canonical.

    friend auto operator<=>(const SchemaObject&, const SchemaObject&) = default;
};

// Table, kind, name and definition of everything that tables look like to who writes rows as the
// mover does. `which`: a condition on pg_class c and pg_namespace n.
std::string schema_signature_sql(const std::string& which);

// Sorted. Errc::closed where nothing was heard for so long; see execute_within.
Result<std::vector<SchemaObject>> read_schema_signature(
    Connection& connection,
    const std::vector<std::string>& exclude,
    std::chrono::milliseconds silence_max = catalog_wait_max);

// Of one kind, on servers of any two versions: some print an expression in another way. Pure.
bool same_definition(std::string_view kind, std::string_view one, std::string_view other);

// One line for each object that is on one side only or different, at most `lines_max`; of
// indexes, triggers and statistics that are missing on the target also the command that makes them.
// Pure.
std::vector<std::string> schema_differences(const std::vector<SchemaObject>& source,
                                            const std::vector<SchemaObject>& target,
                                            std::size_t lines_max);

// A table of the target that is also on the source and cannot be used as it is: other columns,
// constraints, indexes or triggers that the source does not have so, or rows. What is missing on
// the target is no conflict: the dump makes the source's.
struct TargetConflict {
    enum class Kind : std::uint8_t { different, filled };
    Kind kind = Kind::different;
    std::string table;      // schema.table
    std::string table_sql;  // The same, quoted where it must be.
    std::string text;       // One line, with the table's name.
};
Result<std::vector<TargetConflict>> target_conflicts(Connection& source,
                                                     Connection& target,
                                                     const std::vector<std::string>& exclude);

// A definition as it reads when it has been written down and read again: PostgreSQL prints a list
// whose elements it converts, such as varchar IN ('a', NULL), in one way when it was typed, and in
// another when it came from pg_dump. Pure.
std::string canonical_definition(std::string_view definition);

}  // namespace segue::backfill::postgres
