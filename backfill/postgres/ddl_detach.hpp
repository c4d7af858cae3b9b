#pragma once
// DETACH PARTITION ... CONCURRENTLY leaves the partition's bounds behind as a check of its own.
// Where it is carried only the plain form can be run, which does not.

#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct Partition {
    std::string number, name, bounds;  // Its oid; quoted; as an expression.
};

// Those of the tables with these names (schema.table).
Result<std::vector<Partition>> read_partitions(Connection& follower,
                                               const std::vector<std::string>& names);

// Those that are none any more get their bounds as a check, as that role's command.
Status keep_bounds_of_detached(Connection& follower,
                               const std::string& role,
                               const std::vector<Partition>& before);

}  // namespace segue::backfill::postgres
