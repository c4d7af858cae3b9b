#pragma once
// A change of the schema takes locks on the follower that others there may hold: a reader, a dump,
// the copy's own workers, somebody's maintenance. It waits for them a while at a time only, because
// whoever comes behind it waits as well (law 10), then lets those by and tries again, for as long
// as it takes: a lock alone never stops the stream.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaPatience {
    // The second and later waits are longer, each twice the one before: readers that follow upon
    // each other would else keep it waiting for ever.
    std::chrono::milliseconds wait_min{1000}, wait_max{10000};
    std::chrono::milliseconds pause{250};  // In which those behind it go on.
    // In a circle with somebody who waits for what the transaction did before: only its end helps.
    int deadlocks_max = 3;
};

// `follower` is in a transaction. Calls `attempt` again while what it meets is a lock, each time in
// the state of before; `waits` after each such time. An error that met_a_lock() is one that only
// the transaction's end can mend; the transaction must be rolled back after any error.
Status change_patiently(Connection& follower,
                        const SchemaPatience& patience,
                        const std::function<Status()>& attempt,
                        const std::function<void()>& waits);

// For the operator: who holds locks on these tables (schema.table) longest, and what ends that.
std::string who_holds_locks(Connection& follower, const std::vector<std::string>& tables);

}  // namespace segue::backfill::postgres
