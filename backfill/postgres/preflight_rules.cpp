#include "backfill/postgres/preflight_rules.hpp"

#include <array>

namespace segue::backfill::postgres {

namespace {

using enum Severity;

// What is said of the server as a whole.
constexpr std::array server_rules = {
    Rule{Where::both, fail, "wal_level", R"sql(
        SELECT '', format('wal_level is %s; the change log that Segue reads needs logical', setting),
               'ALTER SYSTEM SET wal_level = logical;  -- takes effect with a restart of this server'
        FROM pg_settings WHERE name = 'wal_level' AND setting <> 'logical')sql"},
    Rule{Where::both, fail, "replication_slots", R"sql(
        SELECT '', format('all %s replication slots are in use; Segue needs one', setting),
               format('ALTER SYSTEM SET max_replication_slots = %s;  -- takes effect with a restart of this server;'
                      ' or drop an unused one listed in pg_replication_slots', setting::int + 4)
        FROM pg_settings WHERE name = 'max_replication_slots'
          AND (SELECT count(*) FROM pg_replication_slots) >= setting::int
          AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name LIKE 'segue\_%'))sql"},
    Rule{Where::both, fail, "wal_senders", R"sql(
        SELECT '', format('all %s WAL senders are in use; Segue needs one', setting),
               format('ALTER SYSTEM SET max_wal_senders = %s;  -- takes effect with a restart of this server',
                      setting::int + 4)
        FROM pg_settings WHERE name = 'max_wal_senders'
          AND (SELECT count(*) FROM pg_stat_replication) >= setting::int
          AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name LIKE 'segue\_%' AND active))sql"},
    Rule{Where::both, fail, "in_recovery", R"sql(
        SELECT '', 'the server is a standby; its snapshots hide running transactions and it takes no writes',
               'point the URL at the primary' WHERE pg_is_in_recovery())sql"},
    Rule{Where::both, fail, "output_plugin", R"sql(
        SELECT '', format('output_plugin_libraries is %s; pgoutput is not among them', setting),
               'ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'output_plugin_libraries' AND setting !~ '\mpgoutput\M')sql"},
    Rule{Where::both, warn, "slot_keep_size", R"sql(
        SELECT '', format('max_slot_wal_keep_size is %s MB: the server drops our slot when a copy or an outage takes'
                          ' more log than that, and the copy starts again', setting),
               'ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf();  -- [limits] retained_log_mb'
               ' is Segue''s own cap'
        FROM pg_settings WHERE name = 'max_slot_wal_keep_size' AND setting::bigint >= 0)sql"},
    Rule{Where::both, warn, "idle_slot_timeout", R"sql(
        SELECT '', format('idle_replication_slot_timeout is %s: the server drops our slot when Segue is stopped for'
                          ' that long', setting),
               'ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'idle_replication_slot_timeout' AND setting <> '0')sql"},
    Rule{Where::target, warn, "read_only_default", R"sql(
        SELECT '', 'default_transaction_read_only is on: the application could not write after the cutover',
               'ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on')sql"},
};

// What our role may do.
constexpr std::array role_rules = {
    Rule{Where::both, fail, "role_replication", R"sql(
        SELECT 'role ' || rolname, 'the role may not read the change log',
               format('ALTER ROLE %I REPLICATION;', rolname)
        FROM pg_roles WHERE rolname = current_user AND NOT (rolsuper OR rolreplication))sql"},
    Rule{Where::both, fail, "role_create", R"sql(
        SELECT 'role ' || current_user, 'the role may not create schema segue',
               format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
        WHERE NOT has_database_privilege(current_database(), 'CREATE'))sql"},
    Rule{Where::both, fail, "role_owner", R"sql(
        SELECT 'role ' || current_user,
               format('the role is not a member of %s, who owns %s of the tables: it cannot publish or fence them',
                      o.rolname, count(*)),
               format('GRANT %I TO %I;', o.rolname, current_user)
        FROM moved m JOIN pg_class c USING (oid) JOIN pg_roles o ON o.oid = c.relowner
        WHERE NOT pg_has_role(current_user, c.relowner, 'USAGE') GROUP BY o.rolname)sql"},
    Rule{Where::both, fail, "row_security", R"sql(
        SELECT m.label, 'the table has row security, and our role would copy only the rows that it is shown',
               format('ALTER ROLE %I BYPASSRLS;', current_user)
        FROM moved m JOIN pg_class c USING (oid) WHERE c.relrowsecurity
          AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user))sql"},
    Rule{Where::source, warn, "role_verifiers", R"sql(
        SELECT 'role ' || current_user, 'the role cannot read pg_authid: passwords of the application''s roles are not'
               ' carried, and their sessions cannot be moved at a cutover unless the target trusts them',
               format('GRANT SELECT ON pg_catalog.pg_authid TO %I;', current_user)
        WHERE NOT has_table_privilege('pg_catalog.pg_authid', 'SELECT'))sql"},
    Rule{Where::target, information, "catalog_grants", R"sql(
        SELECT 'role ' || current_user, 'the role is no superuser: grants on the server''s own catalog (pg_catalog) are'
               ' not carried', 'repeat them on the target, if an application needs them'
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper)sql"},
    Rule{Where::both, information, "ddl_not_captured", R"sql(
        SELECT 'role ' || current_user, 'the role is no superuser and cannot create event triggers: DDL during the'
               ' move is not carried; the stream stops before a row of a table that it has changed',
               'do not change the schema until finish'
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper)sql"},
};

// What runs now and would be in the way. Prepared transactions of applications that use them all
// the time come and go: the start waits for those; one that is older than 10 seconds was left
// behind, or is somebody's to end.
constexpr std::array activity_rules = {
    Rule{Where::both, fail, "prepared_transaction", R"sql(
        SELECT 'transaction ' || quote_literal(gid), format('prepared at %s and still open: no consistent start is possible'
               ' before it ends', prepared), format('COMMIT PREPARED %L;  -- or ROLLBACK PREPARED', gid)
        FROM pg_prepared_xacts WHERE database = current_database() AND prepared < now() - interval '10 seconds')sql"},
    Rule{Where::both, fail, "subscription", R"sql(
        SELECT 'subscription ' || s.subname, 'its worker writes rows beside the application and the mover',
               format('DROP SUBSCRIPTION %I;  -- or end it when its data is complete', s.subname)
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database())sql"},
    Rule{Where::both, warn, "long_transaction", R"sql(
        SELECT 'process ' || pid, format('a transaction of %s is open since %s: start waits for it', usename, xact_start),
               format('SELECT pg_terminate_backend(%s);  -- if it is not needed', pid)
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
          AND xact_start < now() - interval '1 minute' AND pid <> pg_backend_pid())sql"},
};

// Tables and other objects that the change log does not carry, or not exactly.
constexpr std::array object_rules = {
    Rule{Where::source, fail, "identity_nothing", R"sql(
        SELECT m.label, 'REPLICA IDENTITY NOTHING: updates and deletes do not say which row they meant',
               format('ALTER TABLE %s REPLICA IDENTITY %s;', m.oid::regclass, CASE WHEN EXISTS (
                   SELECT FROM pg_index i WHERE i.indrelid = m.oid AND i.indisprimary AND i.indimmediate)
                   THEN 'DEFAULT' ELSE 'FULL' END)
        FROM moved m JOIN pg_class c USING (oid) WHERE c.relreplident = 'n')sql"},
    Rule{Where::source, fail, "unlogged_table", R"sql(
        SELECT m.label, 'an unlogged table is not in the change log',
               format('ALTER TABLE %s SET LOGGED;  -- or name it in [tables] exclude', m.oid::regclass)
        FROM all_relations m JOIN pg_class c USING (oid) WHERE c.relkind = 'r' AND c.relpersistence = 'u')sql"},
    Rule{Where::source, fail, "large_objects", R"sql(
        SELECT 'large objects', format('%s large objects exist; they are not in the change log and are not moved', n),
               'move them to bytea columns, or SELECT lo_unlink(oid) FROM pg_largeobject_metadata;'
        FROM (SELECT count(*) AS n FROM pg_largeobject_metadata) l WHERE n > 0)sql"},
    Rule{Where::source, warn, "foreign_table", R"sql(
        SELECT m.label, 'of a foreign table only the definition is carried; user mappings and their passwords are not',
               'create the user mappings on the target'
        FROM all_relations m JOIN pg_class c USING (oid) WHERE c.relkind = 'f')sql"},
    Rule{Where::source, information, "materialized_view", R"sql(
        SELECT m.label, 'materialized views are filled on the target at the end of the copy, not followed',
               format('REFRESH MATERIALIZED VIEW %s;  -- on the target, before the cutover', m.oid::regclass)
        FROM all_relations m JOIN pg_class c USING (oid) WHERE c.relkind = 'm')sql"},
    Rule{Where::both, fail, "replica_trigger", R"sql(
        SELECT m.label, format('trigger %s is ENABLE %s: it would fire again for rows that the mover writes', t.tgname,
                               CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END),
               format('ALTER TABLE %s ENABLE TRIGGER %I;', m.oid::regclass, t.tgname)
        FROM moved m JOIN pg_trigger t ON t.tgrelid = m.oid JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgenabled IN ('A', 'R') AND p.pronamespace IS DISTINCT FROM to_regnamespace('segue'))sql"},
    Rule{Where::both, fail, "replica_rule", R"sql(
        SELECT m.label, format('rule %s is ENABLE %s: it would rewrite what the mover writes', r.rulename,
                               CASE r.ev_enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END),
               format('ALTER TABLE %s ENABLE RULE %I;', m.oid::regclass, r.rulename)
        FROM moved m JOIN pg_rewrite r ON r.ev_class = m.oid WHERE r.ev_enabled IN ('A', 'R'))sql"},
    Rule{Where::source, fail, "transaction_id_column", R"sql(
        SELECT m.label, format('column %s holds %s values, which mean nothing on another server', a.attname,
                               format_type(a.atttypid, NULL)),
               format('ALTER TABLE %s DROP COLUMN %I;  -- or name the table in [tables] exclude', m.oid::regclass, a.attname)
        FROM moved m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE t.typname IN ('xid', 'xid8', 'tid', 'cid', 'pg_snapshot', 'txid_snapshot')
          AND t.typnamespace = 'pg_catalog'::regnamespace)sql"},
    Rule{Where::source, fail, "virtual_column", R"sql(
        SELECT m.label, format('column %s is generated when it is read, and the table''s rows are identified by all their'
                               ' columns: PostgreSQL refuses to update such a row of a published table', a.attname),
               format('ALTER TABLE %s ADD PRIMARY KEY (...);  -- with REPLICA IDENTITY DEFAULT; or exclude the table', m.oid::regclass)
        FROM moved m JOIN pg_class c USING (oid)
        JOIN pg_attribute a ON a.attrelid = m.oid AND a.attgenerated = 'v' AND NOT a.attisdropped
        WHERE c.relreplident = 'f' OR (c.relreplident = 'd' AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = m.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid)))sql"},
    Rule{Where::source, information, "one_chunk", R"sql(
        SELECT m.label, 'the key''s order cannot be followed outside the server (text under a linguistic collation, or a'
               ' type of its own): the table is copied in one piece, and starts again if interrupted', ''
        FROM moved m JOIN pg_class c USING (oid) JOIN pg_index i ON i.indrelid = m.oid AND i.indisprimary
        WHERE c.relpages > 12800 AND EXISTS (
            SELECT FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
            WHERE a.attrelid = m.oid AND a.attnum = ANY (i.indkey)
              AND (a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
                   AND coalesce(l.collname, '') NOT IN ('C', 'POSIX')
                   OR a.atttypid >= 16384)))sql"},
};

template <std::size_t... Sizes>
constexpr auto join(const std::array<Rule, Sizes>&... parts) {
    std::array<Rule, (Sizes + ...)> all{};
    std::size_t at = 0;
    const auto append = [&](const auto& part) {
        for (const Rule& rule : part) all[at++] = rule;
    };
    (append(parts), ...);
    return all;
}

constexpr auto all_rules = join(server_rules, role_rules, activity_rules, object_rules);

}  // namespace

std::span<const Rule> preflight_rules() { return all_rules; }

}  // namespace segue::backfill::postgres
