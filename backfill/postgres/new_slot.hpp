#pragma once
// From where on a slot that was just created can be read.
//
// PostgreSQL (13 to 18 at least) may decode a new slot's first transactions with a picture of the
// catalogs that lacks what was committed while the slot was being created and an older transaction
// was open: a TRUNCATE, a table that was rewritten, other DDL. A change of such a table then ends
// the stream for ever ("could not map filenode"), or is read with columns that it no longer has.
// The picture is renewed only by the next commit that changes the catalogs.

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/link.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Commits a change of the catalogs, waits until every transaction of this database that may have
// written before it has ended, and returns where the log stood then, flushed. Whoever reads the
// slot from there on (START_REPLICATION, or progress that begins there) is given only what is
// decoded rightly; everything that commits below it is to be found by snapshots instead.
// Idempotent: each call answers a later position. Needs schema segue and the mover's mark.
// Errc::timed_out at the deadline, with the pids of those that are open.
Result<Position> first_readable(Connection& owner, Deadline deadline);

}  // namespace segue::backfill::postgres
