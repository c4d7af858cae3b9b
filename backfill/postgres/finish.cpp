// `finish`: what Segue changed on the servers is put back. The tombstones come first: from then on
// clients are served by them, and what is left can be cleaned up at any time.
#include <thread>

#include "backfill/postgres/ddl_capture.hpp"
#include "backfill/postgres/migration.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::seconds slot_release_max{10};
constexpr std::chrono::milliseconds pause_between_looks{50};
constexpr const char* object_in_use = "55006";

Status bury(ControlStore& store, const ControlRecord& tombstone, Side side) {
    const auto present = store.read();
    if (!present) return on_side(side, present.error());
    if (!present->has_value()) {
        return Error{Errc::refused,
                     std::string{name(side)} + ": there is no control record to finish"};
    }
    const ControlRecord& current = **present;
    if (current.migration_id != tombstone.migration_id) {
        return Error{Errc::refused,
                     std::string{name(side)} + ": the record is another migration's"};
    }
    if (current.phase == router::Phase::finished) return Done{};
    ControlRecord next = tombstone;
    next.side = side;
    next.phase = router::Phase::finished;
    next.system_identifier = current.system_identifier;
    next.timeline = current.timeline;
    const auto written = store.compare_and_set(current, next);
    if (!written) return on_side(side, written.error());
    switch (*written) {
        case Written::yes:
            return Done{};
        case Written::conflict:
            return Error{Errc::refused,
                         std::string{name(side)} + ": the record changed meanwhile; repeat"};
        case Written::unknown:
            break;
    }
    return Error{Errc::in_doubt, std::string{name(side)} + ": the answer was lost; repeat finish"};
}

// A slot can be dropped when nobody reads it; a reader of ours that is still there has lost its
// purpose.
Status drop_slots(Link& link, const std::string& migration) {
    const Deadline deadline = std::chrono::steady_clock::now() + slot_release_max;
    for (;;) {
        const auto dropped = link.run(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name "
            "IN ($1, $2)"
            " AND database = current_database()",
            Parameters{slot_name(migration, Side::source), slot_name(migration, Side::target)});
        if (dropped) return Done{};
        if (dropped.error().sqlstate != object_in_use ||
            std::chrono::steady_clock::now() >= deadline) {
            return dropped.error();
        }
        const auto ended = link.run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name IN "
            "($1, $2)"
            " AND database = current_database() AND active_pid IS NOT NULL",
            Parameters{slot_name(migration, Side::source), slot_name(migration, Side::target)});
        if (!ended) return ended.error();
        std::this_thread::sleep_for(pause_between_looks);
    }
}

Status restore_identities(Link& link) {
    const auto exists = link.run("SELECT to_regclass('segue.saved') IS NOT NULL");
    if (!exists) return exists.error();
    if (!exists->truth(0, 0)) return Done{};
    // Only where it is still as we set it: what somebody has changed since is theirs. By number,
    // for it may have another name by now, unless an earlier build has saved it by name only.
    const auto saved = link.run(
        "SELECT c.oid::regclass, s.previous FROM segue.saved s JOIN pg_class c ON c.oid = CASE"
        " WHEN s.kind = 'replica_identity_of' THEN s.object::oid WHEN s.kind = 'replica_identity'"
        " AND NOT EXISTS (SELECT FROM segue.saved WHERE kind = 'replica_identity_of') THEN"
        " to_regclass(s.object) END WHERE c.relreplident = 'f'");
    if (!saved) return saved.error();
    TableStatements statements;
    for (int row = 0; row < saved->size(); ++row) {
        statements.emplace_back(saved->text(row, 0),
                                "ALTER TABLE ONLY " + saved->text(row, 0) + " REPLICA IDENTITY " +
                                    (saved->at(row, 1) == "n" ? "NOTHING" : "DEFAULT"));
    }
    return run_table_by_table(
        link, std::move(statements), std::chrono::steady_clock::now() + table_locks_time_max);
}

// The tables of schema segue that only a running migration needs: what happened, and what was
// verified and mended, stays with the tombstone. `fence_stays`: the fence's flag, too, is kept.
Status drop_state(Link& link, bool fence_stays) {
    std::string sql =
        "DROP TABLE IF EXISTS segue.lease, segue.progress, segue.chunk, segue.ticket, segue.stray,"
        " segue.saved, segue.autopilot; " +
        remove_ddl_capture_sql();
    if (!fence_stays) sql += "; DROP SEQUENCE IF EXISTS segue.fence";
    // A session of the mover's may still be ending.
    return run_table_by_table(
        link, {{"schema segue", sql}}, std::chrono::steady_clock::now() + statement_time_max);
}

Status clean_up(Migration& migration, Side side, bool fence_stays) {
    Link& link = migration.link(side);
    const std::string& name = migration.settings().migration;
    if (const Status slots = drop_slots(link, name); !slots) return slots;
    if (const Status removed = stop_ddl_capture(link); !removed) return removed;
    std::string publications;
    for (const std::string& publication : publication_names(name))
        publications += (publications.empty() ? "" : ", ") + quote_identifier(publication);
    const auto unpublished = link.run("DROP PUBLICATION IF EXISTS " + publications);
    if (!unpublished) return unpublished.error();
    if (const Status identities = restore_identities(link); !identities) return identities;
    Fence& fence = migration.fence(side);
    fence.release_lock();
    if (!fence_stays) {
        const Deadline deadline = std::chrono::steady_clock::now() + table_locks_time_max;
        if (const Status removed = fence.remove(deadline); !removed) return removed;
    }
    return drop_state(link, fence_stays);
}

}  // namespace

Status finish_migration(Migration& migration,
                        ControlStores& control,
                        const ControlRecord& tombstone,
                        bool unfence) {
    const Side authority = tombstone.authority;
    for (const Side side : {authority, other(authority)}) {
        const auto reachable = migration.link(side).connection();
        if (!reachable) return on_side(side, reachable.error());
    }
    for (const Side side : {authority, other(authority)}) {
        const Status buried = bury(*control[index(side)], tombstone, side);
        if (!buried) return buried;
    }
    for (const Side side : {authority, other(authority)}) {
        const Status cleaned = clean_up(migration, side, side != authority && !unfence);
        if (!cleaned) return on_side(side, cleaned.error());
    }
    return Done{};
}

}  // namespace segue::backfill::postgres
