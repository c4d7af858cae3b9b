#include "backfill/change_steps.hpp"

#include <algorithm>
#include <utility>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/control.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/migration.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/schema_signature.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/sequences.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill {

namespace {

using namespace postgres;

// Of each kind, what a refused change names at most.
constexpr int blockers_of_kind_max = 20;
// The ticket is one row that others update too, each for a moment; clients may be held meanwhile.
constexpr std::chrono::seconds ticket_wait_max{1};
// A sequence may be locked by DDL of the application for a moment.
constexpr std::chrono::seconds sequences_wait_max{2};

class PostgresChangeSteps final : public ChangeSteps {
public:
    explicit PostgresChangeSteps(ServerSettings settings)
        : settings_(std::move(settings)),
          control_{make_control_store(settings_.url[0]), make_control_store(settings_.url[1])} {}

    Result<std::vector<Blocker>> blockers(Side from) override;

    Status arm_fence(Side side, Clock::time_point deadline) override {
        const auto migration = known();
        if (!migration) return migration.error();
        Fence& fence = (*migration)->fence(side);
        if (const Status installed = retry_locked(deadline, [&] { return fence.install(); });
            !installed) {
            return on_side(side, installed.error());
        }
        const Status armed = fence.arm(deadline);
        if (!armed) return on_side(side, armed.error());
        return Done{};
    }

    Status close_fence(Side side, Clock::time_point deadline) override {
        const auto migration = known();
        if (!migration) return migration.error();
        const Status closed = (*migration)->fence(side).close(deadline);
        if (!closed) return on_side(side, closed.error());
        return Done{};
    }

    bool fence_held(Side side) override { return migration_ && migration_->fence(side).held(); }

    void release_fence_lock(Side side) override {
        if (migration_) migration_->fence(side).release_lock();
    }

    Status open_fence(Side side) override {
        const auto migration = known();
        if (!migration) return migration.error();
        const Status opened = (*migration)->fence(side).open(Clock::now() + statement_time_max);
        if (!opened) return on_side(side, opened.error());
        return Done{};
    }

    Result<bool> fence_is_closed(Side side) override {
        const auto migration = known();
        if (!migration) return migration.error();
        auto closed = (*migration)->fence(side).closed();
        if (!closed) return on_side(side, closed.error());
        return closed;
    }

    Result<Position> log_end(Side side) override {
        const auto migration = known();
        if (!migration) return migration.error();
        const auto rows = (*migration)->link(side).run("SELECT pg_current_wal_insert_lsn()");
        if (!rows) return on_side(side, rows.error());
        const auto position = parse_lsn(rows->at(0, 0));
        if (!position)
            return Error{Errc::bad_value, std::string{name(side)} + ": not a log position"};
        return *position;
    }

    Result<Position> commit_ticket(Side side) override {
        const auto migration = known();
        if (!migration) return migration.error();
        // What is flushed once the commit has returned: at or above it, and the stream gets there
        // by itself, which cannot be said of the end of what is inserted.
        Link& link = (*migration)->link(side);
        const auto committed = retry_locked(Clock::now() + ticket_wait_max, [&] {
            return link.run("UPDATE segue.ticket SET number = number + 1");
        });
        if (!committed) return on_side(side, committed.error());
        const auto flushed = link.run("SELECT pg_current_wal_flush_lsn()");
        if (!flushed) return on_side(side, flushed.error());
        const auto position = parse_lsn(flushed->at(0, 0));
        if (!position)
            return Error{Errc::bad_value, std::string{name(side)} + ": not a log position"};
        return *position;
    }

    Status sequences_ahead(Side from, Side to) override {
        const auto migration = known();
        if (!migration) return migration.error();
        const auto old_side = (*migration)->link(from).connection();
        if (!old_side) return on_side(from, old_side.error());
        const auto new_side = (*migration)->link(to).connection();
        if (!new_side) return on_side(to, new_side.error());
        // Done again it goes on where it was: what stands ahead already is left alone.
        return retry_locked(Clock::now() + sequences_wait_max,
                            [&] { return set_sequences_ahead(**old_side, **new_side); });
    }

    Status terminate_stale_backends(Side side, const std::vector<int>& our_backend_pids) override;

    ControlStore& control(Side side) override { return *control_[index(side)]; }

    Result<std::string> other_mover(Side side) override {
        const auto migration = known();
        if (!migration) return migration.error();
        const auto connection = (*migration)->link(side).connection();
        if (!connection) return on_side(side, connection.error());
        MoverIdentity identity;
        identity.migration_id = (*migration)->id();
        auto holder = living_holder(**connection, identity);
        if (!holder) return on_side(side, holder.error());
        return holder;
    }

    Result<bool> identity_changed(const ControlRecord& record) override {
        if (record.system_identifier.empty()) return false;
        const auto migration = known();
        if (!migration) return migration.error();
        const auto connection = (*migration)->link(record.side).connection();
        if (!connection) return on_side(record.side, connection.error());
        const auto identity = read_server_identity(**connection);
        if (!identity) return on_side(record.side, identity.error());
        return identity->system_identifier != record.system_identifier ||
               identity->timeline != record.timeline;
    }

    Status prepare(const ControlRecord& record) override {
        adopt(record.migration_id);
        return prepare_migration(*migration_, control_, record);
    }

    Status finish(const ControlRecord& tombstone, bool unfence) override {
        adopt(tombstone.migration_id);
        return finish_migration(*migration_, control_, tombstone, unfence);
    }

private:
    void adopt(const std::string& id) {
        if (migration_ && migration_->id() == id) return;
        migration_ = std::make_unique<Migration>(settings_, id);
    }

    // After a restart the databases tell which migration this is; either of them will do.
    Result<Migration*> known() {
        if (migration_) return migration_.get();
        Error last{Errc::refused, "no migration has been started"};
        for (const Side side : {Side::source, Side::target}) {
            const auto record = control_[index(side)]->read();
            if (!record) {
                last = on_side(side, record.error());
            } else if (record->has_value()) {
                adopt((*record)->migration_id);
                return migration_.get();
            }
        }
        return last;
    }

    ServerSettings settings_;
    ControlStores control_;
    std::unique_ptr<Migration> migration_;  // Empty until its id is known.
};

// Tables that were made, or made permanent, since the start: their rows are in no stream, however
// alike both sides are.
Status find_unpublished(Migration& migration, Side side, std::vector<Blocker>& found) {
    const ServerSettings& settings = migration.settings();
    // `run` opens the connection anew where its server has been restarted.
    const auto tables =
        migration.link(side).run(unpublished_tables_sql(),
                                 Parameters{text_array(settings.exclude),
                                            text_array(publication_names(settings.migration))});
    if (!tables) return on_side(side, tables.error());
    for (int row = 0; row < std::min(tables->size(), blockers_of_kind_max); ++row) {
        found.push_back({"unpublished_table",
                         std::string{name(side)} + ": " + tables->text(row, 0) +
                             " was created after the start and is not moved; drop it on both sides"
                             " and create it after finish, or name it in [tables] exclude"});
    }
    return Done{};
}

// Said before a client is held.
Status find_missing_sequences(Migration& migration, Side from, std::vector<Blocker>& found) {
    const auto old_side = migration.link(from).connection();
    if (!old_side) return on_side(from, old_side.error());
    const auto new_side = migration.link(other(from)).connection();
    if (!new_side) return on_side(other(from), new_side.error());
    const auto missing = retry_locked(Clock::now() + lock_wait_max,
                                      [&] { return missing_sequences(**old_side, **new_side); });
    if (!missing) return on_side(from, missing.error());
    for (std::size_t i = 0; i < missing->size() && i < blockers_of_kind_max; ++i) {
        found.push_back({"sequence_missing",
                         std::string{name(other(from))} + ": sequence " + (*missing)[i] +
                             " is missing; create it there with the same definition"});
    }
    return Done{};
}

Result<std::vector<Blocker>> PostgresChangeSteps::blockers(Side from) {
    const auto migration = known();
    if (!migration) return migration.error();
    Link& link = (*migration)->link(from);
    const std::string side{name(from)};
    std::vector<Blocker> found;

    const auto prepared =
        link.run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
    if (!prepared) return on_side(from, prepared.error());
    for (int row = 0; row < std::min(prepared->size(), blockers_of_kind_max); ++row) {
        found.push_back({"prepared_transaction",
                         side + ": prepared transaction " + prepared->text(row, 0) +
                             " is open; COMMIT PREPARED or ROLLBACK PREPARED it"});
    }
    const auto subscriptions = link.run(
        "SELECT subname FROM pg_subscription WHERE subenabled AND subdbid = (SELECT oid FROM"
        " pg_database WHERE datname = current_database())");
    if (!subscriptions) return on_side(from, subscriptions.error());
    for (int row = 0; row < std::min(subscriptions->size(), blockers_of_kind_max); ++row) {
        found.push_back({"subscription",
                         side + ": subscription " + subscriptions->text(row, 0) +
                             " writes past the fence; ALTER SUBSCRIPTION ... DISABLE it"});
    }
    // What describes tables locks them, and DDL of the application may hold them just then.
    const auto deadline = Clock::now() + lock_wait_max;
    const auto unarmed =
        retry_locked(deadline, [&] { return (*migration)->fence(from).unarmed(); });
    if (!unarmed) return on_side(from, unarmed.error());
    for (std::size_t i = 0; i < unarmed->size() && i < blockers_of_kind_max; ++i) {
        found.push_back({"unfenced_table",
                         side + ": " + (*unarmed)[i] + " has no trigger of the fence yet; repeat"});
    }
    std::vector<SchemaObject> schemas[2];
    for (const Side which : {Side::source, Side::target}) {
        if (const Status looked = find_unpublished(**migration, which, found); !looked)
            return looked.error();
        const auto connection = (*migration)->link(which).connection();
        if (!connection) return on_side(which, connection.error());
        auto schema = retry_locked(
            deadline, [&] { return read_schema_signature(**connection, settings_.exclude); });
        if (!schema) return on_side(which, schema.error());
        schemas[index(which)] = std::move(*schema);
    }
    if (const Status looked = find_missing_sequences(**migration, from, found); !looked)
        return looked.error();
    const auto lines = schema_differences(schemas[0], schemas[1], blockers_of_kind_max);
    if (lines.empty()) return found;
    const auto id = link.run("SELECT migration_id FROM segue.control");
    if (!id) return on_side(from, id.error());
    // The fence lets nobody else change anything there.
    const std::string by_hand = "; make both sides the same (on the " +
                                std::string{name(other(from))} +
                                " as Segue's own role, after SET segue.mover = '" +
                                (id->size() > 0 ? id->text(0, 0) : "") + "')";
    for (const std::string& line : lines) found.push_back({"schema_differs", line + by_hand});
    return found;
}

// Sessions that a proxy of ours does not answer for and that have been in a transaction since
// before the fence: their snapshots are older than it. Our own are known by name and role.
Status PostgresChangeSteps::terminate_stale_backends(Side side,
                                                     const std::vector<int>& our_backend_pids) {
    const auto migration = known();
    if (!migration) return migration.error();
    std::string pids = "{";
    for (const int pid : our_backend_pids)
        pids += (pids.size() > 1 ? "," : "") + std::to_string(pid);
    const auto ended = (*migration)
                           ->link(side)
                           .run(R"sql(
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
          AND pid <> pg_backend_pid() AND pid <> ALL ($1::int[]) AND xact_start IS NOT NULL
          AND NOT (usename = session_user AND application_name LIKE 'segue%'))sql",
                                Parameters{pids + "}"});
    if (!ended) return on_side(side, ended.error());
    return Done{};
}

}  // namespace

std::unique_ptr<ChangeSteps> make_postgres_change_steps(ServerSettings settings) {
    return std::make_unique<PostgresChangeSteps>(std::move(settings));
}

}  // namespace segue::backfill
