#pragma once
// Reads from a server's catalog what must be known of names before a statement is taken for a read:
// functions with their volatility, which relations are moved tables, what views and row security
// execute besides.

#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/hash.hpp"
#include "protocol/postgres/volatility.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct LoadedCatalog {
    protocol::postgres::ReadCatalog catalog;
    Hash128 mark;  // Of everything that was read: equal marks, equal catalogs.
};

// A handful of queries, some ten milliseconds. `exclude` ("schema.table") names tables that are not
// moved.
Result<LoadedCatalog> load_read_catalog(Connection& connection,
                                        const std::vector<std::string>& exclude);

}  // namespace segue::backfill::postgres
