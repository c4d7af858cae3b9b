// What runs now and would be in the way. Prepared transactions of applications that use them all
// the time come and go: the start waits for those. A slot waits for every transaction of the server
// that has an id, of all databases, and only while it is created: the target's is when all is
// copied.

#include <array>

#include "backfill/postgres/preflight_rules.hpp"

namespace segue::backfill::postgres {

namespace {

using enum Severity;

constexpr std::array rules = {
    Rule{Where::both, fail, "prepared_transaction", R"sql(
        SELECT 'transaction ' || quote_literal(gid), format('prepared at %s in database %s and still open: no consistent start'
               ' is possible before it ends', prepared, database), format('COMMIT PREPARED %L;  -- or ROLLBACK PREPARED', gid)
        FROM pg_prepared_xacts WHERE prepared < now() - interval '2 seconds')sql"},
    Rule{Where::both, fail, "subscription", R"sql(
        SELECT 'subscription ' || s.subname, 'its worker writes rows beside the application and the mover',
               format('DROP SUBSCRIPTION %I;  -- or end it when its data is complete', s.subname)
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database())sql"},
    // One that is at work will come to its end.
    Rule{Where::source, fail, "long_transaction", R"sql(
        SELECT 'process ' || pid, format('a transaction of %s that has written is open since %s and idle: no slot is created'
               ' before it ends', usename, xact_start), format('SELECT pg_terminate_backend(%s);  -- if it is not needed', pid)
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND backend_xid IS NOT NULL
          AND state LIKE 'idle in transaction%' AND xact_start < now() - interval '10 minutes' AND pid <> pg_backend_pid()
          AND application_name NOT LIKE 'segue%' AND NOT EXISTS (SELECT FROM pg_replication_slots, ours WHERE slot_name = slot))sql"},
    Rule{Where::both, warn, "long_transaction", R"sql(
        SELECT 'process ' || a.pid, format('a transaction of %s%s is open since %s: start may wait for it, and a cutover does not',
               a.usename, CASE WHEN a.backend_xid IS NULL THEN '' ELSE ' that has written' END, a.xact_start),
               format('SELECT pg_terminate_backend(%s);  -- if it is not needed', a.pid)
        FROM pg_stat_activity a, (SELECT on_source, EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = slot) AS made FROM ours) s
        WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.application_name NOT LIKE 'segue%'
          AND a.xact_start < now() - CASE WHEN a.backend_xid IS NULL THEN interval '1 minute' ELSE interval '10 seconds' END
          AND (a.datname = current_database() OR a.backend_xid IS NOT NULL AND NOT s.made)
          AND (s.made OR NOT s.on_source OR a.backend_xid IS NULL OR a.state NOT LIKE 'idle in transaction%'
               OR a.xact_start >= now() - interval '10 minutes'))sql"},
    // Those that have just come may be going as well.
    Rule{Where::source, warn, "direct_session", R"sql(
        SELECT format('role %s from %s', usename, coalesce(host(client_addr), 'a unix socket')),
               format('%s sessions do not come from Segue''s address: the cutover will not take them along', count(*)),
               'point that application to Segue before the cutover'
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
          AND pid <> pg_backend_pid() AND application_name NOT LIKE 'segue%' AND query <> '<insufficient privilege>'
          AND backend_start < now() - interval '2 seconds' AND client_addr IS DISTINCT FROM inet_client_addr()
        GROUP BY usename, client_addr ORDER BY 1)sql"},
    Rule{Where::target, warn, "target_session", R"sql(
        SELECT format('role %s from %s', usename, coalesce(host(client_addr), 'a unix socket')),
               format('%s sessions are connected to the target''s database: until the cutover only Segue writes there', count(*)),
               format('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = %L;',
                      usename)
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
          AND pid <> pg_backend_pid() AND application_name NOT LIKE 'segue%' AND query <> '<insufficient privilege>'
          AND backend_start < now() - interval '2 seconds'
          AND (to_regclass('segue.control') IS NULL OR client_addr IS DISTINCT FROM inet_client_addr())
        GROUP BY usename, client_addr ORDER BY 1)sql"},
    // Of a session that is in no transaction: the lock outlives transactions.
    Rule{Where::source, warn, "advisory_locks", R"sql(
        SELECT 'role ' || a.usename, format('%s sessions hold session-level advisory locks: they are pinned', count(DISTINCT a.pid)),
               'use pg_advisory_xact_lock, or have them released before the cutover'
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.state = 'idle'
          AND a.application_name NOT LIKE 'segue%' GROUP BY a.usename ORDER BY 1)sql"},
    Rule{Where::source, information, "temporary_tables", R"sql(
        SELECT 'temporary tables', format('%s of %s sessions: they go along up to [sessions] carry_temporary_kb',
                                          count(*), count(DISTINCT relnamespace)), ''
        FROM pg_class WHERE relpersistence = 't' AND relkind IN ('r', 'p') HAVING count(*) > 0)sql"},
    Rule{Where::source, warn, "schema_tool", R"sql(
        SELECT m.label, 'the table of a tool for schema migrations: a deployment during the move may change the schema',
               'hold deployments that change the schema back until finish'
        FROM all_relations m WHERE m.name IN ('schema_migrations', 'ar_internal_metadata', 'flyway_schema_history',
            'schema_version', 'databasechangelog', 'alembic_version', 'django_migrations', '__EFMigrationsHistory',
            'knex_migrations', 'goose_db_version', 'atlas_schema_revisions', '_prisma_migrations', 'SequelizeMeta',
            'phinxlog', 'doctrine_migration_versions', 'typeorm_metadata', '_sqlx_migrations', '__diesel_schema_migrations',
            'mikro_orm_migrations', 'gorp_migrations', 'sqitch_changes', 'pgmigrations') ORDER BY 1)sql"},
    Rule{Where::source, warn, "recent_ddl", R"sql(
        SELECT m.label, format('the table was created or altered at %s', date_trunc('second', m.at)),
               'find out who changes the schema, and hold it back until finish'
        FROM (SELECT m.label, CASE WHEN current_setting('track_commit_timestamp') = 'on'
                                   THEN pg_xact_commit_timestamp(c.xmin) END AS at
              FROM moved m JOIN pg_class c USING (oid)) m
        WHERE m.at > now() - interval '7 days' ORDER BY m.at DESC LIMIT 10)sql"},
    // The slot is the last thing that a start makes.
    Rule{Where::source, warn, "unfinished_start", R"sql(
        SELECT 'event triggers segue_ddl_*', 'an earlier `segue start` was not completed, or is at work: until that is done each command'
               ' that changes the schema is recorded in segue.ddl, and nobody carries it',
               'segue start;  -- goes on with it; or `segue finish`, which removes what it has made'
        FROM pg_event_trigger WHERE evtname = 'segue_ddl_4' AND NOT EXISTS (
            SELECT FROM pg_replication_slots WHERE database = current_database() AND starts_with(slot_name, 'segue_')))sql"},
    Rule{Where::source, information, "session_state", R"sql(
        SELECT 'function ' || p.oid::regprocedure, 'its body uses ' || array_to_string(ARRAY(
                   SELECT DISTINCT w[1] FROM regexp_matches(lower(p.prosrc),
                       '\m(currval|lastval|pg_advisory_lock|pg_try_advisory_lock|with hold|listen)\M', 'g') w ORDER BY 1), ', ')
               || ': such state does not move with a session, or pins it', ''
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND p.prosrc ~* '\m(currval|lastval|pg_advisory_lock|pg_try_advisory_lock|with hold|listen)\M'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        ORDER BY 1 LIMIT 100)sql"},
};

}  // namespace

std::span<const Rule> traffic_rules() { return rules; }

}  // namespace segue::backfill::postgres
