#pragma once
// DDL of applications while a migration is being started. The slot shows what commits behind its
// first position, and the description of the schema what had committed when it was taken: what
// commits in between would be lost. So the capture (ddl_capture.hpp) begins before the schema is
// described, and what it has recorded from then up to the slot's first position is carried by hand,
// in its order, before the first row is copied.
//
// Which commands these are tells a lock on segue.ddl: whoever has captured a command keeps others
// from it until his transaction is over and visible. Under it every command that has committed is
// seen, and none commits.

#include <functional>
#include <string>
#include <vector>

#include "backfill/postgres/migration.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// It is asked for, and permitted on both sides; preflight has told what it costs where it is not.
Result<bool> captures_ddl(Migration& migration);

// On the source, from now on. Waits for those who may be changing the schema unseen, because they
// began before: Errc::timed_out names the oldest one.
Status begin_ddl_capture(Migration& migration);
// An earlier start that captured has left it; what it has recorded is of no use any more.
Status end_ddl_capture(Migration& migration);

// Describes the source's schema as it is at one moment, and keeps that on the target; once, so that
// a start that is repeated goes on with the same description. From then on segue.ddl of the source
// has exactly the commands that are not in it. `check_target` is asked at that moment.
Status describe_schema(Migration& migration, const std::function<Status()>& check_target);

// Restoring what was described has failed. Adds the way out where the description itself may be the
// reason: the server tells some definitions as they are now, whatever the snapshot.
Error cannot_restore_description(Migration& migration, Error error);

// The other half of the capture, when the schema is restored.
Status capture_ddl_on_target(Migration& migration);

// Carries what has committed by now, and returns the position in the log up to which that is so.
// What cannot be carried is an error that names the command and the remedy. Idempotent.
Result<Position> carry_ddl_until_now(Migration& migration);

}  // namespace segue::backfill::postgres
