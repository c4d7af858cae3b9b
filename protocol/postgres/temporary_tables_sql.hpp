#pragma once
// What asks a session's own backend how its temporary tables and sequences are made. For
// temporary_tables.cpp.

#include <string_view>

namespace segue::protocol::postgres {

// Rows (kind, text, oid, extra, name), the steps in their order: of sequences, tables, rows,
// constraints, indexes, foreign keys, owners, values, statistics. Where the planner knows no size
// of a table, its rows come after its indexes, so that it knows none there either. Also ('pin',
// why) for whatever cannot be made exactly, and ('size', bytes on disk). The search_path is
// pg_catalog, pg_temp: names of temporary objects then come without a schema, all others with
// theirs. Columns that not every version has are read from the row as a whole.
extern const std::string_view temporary_tables_sql;

}  // namespace segue::protocol::postgres
