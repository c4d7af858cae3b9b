#include "backfill/postgres/mover_checks.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

Error invalid(Side side, const std::string& why) {
    return Error{Errc::refused,
                 "the copy is invalid: " + std::string{name(side)} + ": " + why +
                     "; finish this migration and start again on an empty target"};
}

// What came out of a stream had been flushed, and no crash takes it back. Commits at positions that
// the other side has already would be taken for those and skipped, silently. The log grows, so what
// was found out once is kept on the other side.
Status check_log_end(Connection& owner,
                     Connection& store,
                     Side stream,
                     const StoredProgress& progress) {
    const std::string kind = "invalid " + std::string{name(stream)};
    const auto known =
        store.execute("SELECT detail FROM segue.event WHERE kind = $1 ORDER BY id LIMIT 1", {kind});
    if (!known) return known.error();
    if (known->size() > 0) return Error{Errc::refused, known->text(0, 0)};
    const auto rows = owner.execute("SELECT pg_current_wal_insert_lsn()");
    if (!rows) return rows.error();
    const Position end = parse_lsn(rows->at(0, 0)).value_or(Position{});
    Position reached = std::max(progress.applied, progress.restart);
    for (const Position commit : progress.beyond) reached = std::max(reached, commit);
    if (end >= reached) return Done{};
    const Error found =
        invalid(stream,
                "its log ended at " + format_lsn(end) + ", before what the other side has of it (" +
                    format_lsn(reached) + "): an older state of it was restored");
    const auto kept = store.execute("INSERT INTO segue.event (kind, detail) VALUES ($1, $2)",
                                    {kind, found.detail});
    if (!kept) return kept.error();
    return found;
}

}  // namespace

Result<std::vector<std::string>> read_publications(Connection& connection,
                                                   const std::string& migration) {
    const auto rows =
        connection.execute("SELECT pubname FROM pg_publication WHERE pubname = ANY ($1::text[])",
                           {text_array(publication_names(migration))});
    if (!rows) return rows.error();
    std::vector<std::string> names;
    for (int row = 0; row < rows->size(); ++row) names.push_back(rows->text(row, 0));
    // Where it is gone the server says so by its name.
    if (names.empty()) names.push_back(publication_name(migration));
    return names;
}

Status check_server(Connection& replication, Connection& side_connection, Side side) {
    const auto recorded =
        side_connection.execute("SELECT system_identifier, timeline, side FROM segue.control");
    if (!recorded) return recorded.error();
    if (recorded->size() != 1) return invalid(side, "its control record is gone");
    if (recorded->at(0, 2) != name(side))
        return invalid(side, "it is the other database of this migration");
    const auto identity = replication.execute("IDENTIFY_SYSTEM");
    if (!identity) return identity.error();
    const std::string_view system = recorded->at(0, 0);
    if (!system.empty() && identity->at(0, 0) != system) {
        return invalid(side, "another server answers at its address (system identifier differs)");
    }
    const long long timeline = recorded->number(0, 1);
    if (timeline != 0 && identity->number(0, 1) != timeline) {
        return invalid(side,
                       "a standby was promoted (its timeline differs), and its slot is unproven");
    }
    return Done{};
}

Result<std::optional<SlotState>> read_slot(Connection& connection, const std::string& slot) {
    const auto rows = connection.execute(
        "SELECT confirmed_flush_lsn, restart_lsn FROM pg_replication_slots WHERE slot_name = $1",
        {slot});
    if (!rows) return rows.error();
    if (rows->size() == 0) return std::optional<SlotState>{};
    SlotState state;
    state.confirmed = parse_lsn(rows->at(0, 0)).value_or(Position{});
    if (!rows->null(0, 1)) state.restart = parse_lsn(rows->at(0, 1));
    return std::optional<SlotState>{state};
}

Result<StoredProgress> progress_for_slot(Connection& owner,
                                         Connection& store,
                                         Side stream,
                                         const std::string& slot) {
    auto progress = read_progress(store, stream);
    if (!progress) return progress.error();
    const auto state = read_slot(owner, slot);
    if (!state) return state.error();
    if (!*state) return invalid(stream, "slot " + slot + " is gone");
    if (!(*state)->restart) return invalid(stream, "slot " + slot + " was given up by the server");
    if (!*progress)
        return invalid(stream,
                       "what the other side has of slot " + slot + " is not on record there");
    // The server would skip what was confirmed, silently.
    if ((*state)->confirmed > (*progress)->restart) {
        return invalid(stream,
                       "slot " + slot + " was confirmed to " + format_lsn((*state)->confirmed) +
                           ", beyond what the other side has (" + format_lsn((*progress)->restart) +
                           "): a backup was restored there");
    }
    const Status ahead = check_log_end(owner, store, stream, **progress);
    if (!ahead) return ahead.error();
    return std::move(**progress);
}

Status wait_for_past(Connection& connection) {
    // A commit whose record is written leaves the list of running transactions within moments,
    // unless it waits for a synchronous standby. Who is idle, prepared, or busy for long without
    // that wait has not written its commit: it will come through the slot.
    constexpr std::chrono::milliseconds pause{5};
    constexpr std::chrono::seconds busy_max{5};
    const auto begun_at = std::chrono::steady_clock::now();
    const auto first = connection.execute("SELECT pg_current_snapshot(), pg_current_xact_id()");
    if (!first) return first.error();
    const auto at_first = parse_snapshot(first->at(0, 0));
    if (!at_first) return at_first.error();
    const auto horizon = static_cast<std::uint64_t>(first->number(0, 1));
    for (;;) {
        const auto rows = connection.execute(
            "SELECT pg_current_snapshot(), coalesce((SELECT bool_or(wait_event = 'SyncRep') FROM"
            " pg_stat_activity), false), (SELECT count(*) FROM pg_stat_activity WHERE backend_xid "
            "IS NOT"
            " NULL AND state <> 'idle in transaction' AND pid <> pg_backend_pid())");
        if (!rows) return rows.error();
        const auto snapshot = parse_snapshot(rows->at(0, 0));
        if (!snapshot) return snapshot.error();
        if (snapshot->xmin >= horizon) return Done{};
        const bool synchronous = rows->truth(0, 1);
        const bool nobody_busy = rows->number(0, 2) == 0;
        const bool long_enough = std::chrono::steady_clock::now() - begun_at > busy_max;
        if (!synchronous && (nobody_busy || long_enough)) return Done{};
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace segue::backfill::postgres
