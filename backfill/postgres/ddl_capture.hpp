#pragma once
// DDL of applications, captured on the authority in stream order: event triggers write each command
// as a row of segue.ddl, which travels in the stream between the rows written before and after it.
// Installed on both sides, because either may be the authority; a command of the mover is not
// captured, so nothing goes round. Only a superuser may create event triggers: without one nothing
// is captured, and what the stream says of a table that was changed stops the applier.

#include <string>
#include <vector>

#include "backfill/postgres/link.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Both sides must be allowed to: the follower's triggers tell what a command did there.
Result<bool> may_capture_ddl(Link& link);

struct DdlCaptureSettings {
    std::string migration_id, migration;
    std::vector<std::string> exclude;
};
// Idempotent.
Status install_ddl_capture(Link& link, const DdlCaptureSettings& settings);

enum class CaptureState { absent, present, renewed };
// Where it is installed: anew, if it is another version's or has other settings. No application
// waits for it longer than a tenth of a second at a time.
Result<CaptureState> renew_ddl_capture(Link& link, const DdlCaptureSettings& settings);

// No command that begins afterwards is captured. Those that are inside of it go on.
Status stop_ddl_capture(Link& link);
// Its tables and functions, in this order: the lock on the tables is had when nobody is inside.
// After the event triggers.
std::string remove_ddl_capture_sql();

}  // namespace segue::backfill::postgres
