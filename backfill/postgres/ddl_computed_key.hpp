#pragma once
// A command may give a table with rows a primary key of a column that it makes itself, with values
// that each side computes for itself: then no change of the stream finds its row any more.

#include <string_view>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// After the command was run on the follower. Refused with the reason where it is such a one.
// `before`: its tables as they were.
Status refuse_computed_key(Connection& follower,
                           const DdlRecord& record,
                           std::string_view statement,
                           const FollowerTables& before);

}  // namespace segue::backfill::postgres
