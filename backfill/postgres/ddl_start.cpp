#include "backfill/postgres/ddl_start.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "backfill/crash_point.hpp"
#include "backfill/postgres/ddl_apply.hpp"
#include "backfill/postgres/ddl_capture.hpp"
#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/ddl_earlier.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/schema.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// A description that was taken while the schema was changed is taken once more. The last one
// stands: it is of its snapshot, and what has changed since is carried. One that has failed because
// of such a change (a table that pg_dump wants to lock is gone) is tried more often.
constexpr int descriptions_max = 3, descriptions_failed_max = 30;
// Locks on the target, where nobody but an operator can have any.
constexpr std::chrono::seconds carry_wait_max{60};
constexpr const char* lock_in_carrying = "1s";

// In segue.saved of the target. The first: the description is whole, and everything in segue.ddl of
// the source comes after it; its value: whether the schema was changed meanwhile. The second: the
// commands that have been carried here.
constexpr const char* described_kind = "schema_described";
constexpr const char* changed_meanwhile = "changed meanwhile";
constexpr const char* carried_kind = "ddl_carried_at_start";

// What names a command there. Numbers alone do not: a crash of the source takes back those that it
// had not written, and gives them once more.
constexpr const char* carried_mark = "id || ' ' || (extract(epoch FROM at) * 1000000)::bigint";
constexpr int commands_told_max = 10;

// In the way of nobody for longer than the lock is waited for, and given up by the server itself:
// the last of the statements ends the transaction. The session's own limit may be another by now.
constexpr const char* lock_ddl =
    "SET LOCAL lock_timeout = '100ms'; LOCK TABLE segue.ddl IN SHARE MODE; ";

Deadline after(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

Result<Connection*> of_side(Migration& migration, Side side) {
    auto connection = migration.link(side).connection();
    if (!connection) return on_side(side, connection.error());
    return connection;
}

// Those who hold such a lock on segue.ddl have captured a command and are not done.
Result<std::string> who_has_captured(Link& source) {
    const auto rows = source.run(
        "SELECT DISTINCT coalesce(l.pid::text, 'prepared') FROM pg_locks l WHERE l.locktype ="
        " 'relation' AND l.relation = 'segue.ddl'::regclass AND l.granted AND l.mode ="
        " 'RowExclusiveLock' AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname ="
        " current_database()) AND l.pid IS DISTINCT FROM pg_backend_pid()");
    if (!rows) return rows.error();
    std::string pids;
    for (int row = 0; row < rows->size(); ++row) pids += " " + rows->text(row, 0);
    return pids;
}

Error is_locked(Link& source, const Error& error) {
    if (!met_a_lock(error)) return on_side(Side::source, error);
    const auto pids = who_has_captured(source);
    return still_open(source,
                      pids ? *pids : std::string{},
                      "transactions that change the schema were waited for");
}

// The source as it was when nobody was in the middle of changing its schema. Others see the same
// for as long as this object lives.
struct Moment {
    Connection session;
    std::string snapshot;
    std::vector<std::string> commands;  // The numbers in segue.ddl.
};

Result<std::vector<std::string>> numbers_in_ddl(Connection& source) {
    const auto rows = source.execute("SELECT array_agg(id ORDER BY id) FROM segue.ddl");
    if (!rows) return rows.error();
    return rows->null(0, 0) ? std::vector<std::string>{} : parse_text_array(rows->at(0, 0));
}

// Up to here. What others have committed may be visible and not on the disk yet (synchronous_commit
// = off): a crash of the source would take it back, and the target alone would have it.
Status flush_log(Link& source) {
    const auto ticket = retry_locked(after(transactions_wait_max), [&] {
        return source.run("UPDATE segue.ticket SET number = number + 1");
    });
    if (!ticket) return on_side(Side::source, ticket.error());
    return Done{};
}

Result<Moment> begin_moment(Migration& migration) {
    Link& source = migration.link(Side::source);
    auto session = Connection::open(source.url(), source.options());
    if (!session) return on_side(Side::source, session.error());
    // The snapshot is taken by the first statement behind the lock, and outlives it.
    const auto begun = retry_locked(after(transactions_wait_max), [&] {
        auto locked = session->execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SAVEPOINT segue_moment; " +
            std::string{lock_ddl} +
            "SELECT FROM segue.ticket; ROLLBACK TO SAVEPOINT segue_moment; RELEASE SAVEPOINT "
            "segue_moment");
        if (!locked) (void)session->execute("ROLLBACK");
        return locked;
    });
    if (!begun) return is_locked(source, begun.error());
    auto commands = numbers_in_ddl(*session);
    if (!commands) return on_side(Side::source, commands.error());
    const auto snapshot = session->execute("SELECT pg_export_snapshot()");
    if (!snapshot) return on_side(Side::source, snapshot.error());
    return Moment{std::move(*session), snapshot->text(0, 0), std::move(*commands)};
}

Result<bool> is_marked(Migration& migration, const char* kind) {
    const auto mark =
        migration.link(Side::target)
            .run("SELECT FROM segue.saved WHERE kind = $1 LIMIT 1", Parameters{std::string{kind}});
    if (!mark) return on_side(Side::target, mark.error());
    return mark->size() == 1;
}

// In this order: whoever begins anew in between finds commands that an earlier description has, and
// takes a later one.
Status is_described(Migration& migration,
                    const Moment& moment,
                    const std::vector<std::string>& code,
                    bool changed) {
    const auto target = of_side(migration, Side::target);
    if (!target) return target.error();
    if (const Status known = know_code(**target, Side::source, code); !known)
        return on_side(Side::target, known.error());
    const auto left = migration.link(Side::source)
                          .run("DELETE FROM segue.ddl WHERE id = ANY ($1::bigint[])",
                               Parameters{text_array(moment.commands)});
    if (!left) return on_side(Side::source, left.error());
    crash_point("start.before_described");
    const auto marked = migration.link(Side::target)
                            .run(
                                "INSERT INTO segue.saved VALUES ($1, '', $2) ON CONFLICT DO"
                                " NOTHING",
                                Parameters{std::string{described_kind},
                                           std::string{changed ? changed_meanwhile : ""}});
    if (!marked) return on_side(Side::target, marked.error());
    crash_point("start.after_described");
    return Done{};
}

// A row of segue.ddl as the stream would bring it. Commands of one transaction have one `start`.
Result<SchemaChange> read_command(Connection& source, const std::string& id) {
    std::string list;
    for (const char* column : ddl_columns) list += std::string{column} + ", ";
    const auto rows = source.execute("SELECT " + list +
                                         "(extract(epoch FROM at) * 1000000)::bigint FROM segue.ddl"
                                         " WHERE id = $1",
                                     {id});
    if (!rows) return on_side(Side::source, rows.error());
    if (rows->size() != 1)
        return Error{Errc::bad_value, "source: segue.ddl has lost command " + id};
    SchemaChange change;
    for (std::size_t i = 0; i < ddl_columns.size(); ++i) {
        change.record.push_back(ddl_columns[i]);
        change.record.push_back(rows->text(0, static_cast<int>(i)));
    }
    const auto value = [&](const char* name) {
        return *(std::find(change.record.begin(), change.record.end(), name) + 1);
    };
    change.what = value("tag");
    const auto schemas = parse_text_array(value("table_schemas"));
    const auto names = parse_text_array(value("table_names"));
    for (std::size_t i = 0; i < std::min(schemas.size(), names.size()); ++i)
        change.tables.push_back({schemas[i], names[i]});
    change.start =
        Position{static_cast<std::uint64_t>(rows->number(0, static_cast<int>(ddl_columns.size())))};
    return change;
}

// By their marks.
Result<std::set<std::string>> carried_commands(Migration& migration) {
    const auto marks = migration.link(Side::target)
                           .run("SELECT object FROM segue.saved WHERE kind = $1",
                                Parameters{std::string{carried_kind}});
    if (!marks) return on_side(Side::target, marks.error());
    std::set<std::string> done;
    for (int row = 0; row < marks->size(); ++row) done.insert(marks->text(row, 0));
    return done;
}

class Carrier {
public:
    Carrier(Connection target, const ServerSettings& settings)
        : target_(std::move(target)), exclude_(settings.exclude) {}

    // With its mark, in one transaction of its own: a value that is added to an enum can be used
    // when that is over.
    Status carry(const SchemaChange& change, const std::string& mark) {
        return retry_locked(after(carry_wait_max), [&]() -> Status {
            if (const auto begun = target_.execute("BEGIN"); !begun) return begun.error();
            Status carried = in_transaction(change, mark);
            const auto ended = target_.execute(carried ? "COMMIT" : "ROLLBACK");
            if (carried && !ended) return ended.error();
            return carried;
        });
    }

    // It is there already; others may stand in its text.
    void pass_over(const SchemaChange& change) { applier_.know_text(change); }

private:
    Status in_transaction(const SchemaChange& change, const std::string& mark) {
        std::vector<TableName> names;
        for (const auto& table : change.tables) names.emplace_back(table.schema, table.name);
        const auto tables = read_follower_tables(target_, exclude_, names);
        if (!tables) return tables.error();
        const auto limited =
            target_.execute("SET LOCAL lock_timeout = " + quote_literal(lock_in_carrying));
        if (!limited) return limited.error();
        const Status applied = applier_.apply(target_, change, *tables, /*copying=*/true);
        if (!applied) return applied;
        const auto marked =
            target_.execute("INSERT INTO segue.saved VALUES ($1, $2, '') ON CONFLICT DO NOTHING",
                            {std::string{carried_kind}, mark});
        if (!marked) return marked.error();
        return Done{};
    }

    Connection target_;
    std::vector<std::string> exclude_;
    DdlApplier applier_{Side::source, exclude_, DdlApplier::Rows::come_later};
};

Result<Carrier> make_carrier(Migration& migration) {
    Link& target = migration.link(Side::target);
    Connection::Options options = target.options();
    options.settings.emplace_back("session_replication_role", "replica");
    options.settings.emplace_back("row_security", "off");
    auto session = Connection::open(target.url(), options);
    if (!session) return on_side(Side::target, session.error());
    return Carrier{std::move(*session), migration.settings()};
}

Status carry_commands(Migration& migration, const std::vector<std::string>& commands) {
    if (commands.empty()) return Done{};
    const auto source = of_side(migration, Side::source);
    if (!source) return source.error();
    const auto done = carried_commands(migration);
    if (!done) return done.error();
    auto carrier = make_carrier(migration);
    if (!carrier) return carrier.error();
    for (const std::string& id : commands) {
        const auto change = read_command(**source, id);
        if (!change) return change.error();
        const std::string mark = id + " " + std::to_string(change->start.value);
        if (done->contains(mark)) {
            carrier->pass_over(*change);
            continue;
        }
        const Status carried = carrier->carry(*change, mark);
        if (!carried) return on_side(Side::target, carried.error());
        crash_point("start.after_carried");
    }
    return drop_secondary_unique(migration);  // Of tables that these commands have made.
}

// Nobody else would carry them. Behind the slot's position the stream does.
Status refuse_uncarried(Migration& migration) {
    Link& source = migration.link(Side::source);
    Link& target = migration.link(Side::target);
    const auto restored = is_marked(migration, restored_kind);
    if (!restored) return restored.error();
    const auto streams =
        target.run("SELECT FROM segue.progress WHERE stream = 'source' AND writer = 0");
    if (!streams) return on_side(Side::target, streams.error());
    if (!*restored || streams->size() == 1) return Done{};
    const auto done = carried_commands(migration);
    if (!done) return done.error();
    const auto handled = target.run("SELECT id FROM segue.ddl_handled WHERE stream = 'source'");
    if (!handled) return on_side(Side::target, handled.error());
    std::set<std::string> by_hand;
    for (int row = 0; row < handled->size(); ++row) by_hand.insert(handled->text(row, 0));
    const auto rows =
        source.run("SELECT id, tag, " + std::string{carried_mark} + " FROM segue.ddl ORDER BY id");
    if (!rows) return on_side(Side::source, rows.error());
    std::string told;
    int count = 0;
    for (int row = 0; row < rows->size(); ++row) {
        if (done->contains(rows->text(row, 2)) || by_hand.contains(rows->text(row, 0))) continue;
        if (count++ < commands_told_max)
            told +=
                (told.empty() ? "" : "; ") + rows->text(row, 1) + ", number " + rows->text(row, 0);
    }
    if (count == 0) return Done{};
    if (count > commands_told_max)
        told += "; and " + std::to_string(count - commands_told_max) + " more";
    return Error{Errc::refused,
                 "an earlier start has restored a part of the schema, and without the capture of"
                 " DDL nobody would carry what the source has recorded in segue.ddl since: " +
                     told +
                     ". Let the start carry it ([ddl] carry = true, and Segue a superuser on both"
                     " sides); or make the same changes on the target (as Segue's own role, after"
                     " SET segue.mover = '" +
                     migration.id() +
                     "'), then for each INSERT INTO segue.ddl_handled VALUES ('source', <number>)"
                     " there; or begin anew: `segue finish`, stop `segue run`, DROP SCHEMA segue"
                     " CASCADE on both sides"};
}

}  // namespace

Result<bool> captures_ddl(Migration& migration) {
    if (!migration.settings().carry_ddl) return false;
    for (const Side side : {Side::source, Side::target}) {
        const auto may = may_capture_ddl(migration.link(side));
        if (!may) return on_side(side, may.error());
        if (!*may) return false;
    }
    return true;
}

Status begin_ddl_capture(Migration& migration) {
    const ServerSettings& settings = migration.settings();
    Link& source = migration.link(Side::source);
    const Status installed =
        install_ddl_capture(source, {migration.id(), settings.migration, settings.exclude});
    if (!installed) return on_side(Side::source, installed.error());
    crash_point("start.after_capture");
    const Status alone = await_earlier(source);
    if (!alone) return on_side(Side::source, alone.error());
    return Done{};
}

Status end_ddl_capture(Migration& migration) {
    if (const Status none = refuse_uncarried(migration); !none) return none;
    for (const Side side : {Side::source, Side::target}) {
        Link& link = migration.link(side);
        const auto captures =
            link.run("SELECT FROM pg_event_trigger WHERE evtname = 'segue_ddl_4' LIMIT 1");
        if (!captures) return on_side(side, captures.error());
        if (captures->size() == 0) continue;
        if (const Status stopped = stop_ddl_capture(link); !stopped)
            return on_side(side, stopped.error());
        const auto left = link.run("DELETE FROM segue.ddl");
        if (!left) return on_side(side, left.error());
    }
    const auto forgotten =
        migration.link(Side::target)
            .run("DELETE FROM segue.saved WHERE kind IN ($1, $2)",
                 Parameters{std::string{described_kind}, std::string{key_entries_kind}});
    if (!forgotten) return on_side(Side::target, forgotten.error());
    return Done{};
}

Status describe_schema(Migration& migration, const std::function<Status()>& check_target) {
    const auto described = is_marked(migration, described_kind);
    if (!described) return described.error();
    if (*described) return Done{};
    const auto restored = is_marked(migration, restored_kind);
    if (!restored) return restored.error();
    if (*restored) {
        return Error{Errc::refused,
                     "an earlier start, which did not capture DDL, has restored a part of the"
                     " schema: what was changed since then nobody knows. Set [ddl] carry = false to"
                     " go on with it, or begin anew: `segue finish`, stop `segue run`, DROP SCHEMA"
                     " segue CASCADE on both sides"};
    }
    const auto source = of_side(migration, Side::source);
    if (!source) return source.error();
    for (int taken_times = 0, failed_times = 0;;) {
        auto moment = begin_moment(migration);
        if (!moment) return moment.error();
        if (const Status kept = flush_log(migration.link(Side::source)); !kept) return kept;
        Status taken = check_target();
        if (taken)
            taken = keep_description(schema_settings(migration), moment->session, moment->snapshot);
        const auto code = read_all_code(moment->session);
        if (taken && !code) taken = on_side(Side::source, code.error());
        const auto now = numbers_in_ddl(**source);
        if (!now) return on_side(Side::source, now.error());
        const bool changed = *now != moment->commands;
        if (changed && taken && ++taken_times < descriptions_max) continue;
        if (changed && !taken && ++failed_times < descriptions_failed_max) continue;
        if (taken) return is_described(migration, *moment, *code, changed);
        Error error = taken.error();
        if (changed) {
            error.detail +=
                " (the schema was changed each time that it was described; run `segue start` again"
                " when it is changed less)";
        }
        return error;
    }
}

Error cannot_restore_description(Migration& migration, Error error) {
    const auto torn = migration.link(Side::target)
                          .run("SELECT FROM segue.saved WHERE kind = $1 AND previous = $2",
                               Parameters{std::string{described_kind}, changed_meanwhile});
    if (!torn || torn->size() == 0) return error;
    error.detail +=
        ". The schema was changed each time that it was described, so the description may be of two"
        " moments at once, and it is not taken again: if that is why, begin anew when the schema is"
        " changed less: `segue finish`, stop `segue run`, DROP SCHEMA segue CASCADE on both sides,"
        " drop on the target what was restored there, `segue run` again, `segue start`";
    return error;
}

Status capture_ddl_on_target(Migration& migration) {
    const ServerSettings& settings = migration.settings();
    const Status installed = install_ddl_capture(
        migration.link(Side::target), {migration.id(), settings.migration, settings.exclude});
    if (!installed) return on_side(Side::target, installed.error());
    return Done{};
}

Result<Position> carry_ddl_until_now(Migration& migration) {
    Link& source = migration.link(Side::source);
    // Each transaction's commands follow each other, as they would in the stream. Who relies on
    // another one's has a later last number.
    const auto seen = retry_locked(after(transactions_wait_max), [&] {
        return source.run(std::string{lock_ddl} +
                          "SELECT pg_current_wal_insert_lsn(), coalesce(array_agg(id ORDER BY last,"
                          " at, id), '{}') FROM (SELECT id, at, max(id) OVER (PARTITION BY at) AS"
                          " last FROM segue.ddl) AS commands");
    });
    if (!seen) return is_locked(source, seen.error());
    const auto position = parse_lsn(seen->at(0, 0));
    if (!position) return Error{Errc::bad_value, "source: the log's position is unreadable"};
    if (const Status kept = flush_log(source); !kept) return kept.error();
    const Status carried = carry_commands(migration, parse_text_array(seen->at(0, 1)));
    if (!carried) return carried.error();
    return *position;
}

}  // namespace segue::backfill::postgres
