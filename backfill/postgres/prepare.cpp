// `start`: the steps in an order in which every crash is resumed by running them all again.
#include <set>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/control.hpp"
#include "backfill/postgres/ddl_capture.hpp"
#include "backfill/postgres/ddl_code.hpp"
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
    const auto made =
        link.run(std::string{segue_schema_ddl} + verify_schema_ddl + keep_to_ourselves_sql);
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

// The target's tables start with the source's identity; what finish puts back there is the same.
Status carry_full_identity(Migration& migration) {
    const auto saved =
        migration.link(Side::source)
            .run("SELECT object, previous FROM segue.saved WHERE kind = 'replica_identity'");
    if (!saved) return on_side(Side::source, saved.error());
    TableStatements statements;
    for (int row = 0; row < saved->size(); ++row) {
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

// Chunks are loaded at different moments, so a unique value may stand in two rows until the stream
// has caught up. Unique, exclusion and foreign key constraints of the empty tables that are used as
// they are go away, and come back equal after the copy. Keys stay.
Status drop_secondary_unique(Connection& source, Connection& target) {
    const auto names = source.execute(
        std::string{"SELECT n.nspname || '.' || c.relname "} + fenced_tables_sql, {"{}"});
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
            const auto dropped = target.execute(statements->text(row, 0));
            if (!dropped) return on_side(Side::target, dropped.error());
        }
    }
    return Done{};
}

// Once, before the first object is created: afterwards the tables there are this migration's.
Status check_target(Migration& migration) {
    Link& target = migration.link(Side::target);
    const auto mark = target.run("SELECT 1 FROM segue.saved WHERE kind = 'target_checked'");
    if (!mark) return on_side(Side::target, mark.error());
    if (mark->size() == 1) return Done{};
    const auto from = migration.link(Side::source).connection();
    if (!from) return on_side(Side::source, from.error());
    const auto to = target.connection();
    if (!to) return on_side(Side::target, to.error());
    const auto conflicts = retry_locked(std::chrono::steady_clock::now() + lock_wait_max, [&] {
        return target_conflicts(**from, **to, migration.settings().exclude);
    });
    if (!conflicts) return conflicts.error();
    if (!conflicts->empty()) {
        std::vector<std::string> told;
        for (const TargetConflict& conflict : *conflicts) told.push_back(conflict.text);
        return Error{Errc::refused,
                     "target: tables that cannot be used as they are: " + some_of(told) +
                         "; drop or empty them there"};
    }
    if (const Status cleared = drop_secondary_unique(**from, **to); !cleared) return cleared;
    const auto marked = target.run(
        "INSERT INTO segue.saved VALUES ('target_checked', '', '')"
        " ON CONFLICT DO NOTHING");
    if (!marked) return on_side(Side::target, marked.error());
    return Done{};
}

Status restore_tables(Migration& migration) {
    const ServerSettings& settings = migration.settings();
    return restore_pre_data({.source_url = settings.url[index(Side::source)],
                             .target_url = settings.url[index(Side::target)],
                             .exclude = settings.exclude,
                             .pg_bin = settings.pg_bin,
                             .migration_id = migration.id()});
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

// Before the slot, so that no command can be missed behind the copy's beginning.
Status capture_ddl(Migration& migration) {
    if (!migration.settings().carry_ddl) return Done{};
    for (const Side side : {Side::source, Side::target}) {
        const auto may = may_capture_ddl(migration.link(side));
        if (!may) return on_side(side, may.error());
        if (!*may) return Done{};  // Preflight has told what this costs.
    }
    const ServerSettings& settings = migration.settings();
    for (const Side side : {Side::source, Side::target}) {
        const Status installed = install_ddl_capture(
            migration.link(side), {migration.id(), settings.migration, settings.exclude});
        if (!installed) return on_side(side, installed.error());
    }
    const auto from = migration.link(Side::source).connection();
    if (!from) return on_side(Side::source, from.error());
    const auto to = migration.link(Side::target).connection();
    if (!to) return on_side(Side::target, to.error());
    const auto code = read_all_code(**from);
    if (!code) return on_side(Side::source, code.error());
    return know_code(**to, Side::source, *code);
}

}  // namespace

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
    const auto tables = moved_tables(migration);
    if (!tables) return tables.error();
    if (const Status checked = check_target(migration); !checked) return checked;
    if (const Status roles = synchronise_roles(migration); !roles) return roles;
    if (const Status full = give_full_identity(migration, *tables); !full) return full;
    if (const Status restored = restore_tables(migration); !restored) return restored;
    if (const Status carried = carry_full_identity(migration); !carried) return carried;
    if (const Status fenced = fence_target(migration); !fenced) return fenced;
    std::vector<PublishedTable> published;
    for (const Table& table : *tables) published.push_back({table.schema, table.name});
    for (const Side side : {Side::source, Side::target}) {
        if (const Status done = publish(migration, side, published); !done) return done;
    }
    if (const Status captured = capture_ddl(migration); !captured) return captured;
    return create_source_slot(migration);
}

}  // namespace segue::backfill::postgres
