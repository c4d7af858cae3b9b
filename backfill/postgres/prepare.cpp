// `start`: the steps in an order in which every crash is resumed by running them all again.
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/control.hpp"
#include "backfill/postgres/ddl_rows_sql.hpp"
#include "backfill/postgres/ddl_start.hpp"
#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/migration.hpp"
#include "backfill/postgres/roles.hpp"
#include "backfill/postgres/schema.hpp"
#include "backfill/postgres/schema_signature.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t names_in_message_max = 10;
// Where tables come and go all the time.
constexpr int lists_of_tables_max = 20;
// An advisory lock on the target's database, of a session.
constexpr long long start_lock = 6009322131204723281;
constexpr std::chrono::seconds start_lock_wait{5};
constexpr std::chrono::milliseconds start_lock_pause{100};
constexpr const char* undefined_table = "42P01";
constexpr const char* internal_error = "XX000";  // Of an object that is gone while it is described.

std::string some_of(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size() && i < names_in_message_max; ++i) {
        text += (i == 0 ? "" : ", ") + names[i];
    }
    if (names.size() > names_in_message_max) {
        text += " and " + std::to_string(names.size() - names_in_message_max) + " more";
    }
    return text;
}

// Who owns what stands in schema segue can have code of theirs run by whoever writes to it.
Status refuse_strange_owners(Link& link) {
    const auto strange = link.run(R"sql(
        SELECT pg_get_userbyid(o.owner) FROM (
            SELECT nspowner FROM pg_namespace WHERE nspname = 'segue'
            UNION SELECT relowner FROM pg_class WHERE relnamespace = to_regnamespace('segue')
            UNION SELECT proowner FROM pg_proc WHERE pronamespace = to_regnamespace('segue')
            UNION SELECT typowner FROM pg_type WHERE typnamespace = to_regnamespace('segue')) AS o(owner)
        WHERE pg_get_userbyid(o.owner) <> current_user
          AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = o.owner AND r.rolsuper) LIMIT 1)sql");
    if (!strange) return strange.error();
    if (strange->size() == 0) return Done{};
    return Error{Errc::refused,
                 "schema segue, or something in it, belongs to role " + strange->text(0, 0) +
                     ": when no migration is using it, DROP SCHEMA segue CASCADE"};
}

Status create_schema(Migration& migration, Side side) {
    Link& link = migration.link(side);
    if (const Status own = refuse_strange_owners(link); !own) return on_side(side, own.error());
    const auto made = link.run(std::string{segue_schema_ddl} + event_index_ddl + verify_schema_ddl +
                               keep_to_ourselves_sql);
    if (!made) return on_side(side, made.error());
    return Done{};
}

Status create_record(Migration& migration,
                     ControlStore& store,
                     const ControlRecord& record,
                     Side side) {
    const auto present = store.read();
    if (!present) return on_side(side, present.error());
    if (present->has_value()) {
        if ((*present)->migration_id == migration.id() && (*present)->side == side) return Done{};
        return Error{
            Errc::refused,
            std::string{name(side)} + ": schema segue holds the record of another migration (" +
                (*present)->migration + "); when that one is over, DROP SCHEMA segue CASCADE"};
    }
    const auto connection = migration.link(side).connection();
    if (!connection) return on_side(side, connection.error());
    const auto identity = read_server_identity(**connection);
    if (!identity) return on_side(side, identity.error());
    ControlRecord own = record;
    own.side = side;
    own.system_identifier = identity->system_identifier;
    own.timeline = identity->timeline;
    if (const Status created = store.create(own); !created) return on_side(side, created.error());
    return Done{};
}

// A table can be renamed until finish puts its identity back.
std::string saved_by_number(const std::string& table) {
    const std::string name = quote_literal(table);
    return " INSERT INTO segue.saved SELECT 'replica_identity_of', " + name +
           "::regclass::oid::text, previous FROM segue.saved WHERE kind = 'replica_identity' AND"
           " object = " +
           name + " ON CONFLICT DO NOTHING; ";
}

// Published tables whose rows have no name of their own refuse every update. What was there before
// is saved in the transaction that changes it.
Status give_full_identity(Migration& migration, const std::vector<Table>& tables) {
    TableStatements statements;
    std::vector<std::string> without;
    for (const Table& table : tables) {
        if (table.identity != Identity::nothing) continue;
        without.push_back(table.plain_name());
        const std::string name = quote_literal(table.qualified_name());
        statements.emplace_back(table.plain_name(),
                                "INSERT INTO segue.saved SELECT 'replica_identity', " + name +
                                    ", relreplident FROM pg_class WHERE oid = " + name +
                                    "::regclass ON CONFLICT DO NOTHING;" +
                                    saved_by_number(table.qualified_name()) + "ALTER TABLE ONLY " +
                                    table.qualified_name() + " REPLICA IDENTITY FULL");
    }
    if (!without.empty() && !migration.settings().full_identity_without_key) {
        return Error{
            Errc::refused,
            "source: tables without a key: " + some_of(without) +
                "; give them a primary key, exclude them, or set [tables] without_key = \"full\""};
    }
    const Status set = run_table_by_table(migration.link(Side::source),
                                          std::move(statements),
                                          std::chrono::steady_clock::now() + table_locks_time_max);
    if (!set) return on_side(Side::source, set.error());
    return Done{};
}

// Where it is captured, tables may have been made or renamed since the description.
enum class Since : std::uint8_t { nothing, commands };

// The target's tables start with the source's identity; what finish puts back there is the same.
Status carry_full_identity(Migration& migration, Since since) {
    const auto saved =
        migration.link(Side::source)
            .run("SELECT object, previous FROM segue.saved WHERE kind = 'replica_identity'");
    if (!saved) return on_side(Side::source, saved.error());
    std::vector<std::string> names;
    for (int row = 0; row < saved->size(); ++row) names.push_back(saved->text(row, 0));
    const auto missing = migration.link(Side::target)
                             .run("SELECT o FROM unnest($1::text[]) o WHERE to_regclass(o) IS NULL",
                                  Parameters{text_array(names)});
    if (!missing) return on_side(Side::target, missing.error());
    std::set<std::string> absent;
    for (int row = 0; row < missing->size(); ++row) absent.insert(missing->text(row, 0));
    TableStatements statements;
    for (int row = 0; row < saved->size(); ++row) {
        if (since == Since::commands && absent.contains(saved->text(row, 0))) continue;
        statements.emplace_back(saved->text(row, 0),
                                "INSERT INTO segue.saved VALUES ('replica_identity', " +
                                    quote_literal(saved->at(row, 0)) + ", " +
                                    quote_literal(saved->at(row, 1)) + ") ON CONFLICT DO NOTHING;" +
                                    saved_by_number(saved->text(row, 0)) + "ALTER TABLE ONLY " +
                                    saved->text(row, 0) + " REPLICA IDENTITY FULL");
    }
    const Status set = run_table_by_table(migration.link(Side::target),
                                          std::move(statements),
                                          std::chrono::steady_clock::now() + table_locks_time_max);
    if (!set) return on_side(Side::target, set.error());
    return Done{};
}

// Before the first object is created: afterwards the tables there are this migration's.
Status check_target(Migration& migration) {
    Link& target = migration.link(Side::target);
    const auto from = migration.link(Side::source).connection();
    if (!from) return on_side(Side::source, from.error());
    const auto to = target.connection();
    if (!to) return on_side(Side::target, to.error());
    const auto conflicts =
        retry_locked(std::chrono::steady_clock::now() + table_locks_time_max,
                     [&] { return target_conflicts(**from, **to, migration.settings().exclude); });
    if (!conflicts) return conflicts.error();
    if (!conflicts->empty()) {
        std::vector<std::string> told;
        for (const TargetConflict& conflict : *conflicts) told.push_back(conflict.text);
        return Error{Errc::refused,
                     "target: tables that cannot be used as they are: " + some_of(told) +
                         "; drop or empty them there"};
    }
    if (const Status cleared = drop_secondary_unique(migration); !cleared) return cleared;
    const auto marked = target.run(
        "INSERT INTO segue.saved VALUES ('target_checked', '', '')"
        " ON CONFLICT DO NOTHING");
    if (!marked) return on_side(Side::target, marked.error());
    return Done{};
}

Status check_target_once(Migration& migration) {
    const auto mark =
        migration.link(Side::target).run("SELECT 1 FROM segue.saved WHERE kind = 'target_checked'");
    if (!mark) return on_side(Side::target, mark.error());
    return mark->size() == 1 ? Status{Done{}} : check_target(migration);
}

// The follower is fenced from the beginning: nobody can have written to tables that were just
// created or are empty, so the flag alone will do.
Status fence_target(Migration& migration) {
    Fence& fence = migration.fence(Side::target);
    const Deadline deadline = std::chrono::steady_clock::now() + table_locks_time_max;
    if (const Status installed = fence.install(); !installed) {
        return on_side(Side::target, installed.error());
    }
    if (const Status armed = fence.arm(deadline); !armed)
        return on_side(Side::target, armed.error());
    if (const Status closed = fence.flip(true, deadline); !closed) {
        return on_side(Side::target, closed.error());
    }
    return Done{};
}

Result<std::vector<Table>> moved_tables(Migration& migration) {
    const auto connection = migration.link(Side::source).connection();
    if (!connection) return on_side(Side::source, connection.error());
    auto tables = read_tables(**connection, migration.settings().exclude);
    if (!tables) return on_side(Side::source, tables.error());
    return tables;
}

Status synchronise_roles(Migration& migration) {
    if (!migration.settings().sync_roles) return Done{};
    const auto from = migration.link(Side::source).connection();
    if (!from) return on_side(Side::source, from.error());
    const auto to = migration.link(Side::target).connection();
    if (!to) return on_side(Side::target, to.error());
    return sync_roles(**from, **to);
}

Status publish_tables(Migration& migration, Side side, const std::vector<Table>& tables) {
    std::vector<PublishedTable> published;
    for (const Table& table : tables) published.push_back({table.schema, table.name});
    return publish(migration, side, published);
}

// Of the source's tables those that are on the target: the others have been made since the schema
// was described, and are published there by the command that makes them.
Status publish_on_target(Migration& migration) {
    auto tables = moved_tables(migration);
    if (!tables) return tables.error();
    const auto connection = migration.link(Side::target).connection();
    if (!connection) return on_side(Side::target, connection.error());
    const auto there = read_tables(**connection, migration.settings().exclude);
    if (!there) return on_side(Side::target, there.error());
    std::set<std::pair<std::string, std::string>> names;
    for (const Table& table : *there) names.emplace(table.schema, table.name);
    std::erase_if(*tables, [&](const Table& table) {
        return !names.contains({table.schema, table.name});
    });
    return publish_tables(migration, Side::target, *tables);
}

// Published, their rows would be named by all columns, and the server refuses to change a row that
// has one which is generated when it is read.
Result<std::set<std::pair<std::string, std::string>>> tables_to_let_go(Migration& migration) {
    const auto rows = migration.link(Side::source)
                          .run(
                              "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON"
                              " n.oid = c.relnamespace WHERE c.relkind = 'r' AND (c.relreplident ="
                              " 'f' OR " +
                              std::string{ddl_nameless_condition} +
                              ") AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid"
                              " AND a.attgenerated = 'v' AND NOT a.attisdropped)");
    if (!rows) return on_side(Side::source, rows.error());
    std::set<std::pair<std::string, std::string>> names;
    for (int row = 0; row < rows->size(); ++row)
        names.emplace(rows->text(row, 0), rows->text(row, 1));
    return names;
}

Status publish_moved(Migration& migration, std::vector<Table> tables) {
    const auto let_go = tables_to_let_go(migration);
    if (!let_go) return let_go.error();
    std::vector<std::string> left;
    std::erase_if(tables, [&](const Table& table) {
        const bool is = let_go->contains({table.schema, table.name});
        if (is) left.push_back(table.plain_name());
        return is;
    });
    if (const Status full = give_full_identity(migration, tables); !full) return full;
    if (const Status done = publish_tables(migration, Side::source, tables); !done) return done;
    if (left.empty()) return Done{};
    return Error{Errc::refused,
                 "source: tables without a key, with a column that is generated when it is read: " +
                     some_of(left) + "; give them a primary key or exclude them"};
}

// Tables that are gone by then make a new list.
Status publish_source(Migration& migration) {
    for (int left = lists_of_tables_max - 1;; --left) {
        auto tables = moved_tables(migration);
        Status done =
            tables ? publish_moved(migration, std::move(*tables)) : Status{tables.error()};
        const bool gone = !done && (done.error().sqlstate == undefined_table ||
                                    done.error().sqlstate == internal_error);
        if (!gone || left == 0) return done;
    }
}

// Nothing of the schema is described before every change of it is recorded.
Status prepare_capturing(Migration& migration) {
    // Again: what is made between the first list of tables and the capture is in the second one.
    if (const Status published = publish_source(migration); !published) return published;
    if (const Status begun = begin_ddl_capture(migration); !begun) return begun;
    if (const Status published = publish_source(migration); !published) return published;
    const auto check = [&] { return check_target(migration); };
    if (const Status described = describe_schema(migration, check); !described) return described;
    // What the capture could not publish before that moment is on no list yet.
    if (const Status published = publish_source(migration); !published) return published;
    if (const Status roles = synchronise_roles(migration); !roles) return roles;
    const SchemaSettings settings = schema_settings(migration);
    const Status restored = restore_pre_data(settings, Description::kept);
    if (!restored) return cannot_restore_description(migration, restored.error());
    // What a command has named since it names as the description does.
    if (const Status keys = restore_key_indexes(settings); !keys)
        return cannot_restore_description(migration, keys.error());
    if (const Status carried = carry_full_identity(migration, Since::commands); !carried)
        return carried;
    if (const Status fenced = fence_target(migration); !fenced) return fenced;
    if (const Status published = publish_on_target(migration); !published) return published;
    if (const Status both = capture_ddl_on_target(migration); !both) return both;
    return create_source_slot(migration, /*captures_ddl=*/true);
}

Status prepare_uncaptured(Migration& migration) {
    if (const Status ended = end_ddl_capture(migration); !ended) return ended;
    const auto tables = moved_tables(migration);
    if (!tables) return tables.error();
    if (const Status checked = check_target_once(migration); !checked) return checked;
    if (const Status roles = synchronise_roles(migration); !roles) return roles;
    if (const Status full = give_full_identity(migration, *tables); !full) return full;
    const Status restored = restore_pre_data(schema_settings(migration), Description::taken_now);
    if (!restored) return restored;
    if (const Status carried = carry_full_identity(migration, Since::nothing); !carried)
        return carried;
    if (const Status fenced = fence_target(migration); !fenced) return fenced;
    for (const Side side : {Side::source, Side::target}) {
        if (const Status done = publish_tables(migration, side, *tables); !done) return done;
    }
    return create_source_slot(migration, /*captures_ddl=*/false);
}

Status prepare_as_permitted(Migration& migration) {
    const auto captures = captures_ddl(migration);
    if (!captures) return captures.error();
    if (!*captures) return prepare_uncaptured(migration);
    const Status prepared = prepare_capturing(migration);
    if (prepared) return prepared;
    Error error = prepared.error();
    error.detail +=
        "\nUntil the next `segue start` the source records in segue.ddl each command that changes"
        " its schema; `segue finish` ends that.";
    return error;
}

// Two at once would pass over what the other one is about to restore, and begin the stream
// elsewhere. A process that dies leaves it with its connection, as soon as the server sees that.
Status prepare_alone(Migration& migration) {
    Link& target = migration.link(Side::target);
    const std::string key = "(" + std::to_string(start_lock) + ")";
    const auto ask = [&] { return target.run("SELECT pg_try_advisory_lock" + key); };
    const Deadline deadline = std::chrono::steady_clock::now() + start_lock_wait;
    auto alone = ask();
    while (alone && !alone->truth(0, 0) && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(start_lock_pause);
        alone = ask();
    }
    if (!alone) return on_side(Side::target, alone.error());
    if (!alone->truth(0, 0)) {
        return Error{Errc::refused,
                     "another Segue is at work on `segue start` of this migration: look at its"
                     " `segue status`, and try again when it has ended"};
    }
    const Status prepared = prepare_as_permitted(migration);
    (void)target.run("SELECT pg_advisory_unlock" + key);
    return prepared;
}

}  // namespace

Status drop_secondary_unique(Migration& migration) {
    const auto source = migration.link(Side::source).connection();
    if (!source) return on_side(Side::source, source.error());
    const auto there = migration.link(Side::target).connection();
    if (!there) return on_side(Side::target, there.error());
    Connection& target = **there;
    const auto names =
        (*source)->execute(std::string{"SELECT n.nspname || '.' || c.relname "} + fenced_tables_sql,
                           {text_array(migration.settings().exclude)});
    if (!names) return on_side(Side::source, names.error());
    std::vector<std::string> shared;
    for (int row = 0; row < names->size(); ++row) shared.push_back(names->text(row, 0));
    for (const char* query : {R"sql(
             SELECT format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, o.conname)
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = o.conindid
             WHERE o.contype IN ('f', 'u', 'x') AND o.conparentid = 0
               AND (o.contype = 'f' OR NOT i.indisreplident)
               AND n.nspname || '.' || c.relname = ANY ($1::text[]) ORDER BY o.contype <> 'f')sql",
                              R"sql(
             SELECT format('DROP INDEX %I.%I', n.nspname, x.relname)
             FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE i.indisunique AND NOT i.indisprimary AND NOT i.indisreplident AND NOT x.relispartition
               AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = x.oid)
               AND n.nspname || '.' || c.relname = ANY ($1::text[]))sql"}) {
        const auto statements = target.execute(query, {text_array(shared)});
        if (!statements) return on_side(Side::target, statements.error());
        for (int row = 0; row < statements->size(); ++row) {
            const auto dropped =
                retry_locked(std::chrono::steady_clock::now() + lock_wait_max,
                             [&] { return target.execute(statements->text(row, 0)); });
            if (!dropped) return on_side(Side::target, dropped.error());
        }
    }
    return Done{};
}

SchemaSettings schema_settings(const Migration& migration) {
    const ServerSettings& settings = migration.settings();
    return {.source_url = settings.url[index(Side::source)],
            .target_url = settings.url[index(Side::target)],
            .exclude = settings.exclude,
            .pg_bin = settings.pg_bin,
            .migration_id = migration.id()};
}

Status prepare_migration(Migration& migration,
                         ControlStores& control,
                         const ControlRecord& record) {
    for (const Side side : {Side::source, Side::target}) {
        const auto reachable = migration.link(side).connection();
        if (!reachable) return on_side(side, reachable.error());
    }
    for (const Side side : {Side::source, Side::target}) {
        if (const Status made = create_schema(migration, side); !made) return made;
        const Status recorded = create_record(migration, *control[index(side)], record, side);
        if (!recorded) return recorded;
    }
    return prepare_alone(migration);
}

}  // namespace segue::backfill::postgres
