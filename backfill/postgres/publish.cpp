// What makes a side's changes readable: the publication, and on the source the slot.
#include <algorithm>
#include <set>
#include <thread>

#include "backfill/crash_point.hpp"
#include "backfill/postgres/ddl_start.hpp"
#include "backfill/postgres/migration.hpp"
#include "backfill/postgres/new_slot.hpp"
#include "backfill/postgres/open_transactions.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t tables_in_statement_max = 100;

// The server creates a slot when every transaction that was open at its beginning has ended.
constexpr std::chrono::seconds slot_wait_max{60};
// Commits below the slot's position may not be visible yet. Nearly always they are within this;
// those that are not go into the record of progress, and the mover waits for them.
constexpr std::chrono::seconds visible_wait_max{5};
constexpr std::chrono::milliseconds pause_between_looks{5};

Error slot_is_blocked(Link& source) {
    std::string pids;
    const auto rows = source.run(R"sql(
        SELECT DISTINCT coalesce(l.pid::text, 'prepared') FROM pg_locks l
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.pid IS DISTINCT FROM pg_backend_pid())sql");
    for (int row = 0; rows && row < rows->size(); ++row) pids += " " + rows->text(row, 0);
    const auto connection = source.connection();
    return Error{Errc::timed_out,
                 "source: the replication slot is not ready, because transactions that began before"
                 " it are still open; end them (pg_terminate_backend) and repeat. Pids:" +
                     pids + ". The oldest is " +
                     (connection ? oldest_of(**connection, pids) : std::string{"not known"})};
}

Status create_slot(Migration& migration, const std::string& slot) {
    Link& source = migration.link(Side::source);
    const auto ours = source.run(
        "SELECT previous FROM segue.saved WHERE kind = 'slot' AND object = $1", Parameters{slot});
    if (!ours) return on_side(Side::source, ours.error());
    const auto there =
        source.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", Parameters{slot});
    if (!there) return on_side(Side::source, there.error());
    const bool intended = ours->size() == 1 && ours->at(0, 0) == migration.id();
    if (there->size() == 1) {
        if (intended) return Done{};
        return Error{Errc::refused,
                     "source: a replication slot " + slot +
                         " exists that is not of this migration; drop it with SELECT"
                         " pg_drop_replication_slot('" +
                         slot + "') or choose another [migration] name"};
    }
    // Intent first: a slot that exists without it is somebody else's.
    const auto intent = source.run(
        "INSERT INTO segue.saved VALUES ('slot', $1, $2) ON CONFLICT (kind, object)"
        " DO UPDATE SET previous = excluded.previous",
        Parameters{slot, migration.id()});
    if (!intent) return on_side(Side::source, intent.error());
    const auto connection = source.connection();
    if (!connection) return on_side(Side::source, connection.error());
    // Waiting for transactions to end is a wait for locks.
    if (const auto patient = (*connection)->execute("SET lock_timeout = 0"); !patient) {
        return on_side(Side::source, patient.error());
    }
    const auto made = execute_before(**connection,
                                     "SELECT pg_create_logical_replication_slot($1, 'pgoutput')",
                                     Parameters{slot},
                                     std::chrono::steady_clock::now() + slot_wait_max);
    source.drop();  // With its patience.
    if (made) return Done{};
    if (made.error().code == Errc::timed_out) return slot_is_blocked(source);
    return on_side(Side::source, made.error());
}

// Transactions that were in progress when the slot's position had passed, and still are.
Result<std::vector<std::string>> unseen_after_slot(Link& source) {
    const Deadline deadline = std::chrono::steady_clock::now() + visible_wait_max;
    const auto first = source.run("SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) x");
    if (!first) return first.error();
    std::vector<std::string> unseen;
    for (int row = 0; row < first->size(); ++row) unseen.push_back(first->text(row, 0));
    while (!unseen.empty() && std::chrono::steady_clock::now() < deadline) {
        const auto left = source.run(
            "SELECT x FROM unnest($1::xid8[]) x"
            " WHERE NOT pg_visible_in_snapshot(x, pg_current_snapshot())",
            Parameters{text_array(unseen)});
        if (!left) return left.error();
        unseen.clear();
        for (int row = 0; row < left->size(); ++row) unseen.push_back(left->text(row, 0));
        if (!unseen.empty()) std::this_thread::sleep_for(pause_between_looks);
    }
    return unseen;
}

// From 18 on a server refuses to update a published row whose whole old image is its identity,
// unless its stored generated columns are published too. Older ones never send them and do not know
// the option.
Result<std::string> publication_options(Link& link, bool any_table) {
    const std::string always =
        "publish = 'insert, update, delete, truncate', publish_via_partition_root = false";
    const auto connection = link.connection();
    if (!connection) return connection.error();
    const std::string with_generated = always + ", publish_generated_columns = stored";
    if ((*connection)->server_version() < 180000) return always;
    if (any_table) return with_generated;
    const auto needed = link.run(R"sql(
        SELECT EXISTS (SELECT FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                       WHERE c.relkind = 'r' AND c.relreplident = 'f' AND a.attgenerated = 's'))sql");
    if (!needed) return needed.error();
    return needed->truth(0, 0) ? with_generated : always;
}

// Empty until tables are made.
Status create_new_table_publications(Link& link, const std::string& migration) {
    const auto options = publication_options(link, true);
    if (!options) return options.error();
    const auto present = link.run("SELECT pubname FROM pg_publication");
    if (!present) return present.error();
    std::set<std::string> known;
    for (int row = 0; row < present->size(); ++row) known.insert(present->text(row, 0));
    std::string sql;
    for (const std::string& name : new_table_publication_names(migration)) {
        if (known.contains(name)) continue;
        sql += "CREATE PUBLICATION " + quote_identifier(name) + " WITH (" + *options + "); ";
    }
    if (sql.empty()) return Done{};
    const auto made = link.run(sql);
    if (!made) return made.error();
    return Done{};
}

// One that this migration was about to make.
constexpr const char* drop_idle_slot =
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND"
    " NOT active AND database = current_database() AND EXISTS (SELECT FROM segue.saved WHERE"
    " kind = 'slot' AND object = $1 AND previous = $2)";

// From where on the stream shows everything. Each position after the first one is as good.
Result<Position> begin_of_stream(Migration& migration, bool captures_ddl) {
    const auto connection = migration.link(Side::source).connection();
    if (!connection) return on_side(Side::source, connection.error());
    const auto readable =
        first_readable(**connection, std::chrono::steady_clock::now() + slot_wait_max);
    if (!readable) return on_side(Side::source, readable.error());
    crash_point("start.after_slot");
    return captures_ddl ? carry_ddl_until_now(migration) : readable;
}

Result<bool> has_progress(Link& target) {
    const auto rows =
        target.run("SELECT 1 FROM segue.progress WHERE stream = 'source' AND writer = 0");
    if (!rows) return rows.error();
    return rows->size() == 1;
}

// What the mover starts from.
Status begin_progress(Migration& migration, bool captures_ddl) {
    const auto begin = begin_of_stream(migration, captures_ddl);
    if (!begin) return begin.error();
    const std::string position = format_lsn(*begin);
    const auto unseen = unseen_after_slot(migration.link(Side::source));
    if (!unseen) return on_side(Side::source, unseen.error());
    const auto written =
        migration.link(Side::target)
            .run(
                "INSERT INTO segue.progress (stream, writer, applied, restart, unseen_xids,"
                " unseen_lsns) VALUES ('source', 0, $1, $1, $2::bigint[], $3::pg_lsn[])"
                " ON CONFLICT DO NOTHING",
                Parameters{position,
                           text_array(*unseen),
                           text_array(std::vector<std::string>(unseen->size(), position))});
    if (!written) return on_side(Side::target, written.error());
    return Done{};
}

// Nobody reads it without that row, and it would fill the source's disk. Only the target knows
// whether a row whose answer was lost is there.
Error without_slot(Migration& migration, const std::string& slot, Error error) {
    const auto progress = has_progress(migration.link(Side::target));
    if (progress && *progress) return error;
    const Result<Rows> dropped =
        progress
            ? migration.link(Side::source).run(drop_idle_slot, Parameters{slot, migration.id()})
            : Result<Rows>{progress.error()};
    if (!dropped) {
        error.detail += "; replication slot " + slot +
                        " may be left on the source, which keeps its log for it: `segue start`"
                        " again soon, or `segue finish`";
    }
    return error;
}

}  // namespace

Status publish(Migration& migration, Side side, const std::vector<PublishedTable>& tables) {
    Link& link = migration.link(side);
    const std::string publication = publication_name(migration.settings().migration);
    const auto exists =
        link.run("SELECT 1 FROM pg_publication WHERE pubname = $1", Parameters{publication});
    if (!exists) return on_side(side, exists.error());
    if (exists->size() == 0) {
        const auto options = publication_options(link, migration.settings().carry_ddl);
        if (!options) return on_side(side, options.error());
        const auto made =
            link.run("CREATE PUBLICATION " + quote_identifier(publication) +
                     " FOR TABLE segue.progress, segue.ticket, segue.ddl WITH (" + *options + ")");
        if (!made) return on_side(side, made.error());
    }
    const auto rows = link.run(
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = ANY ($1::text[])",
        Parameters{text_array(publication_names(migration.settings().migration))});
    if (!rows) return on_side(side, rows.error());
    if (migration.settings().carry_ddl) {
        const Status more = create_new_table_publications(link, migration.settings().migration);
        if (!more) return on_side(side, more.error());
    }
    std::set<std::pair<std::string, std::string>> present;
    for (int row = 0; row < rows->size(); ++row)
        present.emplace(rows->text(row, 0), rows->text(row, 1));

    TableStatements statements;
    std::size_t count = 0;
    for (const PublishedTable& table : tables) {
        if (present.contains({table.schema, table.name})) continue;
        if (count++ % tables_in_statement_max == 0) {
            statements.emplace_back(
                table.schema + "." + table.name,
                "ALTER PUBLICATION " + quote_identifier(publication) + " ADD TABLE ");
        } else {
            statements.back().second += ", ";
        }
        statements.back().second += "ONLY " + qualified(table.schema, table.name);
    }
    const Status added = run_table_by_table(
        link, std::move(statements), std::chrono::steady_clock::now() + table_locks_time_max);
    if (!added) return on_side(side, added.error());
    return Done{};
}

Status create_source_slot(Migration& migration, bool captures_ddl) {
    const std::string slot = slot_name(migration.settings().migration, Side::source);
    Link& source = migration.link(Side::source);
    const auto progress = has_progress(migration.link(Side::target));
    if (!progress) return on_side(Side::target, progress.error());
    if (*progress) {
        const auto there =
            source.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1", Parameters{slot});
        if (!there) return on_side(Side::source, there.error());
        if (there->size() == 1) return Done{};
        return Error{Errc::refused,
                     "source: replication slot " + slot +
                         " is gone, and with it the changes since: the copy is invalid; finish this"
                         " migration and start a new one"};
    }
    // What takes long, or is refused, before the source retains its log for us.
    if (captures_ddl) {
        if (const auto carried = carry_ddl_until_now(migration); !carried) return carried.error();
    }
    Status begun = create_slot(migration, slot);
    if (begun) begun = begin_progress(migration, captures_ddl);
    if (begun) return begun;
    return without_slot(migration, slot, begun.error());
}

}  // namespace segue::backfill::postgres
