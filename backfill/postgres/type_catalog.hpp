#pragma once
// Reads from a server's catalog which types there are and what they are made of, for the
// translation of their OIDs (protocol/postgres/type_ids.hpp).

#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/postgres/type_ids.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// All types whose OIDs may be others on another server, row types of tables among them. One query,
// some ten milliseconds. Of arrays the name is that of their elements and "[]": their own may be
// another one where it was taken.
Result<std::vector<protocol::postgres::CatalogType>> load_type_catalog(Connection& connection);

}  // namespace segue::backfill::postgres
