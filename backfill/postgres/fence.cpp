#include "backfill/postgres/fence.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/open_transactions.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Whoever queues behind us for a table waits no longer than this (law 10).
constexpr const char* table_lock_timeout = "100ms";
constexpr std::chrono::milliseconds pause_between_rounds{100};
constexpr std::chrono::milliseconds pause_between_looks{3};
constexpr std::chrono::seconds look_time_max{2};

Connection::Options options_for(const FenceSettings& settings, const char* application_name) {
    return {.application_name = application_name,
            .settings = {{mover_setting, settings.migration_id},
                         {"synchronous_commit", "on"},
                         {"lock_timeout", table_lock_timeout}},
            .connect_timeout = std::chrono::seconds{5}};
}

// The lock's row in pg_locks.
std::string fence_lock_row() {
    return "locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database "
           "WHERE"
           " datname = current_database()) AND classid = " +
           std::to_string(fence_lock_key >> 32) +
           " AND objid = " + std::to_string(fence_lock_key & 0xffffffff);
}

Error with_context(const Error& error, const std::string& context) {
    Error whole = error;
    whole.detail = context + ": " + error.detail;
    return whole;
}

}  // namespace

Fence::Fence(FenceSettings settings)
    : settings_(std::move(settings)),
      link_(settings_.url, options_for(settings_, "segue")),
      lock_link_(settings_.url, options_for(settings_, "segue fence")) {}

Status Fence::install() {
    const auto role = link_.run(
        "SELECT session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)");
    if (!role) return role.error();
    const auto made =
        link_.run(fence_functions_sql(settings_.side, role->text(0, 0), settings_.migration_id));
    if (!made) return made.error();
    if (!role->truth(0, 1)) return Done{};  // Preflight has told what this costs.
    const auto events = link_.run(fence_event_triggers_sql());
    if (!events) return events.error();
    return Done{};
}

Result<std::vector<std::string>> Fence::unarmed() {
    const auto rows = link_.run(std::string{"SELECT n.nspname || '.' || c.relname "} +
                                    fenced_tables_sql + " AND NOT " + is_armed_sql + " ORDER BY 1",
                                Parameters{text_array(settings_.exclude), settings_.migration_id});
    if (!rows) return rows.error();
    std::vector<std::string> names;
    for (int row = 0; row < rows->size(); ++row) names.push_back(rows->text(row, 0));
    return names;
}

// Runs before + table + after for every table, each a transaction of its own; those that are busy
// again later.
Status Fence::each_table(const std::string& which,
                         const std::string& sql_before_table,
                         const std::string& sql_after_table,
                         Deadline deadline) {
    for (;;) {
        const auto rows = retry_locked(deadline, [&] {
            return link_.run("SELECT n.nspname, c.relname " + which,
                             Parameters{text_array(settings_.exclude), settings_.migration_id});
        });
        if (!rows) return rows.error();
        std::string busy;
        for (int row = 0; row < rows->size(); ++row) {
            const std::string table = qualified(rows->text(row, 0), rows->text(row, 1));
            std::string sql = sql_before_table + sql_after_table;
            for (std::size_t at = sql.find("%T"); at != std::string::npos;
                 at = sql.find("%T", at)) {
                sql.replace(at, 2, table);
                at += table.size();
            }
            const auto done = link_.run(sql);
            if (done) continue;
            if (!met_a_lock(done.error())) {
                return with_context(done.error(), std::string{name(settings_.side)} + ": " + table);
            }
            busy = table;
        }
        if (busy.empty()) return Done{};
        if (std::chrono::steady_clock::now() >= deadline) {
            return Error{Errc::timed_out,
                         std::string{name(settings_.side)} + ": no lock on " + busy +
                             " in time, because of" +
                             lock_holders("relation = " + quote_literal(busy) + "::regclass")};
        }
        std::this_thread::sleep_for(pause_between_rounds);
    }
}

Status Fence::arm(Deadline deadline) {
    const auto role = link_.run("SELECT session_user");
    if (!role) return role.error();
    const FenceTriggerSql trigger = fence_trigger_sql(role->text(0, 0), settings_.migration_id);
    const std::string unarmed_tables = std::string{fenced_tables_sql} + " AND NOT " + is_armed_sql;
    // Dropping locks out readers too, so it is done only where an earlier migration left a trigger.
    const Status cleared = each_table(
        unarmed_tables +
            " AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname ="
            " 'segue_fence')",
        "DROP TRIGGER IF EXISTS segue_fence ON %T",
        "",
        deadline);
    if (!cleared) return cleared;
    const Status armed =
        each_table(unarmed_tables,
                   trigger.before_table + "%T",
                   trigger.after_table + "; ALTER TABLE ONLY %T ENABLE ALWAYS TRIGGER segue_fence",
                   deadline);
    if (armed || armed.error().code != Errc::timed_out) return armed;
    Error error = armed.error();
    error.detail +=
        ". The fence's trigger is put on each table once, by the first `segue rehearse` or change,"
        " and not while a transaction is open that has written to the table: wait for its end, or"
        " pg_terminate_backend it, and repeat";
    return error;
}

Status Fence::flip(bool closed, Deadline deadline) {
    // Only as this side's control record wants it, read and locked in the same statement: one that
    // arrives late, from a process that was killed or frozen, must neither fence a side that serves
    // nor open one that does not. The row that is written makes the commit one that is flushed.
    const std::string wanted =
        closed ? "phase IN ('switching', 'deciding') OR authority <> side"
               : "phase = 'finished' OR (phase = 'steady' AND authority = side)";
    const std::string sql =
        "WITH wanted AS MATERIALIZED (SELECT FROM segue.control WHERE " + wanted +
        " FOR SHARE),"
        " told AS (INSERT INTO segue.event (kind, detail) SELECT 'fence', '" +
        (closed ? "closed" : "open") + "' FROM wanted) SELECT setval('segue.fence', " +
        (closed ? "2" : "1") + ") FROM wanted";
    // The record may be locked by whoever writes it just then.
    const auto flipped =
        retry_locked(deadline, [&] { return link_.run(sql, std::nullopt, deadline); });
    if (!flipped) return with_context(flipped.error(), "the fence's flag");
    if (flipped->size() == 0) {
        return Error{Errc::refused,
                     "the control record of this side does not say that its fence is to be " +
                         std::string{closed ? "closed" : "open"} +
                         ": another process has changed it"};
    }
    return Done{};
}

Status Fence::close(Deadline deadline) {
    if (const Status flipped = flip(true, deadline); !flipped) return flipped;
    if (held()) return Done{};
    if (const Status ended = await_older_transactions(deadline); !ended) return ended;
    if (const Status taken = take_lock(deadline); !taken) return taken;
    const auto still = closed();
    if (!still) return still.error();
    if (!*still)
        return Error{Errc::refused, "the fence was opened by somebody else while it was closed"};
    return Done{};
}

// Every transaction of the snapshot after the flip, prepared ones included: it may have written
// before. Only transactions of other databases cannot have written here.
Status Fence::await_older_transactions(Deadline deadline) {
    const auto snapshot =
        link_.run("SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) x", std::nullopt, deadline);
    if (!snapshot) return snapshot.error();
    std::vector<std::string> older;
    for (int row = 0; row < snapshot->size(); ++row) older.push_back(snapshot->text(row, 0));

    const auto connection = link_.connection();
    if (!connection) return connection.error();
    const auto open =
        await_transactions(**connection, std::move(older), pause_between_looks, deadline);
    if (!open) return open.error();
    if (open->empty()) return Done{};
    return Error{Errc::timed_out,
                 std::string{name(settings_.side)} +
                     ": transactions that began before the fence are still open; pids:" + *open};
}

// Asked for only now: a waiting exclusive lock would make every writer's try fail.
Status Fence::take_lock(Deadline deadline) {
    const auto connection = lock_link_.connection();
    if (!connection) return connection.error();
    const auto taken = execute_before(
        **connection,
        "SET lock_timeout = 0; SELECT pg_advisory_lock(" + std::to_string(fence_lock_key) + ")",
        std::nullopt,
        deadline);
    if (taken) return Done{};
    lock_link_.drop();  // Whatever became of the wait ends with the session.
    if (taken.error().code != Errc::timed_out) return taken.error();
    return Error{Errc::timed_out,
                 std::string{name(settings_.side)} + ": sessions that write are still open; pids:" +
                     lock_holders(fence_lock_row())};
}

std::string Fence::lock_holders(const std::string& condition) {
    const auto rows = link_.run(
        "SELECT DISTINCT coalesce(l.pid || coalesce(' (' || a.state || coalesce(' for ' ||"
        " extract(epoch FROM clock_timestamp() - a.xact_start)::int || ' s', '') || ')', ''),"
        " 'prepared transaction' || coalesce(' ' || (SELECT string_agg(quote_literal(p.gid), ', ')"
        " FROM pg_locks t JOIN pg_prepared_xacts p ON p.transaction = t.transactionid"
        " WHERE t.pid IS NULL AND t.virtualtransaction = l.virtualtransaction), ''))"
        " FROM (SELECT * FROM pg_locks WHERE granted AND pid IS DISTINCT FROM pg_backend_pid() "
        "AND " +
            condition + ") l LEFT JOIN pg_stat_activity a ON a.pid = l.pid",
        std::nullopt,
        std::chrono::steady_clock::now() + look_time_max);
    if (!rows) return " unknown";
    std::string pids;
    for (int row = 0; row < rows->size(); ++row)
        pids += (pids.empty() ? " " : ", ") + rows->text(row, 0);
    return pids.empty() ? " none any more" : pids;
}

bool Fence::held() {
    if (!lock_link_.open()) return false;
    const auto connection = lock_link_.connection();
    if (!connection) return false;
    // Only on this very session: a new one would have let writers in between.
    const auto rows =
        execute_before(**connection,
                       "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND"
                       " granted AND mode = 'ExclusiveLock' AND " +
                           fence_lock_row(),
                       std::nullopt,
                       std::chrono::steady_clock::now() + look_time_max);
    return rows && rows->number(0, 0) == 1;
}

void Fence::release_lock() {
    if (!lock_link_.open()) return;
    // The answer matters little: the session ends with it, and its lock with the session.
    if (const auto connection = lock_link_.connection()) {
        (void)execute_before(**connection,
                             "SELECT pg_advisory_unlock_all()",
                             std::nullopt,
                             std::chrono::steady_clock::now() + look_time_max);
    }
    lock_link_.drop();
}

Status Fence::open(Deadline deadline) {
    // The lock goes first: with the flag open and the lock still there, writers would be refused.
    release_lock();
    const auto leftovers = link_.run(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE pid <>"
        " pg_backend_pid() AND mode = 'ExclusiveLock' AND " +
            fence_lock_row(),
        std::nullopt,
        deadline);
    if (!leftovers) return leftovers.error();
    return flip(false, deadline);
}

Result<bool> Fence::closed() {
    const auto rows = link_.run("SELECT last_value = 2 FROM segue.fence");
    if (!rows) return rows.error();
    return rows->truth(0, 0);
}

Status Fence::remove(Deadline deadline) {
    const auto events = link_.run(
        "DROP EVENT TRIGGER IF EXISTS segue_fence_ddl;"
        " DROP EVENT TRIGGER IF EXISTS segue_fence_new;"
        " DROP EVENT TRIGGER IF EXISTS segue_fence_carried");
    if (!events) return events.error();
    // A table that an open transaction has made and armed would keep a trigger without a function.
    // Who has armed one has read the token, and holds its lock until the end.
    const auto armed = retry_locked(deadline, [&] {
        return link_.run(
            "DO $$ BEGIN IF to_regclass('segue.ddl_token') IS NOT NULL THEN"
            " LOCK TABLE segue.ddl_token IN ACCESS EXCLUSIVE MODE; END IF; END $$",
            std::nullopt,
            deadline);
    });
    if (!armed) {
        Error error = armed.error();
        if (error.code == Errc::timed_out)
            error.detail =
                "a transaction that has created a table is open for long: " + error.detail;
        return error;
    }
    const Status dropped = each_table(
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid ="
        " c.relnamespace WHERE t.tgname = 'segue_fence' AND $1::text IS NOT NULL AND $2::text IS "
        "NOT NULL",
        "DROP TRIGGER IF EXISTS segue_fence ON %T",
        "",
        deadline);
    if (!dropped) return dropped;
    const auto functions = link_.run(
        "DROP FUNCTION IF EXISTS segue.fence_guard();"
        " DROP FUNCTION IF EXISTS segue.fence_ddl();"
        " DROP FUNCTION IF EXISTS segue.fence_new_tables();"
        " DROP FUNCTION IF EXISTS segue.fence_carried()");
    if (!functions) return functions.error();
    return Done{};
}

}  // namespace segue::backfill::postgres
