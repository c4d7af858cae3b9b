#include "backfill/postgres/preflight_rules.hpp"

#include <array>

namespace segue::backfill::postgres {

namespace {

using enum Severity;

constexpr std::array limits = {
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
          AND NOT EXISTS (SELECT FROM pg_replication_slots, ours WHERE slot_name = slot))sql"},
    Rule{Where::both, fail, "wal_senders", R"sql(
        SELECT '', format('all %s WAL senders are in use; Segue needs one', setting),
               format('ALTER SYSTEM SET max_wal_senders = %s;  -- takes effect with a restart of this server',
                      setting::int + 4)
        FROM pg_settings WHERE name = 'max_wal_senders'
          AND (SELECT count(*) FROM pg_stat_replication) >= setting::int
          AND NOT EXISTS (SELECT FROM pg_replication_slots, ours WHERE slot_name = slot AND active))sql"},
    Rule{Where::both, fail, "in_recovery", R"sql(
        SELECT '', 'the server is a standby; its snapshots hide running transactions and it takes no writes',
               'point the URL at the primary' WHERE pg_is_in_recovery())sql"},
    Rule{Where::both, fail, "output_plugin", R"sql(
        SELECT '', format('output_plugin_libraries is %s; pgoutput is not among them', setting),
               'ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'output_plugin_libraries' AND setting !~ '\mpgoutput\M')sql"},
    Rule{Where::both, fail, "connection_limit", R"sql(
        SELECT 'role ' || rolname, format('the role may have %s connections; Segue uses up to %s', rolconnlimit, used),
               format('ALTER ROLE %I CONNECTION LIMIT -1;', rolname)
        FROM pg_roles, (SELECT 20 AS used) u WHERE rolname = current_user AND NOT rolsuper
          AND rolconnlimit BETWEEN 0 AND used - 1
        UNION ALL
        SELECT 'database ' || datname, format('it takes %s connections in all; Segue alone uses up to %s', datconnlimit, used),
               format('ALTER DATABASE %I CONNECTION LIMIT -1;', datname)
        FROM pg_database, (SELECT 20 AS used) u WHERE datname = current_database() AND datconnlimit BETWEEN 0 AND used - 1
          AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))sql"},
    // The server's table of locks has some room beyond what its settings say.
    Rule{Where::source, warn, "lock_table", R"sql(
        SELECT '', format('%s tables, and the table of locks is made for %s: pg_dump locks every table in one transaction',
                          tables, locks),
               format('ALTER SYSTEM SET max_locks_per_transaction = %s;  -- takes effect with a restart of this server',
                      ceil(64.0 * greatest(1, 2 * tables / locks))::int)
        FROM (SELECT count(*) AS tables FROM pg_class WHERE relkind IN ('r', 'p') AND relpersistence <> 't'
                AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)) t,
             (SELECT current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint
                + current_setting('max_prepared_transactions')::bigint + current_setting('max_wal_senders')::bigint
                + current_setting('max_worker_processes')::bigint + current_setting('autovacuum_max_workers')::bigint)
                AS locks) l
        WHERE tables > 0.8 * locks)sql"},
};

constexpr std::array log_keeping = {
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
    Rule{Where::both, warn, "wal_sender_timeout", R"sql(
        SELECT '', format('wal_sender_timeout is %s ms: the stream is cut by any pause of that length', setting),
               'ALTER SYSTEM SET wal_sender_timeout = ''60s''; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'wal_sender_timeout' AND setting::bigint BETWEEN 1 AND 19999)sql"},
    Rule{Where::both, warn, "decoding_memory", R"sql(
        SELECT '', format('logical_decoding_work_mem is %s kB: larger transactions are written to disk while they are'
                          ' decoded', setting),
               'ALTER SYSTEM SET logical_decoding_work_mem = ''64MB''; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'logical_decoding_work_mem' AND setting::bigint < 16384)sql"},
    // The log since the last checkpoint tells the present rate, where that was long enough ago.
    Rule{Where::source, warn, "log_headroom", R"sql(
        SELECT '', format('the log grows by %s MB a minute at present: an outage of Segue or the target of %s minutes would'
                          ' reach the %s MB that may be retained', round(rate * 60 / 1048576), round(cap / rate / 60), round(cap / 1048576)),
               'raise [limits] retained_log_mb in the configuration, and max_slot_wal_keep_size, as far as the disk allows'
        FROM (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn) / extract(epoch FROM now() - checkpoint_time)::numeric AS rate
              FROM pg_control_checkpoint()
              WHERE NOT pg_is_in_recovery() AND checkpoint_time < now() - interval '20 seconds') r,
             (SELECT least(nullif(retained_log_bytes, 0)::numeric, nullif(setting::numeric, -1) * 1048576) AS cap
              FROM ours, pg_settings WHERE name = 'max_slot_wal_keep_size') c
        WHERE rate > 0 AND cap > 0 AND cap / rate < 3600)sql"},
    Rule{Where::both, warn, "slot_failover", R"sql(
        SELECT '', format('it has %s, to which Segue''s slot is not carried: after a failover the copy begins again', standbys),
               'avoid a planned failover of this server until finish; after one: segue finish, then segue start'
        FROM (SELECT string_agg(DISTINCT coalesce(nullif(r.application_name, ''), 'a standby'), ', ') AS standbys
              FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
              WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state IN ('streaming', 'catchup')
                AND r.application_name <> 'pg_basebackup') s
        WHERE standbys IS NOT NULL)sql"},
    // One that has failed since it last succeeded.
    Rule{Where::both, warn, "log_archiving", R"sql(
        SELECT '', format('archiving of its log fails since %s (%s failures in all, the last with %s): the log stays until it'
                          ' succeeds, and fills the disk', date_trunc('second', coalesce(last_archived_time, stats_reset)),
                          failed_count, last_failed_wal),
               'mend what archive_command or archive_library does; its messages are in that server''s log'
        FROM pg_stat_archiver, pg_settings WHERE name = 'archive_mode' AND setting <> 'off'
          AND last_failed_time > coalesce(last_archived_time, '-infinity'))sql"},
    Rule{Where::target, information, "log_archiving", R"sql(
        SELECT '', 'its log is archived: the copy writes at least as much of it as there is data, in less time than usual',
               'look after the room and the speed of the archive while everything is copied'
        FROM pg_stat_archiver, pg_settings WHERE name = 'archive_mode' AND setting <> 'off'
          AND last_failed_time > coalesce(last_archived_time, '-infinity') IS NOT TRUE)sql"},
    Rule{Where::target, warn, "synchronous_standbys", R"sql(
        SELECT '', format('synchronous_standby_names is %s: each commit of the mover waits for them', setting),
               'make sure that they answer; or ALTER SYSTEM SET synchronous_standby_names = ''''; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting <> ''
          AND current_setting('synchronous_commit') NOT IN ('off', 'local'))sql"},
};

// Settings of all roles and databases of the server.
constexpr std::array safety = {
    Rule{Where::target, warn, "read_only_default", R"sql(
        SELECT '', 'default_transaction_read_only is on: the application could not write after the cutover',
               'ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on')sql"},
    Rule{Where::both, warn, "durability", R"sql(
        SELECT 'setting ' || name, 'it is off: a crash can lose or corrupt what was acknowledged',
               format('ALTER SYSTEM SET %I = on; SELECT pg_reload_conf();', name)
        FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY 1)sql"},
    Rule{Where::both, warn, "commit_async", R"sql(
        SELECT 'setting synchronous_commit', 'it is off: the last acknowledged commits are lost in a crash',
               'ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off'
          AND source NOT IN ('database', 'user', 'database user')
        UNION ALL
        SELECT coalesce('role ' || r.rolname, 'database ' || d.datname, 'all roles'),
               'synchronous_commit is off for it: its last acknowledged commits are lost in a crash',
               CASE WHEN r.oid IS NULL THEN format('ALTER DATABASE %I RESET synchronous_commit;', d.datname)
                    ELSE format('ALTER ROLE %I%s RESET synchronous_commit;', r.rolname, ' IN DATABASE ' || quote_ident(d.datname)) END
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE 'synchronous_commit=off' = ANY (s.setconfig) AND coalesce(d.datname, current_database()) = current_database())sql"},
    Rule{Where::both, warn, "replication_role_setting", R"sql(
        SELECT coalesce('role ' || r.rolname, 'database ' || d.datname, 'all roles'),
               'session_replication_role is set for it: its sessions fire no triggers and check no foreign keys',
               CASE WHEN r.oid IS NULL THEN format('ALTER DATABASE %I RESET session_replication_role;', d.datname)
                    ELSE format('ALTER ROLE %I%s RESET session_replication_role;', r.rolname, ' IN DATABASE ' || quote_ident(d.datname)) END
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE 'session_replication_role=replica' = ANY (s.setconfig) AND coalesce(d.datname, current_database()) = current_database()
        UNION ALL
        SELECT 'setting session_replication_role', format('it is %s for every session', setting),
               'ALTER SYSTEM RESET session_replication_role; SELECT pg_reload_conf();'
        FROM pg_settings WHERE name = 'session_replication_role' AND setting = 'replica' AND source = 'configuration file')sql"},
    Rule{Where::both, information, "other_consumers", R"sql(
        SELECT 'slot ' || slot_name, format('%s slot%s, %s: it counts against max_replication_slots and retains log', slot_type,
               ' of ' || plugin, CASE WHEN active THEN 'active' ELSE 'nobody reads it' END),
               format('SELECT pg_drop_replication_slot(%L);  -- if nobody needs it', slot_name)
        FROM pg_replication_slots, ours WHERE slot_name <> slot
        UNION ALL
        SELECT 'publication ' || pubname, 'it is not carried to the target; its subscribers must change over',
               'create it on the target before the cutover, if it is still needed there'
        FROM pg_publication, ours WHERE pubname <> publication AND NOT starts_with(pubname, publication || '_new_')
        UNION ALL
        SELECT 'origin ' || roname, 'a subscription or a tool keeps in it how far it has come: it is not carried',
               format('SELECT pg_replication_origin_drop(%L);  -- if nobody needs it', roname)
        FROM pg_replication_origin
        ORDER BY 1)sql"},
};

}  // namespace

namespace {

template <class... Parts>
std::vector<Rule> join(const Parts&... parts) {
    std::vector<Rule> all;
    (all.insert(all.end(), parts.begin(), parts.end()), ...);
    return all;
}

}  // namespace

std::span<const Rule> server_rules() {
    static const std::vector<Rule> rules = join(limits, log_keeping, safety);
    return rules;
}

std::vector<Rule> preflight_rules() {
    return join(server_rules(), role_rules(), traffic_rules(), table_rules(), object_rules());
}

}  // namespace segue::backfill::postgres
