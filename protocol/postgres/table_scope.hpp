#pragma once
// Whether a read is about certain tables only. Unsure is no.

#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/volatility.hpp"

namespace segue::protocol::postgres {

// "schema.table", or a table in any schema.
QualifiedName parse_table_name(std::string_view text);

// True when the statement reads at least one relation, each of them is one of `tables` or a view of
// nothing but them, wherever the session's search_path finds it, and no function of the database's
// own is called, which could read anything.
bool reads_only(const Statement& statement,
                const ReadCatalog& catalog,
                const std::vector<QualifiedName>& tables);

}  // namespace segue::protocol::postgres
