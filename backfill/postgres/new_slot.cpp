#include "backfill/postgres/new_slot.hpp"

#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/open_transactions.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds pause_between_looks{20};

}  // namespace

Result<Position> first_readable(Connection& owner, Deadline deadline) {
    const auto run = [&](const std::string& sql,
                         const std::optional<Parameters>& parameters = std::nullopt) {
        return retry_locked(deadline,
                            [&] { return execute_before(owner, sql, parameters, deadline); });
    };
    // Any row of a catalog would do: this one changes nothing for anybody.
    const auto renewed =
        run("COMMENT ON SCHEMA segue IS 'Segue keeps here what it knows of the migration'");
    if (!renewed) return renewed.error();
    // Whoever had begun to write before that commit has a lower number than this, and is in the
    // next snapshot's list as long as it has not ended.
    const auto horizon = run("SELECT pg_current_xact_id()");
    if (!horizon) return horizon.error();
    const auto older =
        run("SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) x WHERE x < $1::xid8",
            Parameters{horizon->text(0, 0)});
    if (!older) return older.error();
    std::vector<std::string> transactions;
    for (int row = 0; row < older->size(); ++row) transactions.push_back(older->text(row, 0));
    const auto open =
        await_transactions(owner, std::move(transactions), pause_between_looks, deadline);
    if (!open) return open.error();
    if (!open->empty()) {
        return Error{Errc::timed_out,
                     "transactions that began before the slot was ready are still open: end them "
                     "(pg_terminate_backend) and"
                     " repeat; pids:" +
                         *open + ". The oldest is " + oldest_of(owner, *open)};
    }
    const auto end = run("SELECT pg_current_wal_insert_lsn()");
    if (!end) return end.error();
    const auto position = parse_lsn(end->at(0, 0));
    if (!position) return Error{Errc::bad_value, "the log's position is unreadable"};
    // Flushes the log up to there: a position that a crash of the server took back would be
    // confirmed to the slot.
    const auto ticket = run("UPDATE segue.ticket SET number = number + 1");
    if (!ticket) return ticket.error();
    return *position;
}

}  // namespace segue::backfill::postgres
