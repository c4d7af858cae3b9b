#pragma once
// Whether a connection has input that PQconsumeInput would read at once. The descriptor alone does
// not tell: TLS may have opened a record of which libpq has taken a part, and no poll announces the
// rest.

#include <libpq-fe.h>

namespace segue::backfill::postgres {

bool input_at_hand(PGconn* connection);

// Waits until there is some, or `limit_ms` have passed (-1: for ever); false then, and on a signal.
bool wait_for_input(PGconn* connection, int limit_ms);

}  // namespace segue::backfill::postgres
