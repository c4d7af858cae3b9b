#include "backfill/postgres/schema_patience.hpp"

#include <algorithm>
#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// After so long the server looks whether it waits in a circle, and tells an autovacuum to go: both
// before the wait is over. Only a superuser may set it, and only one's schema changes are carried.
constexpr const char* look_soon =
    "; SELECT set_config('deadlock_timeout', '100ms', true) WHERE current_setting('is_superuser') ="
    " 'on'";

std::string wait_no_longer_than(std::chrono::milliseconds wait) {
    return "SAVEPOINT segue_patience; SET LOCAL lock_timeout = " + std::to_string(wait.count()) +
           look_soon;
}

// To the state of before, without leaving a level for each time: a lock may be held for hours.
constexpr const char* undo =
    "ROLLBACK TO SAVEPOINT segue_patience; RELEASE SAVEPOINT segue_patience";

// Rows that follow in the same transaction wait as ever.
constexpr const char* wait_as_ever =
    "RELEASE SAVEPOINT segue_patience; SET LOCAL lock_timeout = 0; SELECT set_config("
    "'deadlock_timeout', reset_val, true) FROM pg_settings WHERE name = 'deadlock_timeout' AND"
    " current_setting('is_superuser') = 'on'";

}  // namespace

Status change_patiently(Connection& follower,
                        const SchemaPatience& patience,
                        const std::function<Status()>& attempt,
                        const std::function<void()>& waits) {
    auto wait = patience.wait_min;
    int deadlocks = 0;
    for (;;) {
        if (const auto set = follower.execute(wait_no_longer_than(wait)); !set) return set.error();
        Status done = attempt();
        if (done) {
            if (const auto reset = follower.execute(wait_as_ever); !reset) return reset.error();
            return done;
        }
        if (!follower.good() || !met_a_lock(done.error())) return done;
        deadlocks = done.error().sqlstate == deadlock_detected ? deadlocks + 1 : 0;
        if (deadlocks >= patience.deadlocks_max) return done;
        if (const auto undone = follower.execute(undo); !undone) return undone.error();
        waits();
        std::this_thread::sleep_for(patience.pause);
        wait = std::min(wait * 2, patience.wait_max);
    }
}

std::string who_holds_locks(Connection& follower, const std::vector<std::string>& tables) {
    const auto rows = follower.execute(R"sql(
        SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND n.nspname || '.' || c.relname = ANY ($1::text[])
        ORDER BY a.xact_start LIMIT 1)sql",
                                       {text_array(tables)});
    if (!rows || rows->size() == 0) return "it waits for a lock that somebody holds there";
    const std::string pid = rows->text(0, 0);
    return "it waits for a lock that server process " + pid +
           " holds there (SELECT pg_terminate_backend(" + pid + ") ends that)";
}

}  // namespace segue::backfill::postgres
