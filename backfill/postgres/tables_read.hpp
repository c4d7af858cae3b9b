#pragma once
// What a read of the application's reads: its tables, through views, policies of row security and
// functions that are known to read some, down to those that have rows; and what it calls.

#include <string>

#include "backfill/mover.hpp"

namespace segue::backfill::postgres {

// Beyond it nothing is told.
inline constexpr std::size_t tables_read_max = 1000;

// As the server finds them on that side of the twin, with Segue's own rights; nothing of the
// statement is executed. `search_path`: the schemas as SQL names them, with commas between. A name
// that may be a WITH query's is taken for a table as well, where there is one.
Result<ReadTables> tables_read(Twin& twin,
                               Side side,
                               const std::string& statement,
                               const std::string& search_path);

}  // namespace segue::backfill::postgres
