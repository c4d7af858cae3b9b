#include "backfill/postgres/ddl_earlier.hpp"

#include <thread>
#include <utility>
#include <vector>

#include "backfill/postgres/open_transactions.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds pause_between_looks{20};
// A command that was sent before the capture began is within it by then: it has a transaction id,
// or waits for a lock.
constexpr std::chrono::milliseconds commands_settle{200};

// Statements that began before `since` (by the source's clock), have no transaction id yet, and
// hold or wait for a lock as DDL takes it; who waits for a lock on a table may want to make
// something of it, whatever the lock. What maintenance does is no DDL.
Result<std::string> earlier_commands(Link& source, const std::string& since) {
    const auto rows = source.run(R"sql(
        SELECT DISTINCT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
        WHERE a.datname = current_database() AND a.backend_type = 'client backend'
          AND a.pid <> pg_backend_pid() AND a.state = 'active' AND a.query_start < $1::timestamptz
          AND l.database = a.datid
          AND (l.locktype = 'object' OR l.locktype = 'relation' AND (NOT l.granted OR l.mode IN (
            'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
            'AccessExclusiveLock')))
          AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum p WHERE p.pid = a.pid)
          AND NOT EXISTS (SELECT FROM pg_stat_progress_analyze p WHERE p.pid = a.pid))sql",
                                 Parameters{since});
    if (!rows) return rows.error();
    std::string pids;
    for (int row = 0; row < rows->size(); ++row) pids += " " + rows->text(row, 0);
    return pids;
}

// All that are open; or, where `since` is given, those of them that began before: they become fewer
// also where there are always some.
Result<std::vector<std::string>> open_now(Link& source, const std::string& since) {
    const auto rows = source.run(R"sql(
        SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) x WHERE $1 = '' OR EXISTS (
            SELECT FROM pg_stat_activity a WHERE a.datname = current_database()
              AND a.xact_start < nullif($1, '')::timestamptz
              AND a.backend_xid = (x::text::numeric % 4294967296)::text::xid))sql",
                                 Parameters{since});
    if (!rows) return rows.error();
    std::vector<std::string> transactions;
    for (int row = 0; row < rows->size(); ++row) transactions.push_back(rows->text(row, 0));
    return transactions;
}

}  // namespace

Error still_open(Link& source, const std::string& pids, const std::string& why) {
    const auto connection = source.connection();
    const std::string oldest =
        connection ? oldest_of(**connection, pids) : "a transaction (pids:" + pids + ")";
    return Error{Errc::timed_out,
                 "source: " + why + ", and " + oldest + " is still open after " +
                     std::to_string(transactions_wait_max.count()) +
                     " s; end it and run `segue start` again"};
}

// Transactions with an id are known by it. A command that has none yet is known by its statement.
// A command may be between the two, or between two locks, so both are asked for until nobody has
// been found for a while.
Status await_earlier(Link& source) {
    const Deadline deadline = std::chrono::steady_clock::now() + transactions_wait_max;
    const auto rows = source.run("SELECT clock_timestamp()");
    if (!rows) return rows.error();
    const std::string began = rows->text(0, 0);
    for (std::string since;;) {
        std::this_thread::sleep_for(commands_settle);
        const auto commands = earlier_commands(source, began);
        if (!commands) return commands.error();
        if (!commands->empty()) {
            if (std::chrono::steady_clock::now() >= deadline)
                return still_open(source, *commands, "a command began before DDL was captured");
            continue;
        }
        auto transactions = open_now(source, since);
        if (!transactions) return transactions.error();
        if (transactions->empty()) return Done{};
        since = began;
        const auto connection = source.connection();
        if (!connection) return connection.error();
        const auto open = await_transactions(
            **connection, std::move(*transactions), pause_between_looks, deadline);
        if (!open) return open.error();
        if (!open->empty())
            return still_open(
                source, *open, "a transaction may have begun before DDL was captured");
    }
}

}  // namespace segue::backfill::postgres
