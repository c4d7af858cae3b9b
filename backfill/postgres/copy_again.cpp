#include "backfill/postgres/copy_again.hpp"

#include <thread>

#include "backfill/postgres/store.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds look_again{50};
// For a chunk that a worker has begun, and whoever reads the table there; then it is tried again.
constexpr std::chrono::milliseconds emptying_lock_max{5000};

Status try_empty(const MoverShared& shared, const std::set<TableName>& tables) {
    Side follower;
    std::optional<std::int64_t> lease;
    {
        const std::lock_guard lock{shared.mutex};
        follower = other(shared.authority);
        lease = shared.leases[index(follower)];
    }
    if (!lease) return Error{Errc::closed, "the mover is not connected"};
    Interrupts interrupts;
    auto writer = MoverLink::open(shared.identity, follower, LinkKind::writer, interrupts);
    if (!writer) return writer.error();
    const auto begun = (*writer)->execute("BEGIN; SET LOCAL lock_timeout = " +
                                          std::to_string(emptying_lock_max.count()));
    if (!begun) return begun.error();
    // The run that knows what was copied before commits nothing more, whatever it has begun: its
    // next one reads what is left of the record.
    const auto taken = (*writer)->execute(
        "UPDATE segue.lease SET generation = generation + 1 WHERE generation = $1::bigint",
        {std::to_string(*lease)});
    if (!taken) return taken.error();
    if (taken->affected() != 1) return Error{Errc::closed, "another run of the mover has begun"};
    for (const TableName& table : tables) {
        const auto emptied =
            (*writer)->execute("TRUNCATE ONLY " + qualified(table.first, table.second));
        if (!emptied) return emptied.error();
        const auto forgotten = (*writer)->execute(
            "DELETE FROM segue.chunk WHERE table_schema = $1 AND table_name = $2",
            {table.first, table.second});
        if (!forgotten) return forgotten.error();
    }
    const auto committed = (*writer)->execute("COMMIT");
    return committed ? Status{Done{}} : Status{committed.error()};
}

}  // namespace

Status empty_for_copy(MoverShared& shared,
                      const std::set<TableName>& tables,
                      std::chrono::steady_clock::time_point deadline) {
    // One run after another ends at the change, and each ends the sessions of the one before.
    for (;;) {
        const Status emptied = try_empty(shared, tables);
        if (!emptied && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(look_again);
            continue;
        }
        if (!emptied) return emptied;
        const std::lock_guard lock{shared.mutex};
        for (const TableName& table : tables) {
            const auto known = shared.tables.find(table);
            if (known == shared.tables.end()) continue;
            known->second.stopped_because.clear();
            known->second.loaded = known->second.started = false;
            known->second.rows_copied = known->second.bytes_copied = 0;
        }
        return Done{};
    }
}

}  // namespace segue::backfill::postgres
