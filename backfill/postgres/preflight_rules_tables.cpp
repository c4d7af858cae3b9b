// Tables that the change log does not carry, or not exactly.

#include <array>

#include "backfill/postgres/preflight_rules.hpp"

namespace segue::backfill::postgres {

namespace {

using enum Severity;

constexpr std::array rules = {
    Rule{Where::source, fail, "identity_nothing", R"sql(
        SELECT m.label, 'REPLICA IDENTITY NOTHING: updates and deletes do not say which row they meant',
               format('ALTER TABLE %s REPLICA IDENTITY %s;', m.oid::regclass, CASE WHEN EXISTS (
                   SELECT FROM pg_index i WHERE i.indrelid = m.oid AND i.indisprimary AND i.indimmediate)
                   THEN 'DEFAULT' ELSE 'FULL' END)
        FROM moved m JOIN pg_class c USING (oid) WHERE c.relreplident = 'n')sql"},
    // With FULL rows are looked for by the primary key, too.
    Rule{Where::source, fail, "generated_key", R"sql(
        SELECT m.label, format('its key %s contains the generated column %s, which is not in the stream: updates and deletes do'
                               ' not say which row they meant', i.indexrelid::regclass, a.attname),
               format('CREATE UNIQUE INDEX name ON %s (...);  -- of columns that are NOT NULL and not generated; then'
                      ' ALTER TABLE %1$s REPLICA IDENTITY USING INDEX name; or name it in [tables] exclude', m.oid::regclass)
        FROM moved m JOIN pg_class c USING (oid) JOIN pg_index i ON i.indrelid = m.oid AND i.indimmediate
             AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
        JOIN pg_attribute a ON a.attrelid = m.oid AND a.attgenerated <> ''
             AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        WHERE c.relreplident <> 'n')sql"},
    // Rows are looked for by all their values, of which only some types' lead into an index
    // (change_statement.cpp).
    Rule{Where::source, warn, "full_identity_cost", R"sql(
        SELECT m.label, format('about %s rows, %s updates and deletes so far, and no index by which a row is found by its values:'
                               ' each reads the whole table on the follower', c.reltuples::bigint, s.n_tup_upd + s.n_tup_del),
               format('ALTER TABLE %s ADD PRIMARY KEY (...);  -- see without_key for this table', m.oid::regclass)
        FROM moved m JOIN pg_class c USING (oid) JOIN pg_stat_all_tables s ON s.relid = m.oid
        WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = m.oid AND i.indisvalid AND i.indpred IS NULL AND (
                  i.indimmediate AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
                  OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = m.oid AND a.attnum = i.indkey[0]
                             AND a.atttypid IN (16, 20, 21, 23, 26, 25, 700, 701, 1043, 1082, 1114, 1184, 1700, 2950))))
          AND c.reltuples > 10000 AND s.n_tup_upd + s.n_tup_del > 0)sql"},
    Rule{Where::source, fail, "unlogged_table", R"sql(
        SELECT m.label, 'an unlogged table is not in the change log',
               format('ALTER TABLE %s SET LOGGED;  -- or name it in [tables] exclude', m.oid::regclass)
        FROM all_relations m JOIN pg_class c USING (oid) WHERE c.relkind = 'r' AND c.relpersistence = 'u')sql"},
    Rule{Where::source, warn, "foreign_table", R"sql(
        SELECT m.label, 'of a foreign table only the definition is carried; user mappings and their passwords are not',
               'create the user mappings on the target'
        FROM all_relations m JOIN pg_class c USING (oid) WHERE c.relkind = 'f')sql"},
    Rule{Where::source, information, "materialized_view", R"sql(
        SELECT m.label, 'materialized views are filled on the target at the end of the copy, not followed',
               format('REFRESH MATERIALIZED VIEW %s;  -- before the cutover: on the source where DDL is carried, else on the target',
                      m.oid::regclass)
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
    // Also inside arrays, domains, ranges and composites.
    Rule{Where::source, fail, "transaction_id_column", R"sql(
        SELECT m.label, format('column %s holds %s values, which mean nothing on another server', a.attname,
                               format_type(a.atttypid, NULL)),
               format('ALTER TABLE %s DROP COLUMN %I;  -- or name the table in [tables] exclude', m.oid::regclass, a.attname)
        FROM moved m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN (WITH RECURSIVE plain AS (
                  SELECT oid, typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
                    AND typname IN ('xid', 'xid8', 'tid', 'cid', 'pg_snapshot', 'txid_snapshot')),
              made AS (
                  SELECT oid AS made, typbasetype AS part FROM pg_type WHERE typtype = 'd'
                  UNION ALL SELECT oid, typelem FROM pg_type WHERE typcategory = 'A' AND typelem <> 0
                  UNION ALL SELECT rngtypid, rngsubtype FROM pg_range
                  UNION ALL SELECT c.reltype, x.atttypid FROM pg_class c JOIN pg_attribute x ON x.attrelid = c.oid
                            AND x.attnum > 0 AND NOT x.attisdropped WHERE c.relkind = 'c'),
              carrying AS (SELECT oid FROM plain UNION SELECT made FROM made JOIN carrying ON carrying.oid = made.part)
              SELECT oid FROM carrying) t ON t.oid = a.atttypid)sql"},
    // By the functions' numbers inside the stored expressions: names may be written in many ways.
    Rule{Where::source, fail, "transaction_id_default", R"sql(
        SELECT m.label, format('the default of column %s computes ids that mean nothing on another server: %s', a.attname,
                               pg_get_expr(d.adbin, d.adrelid)),
               format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT;  -- or use a sequence', m.oid::regclass, a.attname)
        FROM moved m JOIN pg_attrdef d ON d.adrelid = m.oid
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum,
             (SELECT ':funcid (' || string_agg(oid::text, '|') || ')\M' AS pattern FROM pg_proc
              WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname ~ '^(txid_|pg_current_xact_id|pg_current_wal_|pg_snapshot_)'
                    OR proname IN ('pg_current_snapshot', 'pg_xact_status', 'pg_xact_commit_timestamp'))) f
        WHERE d.adbin::text ~ f.pattern
        UNION ALL
        SELECT m.label, format('constraint %s computes ids that mean nothing on another server', o.conname),
               format('ALTER TABLE %s DROP CONSTRAINT %I;', m.oid::regclass, o.conname)
        FROM moved m JOIN pg_constraint o ON o.conrelid = m.oid,
             (SELECT ':funcid (' || string_agg(oid::text, '|') || ')\M' AS pattern FROM pg_proc
              WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname ~ '^(txid_|pg_current_xact_id|pg_current_wal_|pg_snapshot_)'
                    OR proname IN ('pg_current_snapshot', 'pg_xact_status', 'pg_xact_commit_timestamp'))) f
        WHERE o.conbin::text ~ f.pattern)sql"},
    Rule{Where::source, fail, "virtual_column", R"sql(
        SELECT m.label, format('column %s is generated when it is read, and the table''s rows are identified by all their'
                               ' columns: PostgreSQL refuses to update such a row of a published table', a.attname),
               format('ALTER TABLE %s ADD PRIMARY KEY (...);  -- with REPLICA IDENTITY DEFAULT; or exclude the table', m.oid::regclass)
        FROM moved m JOIN pg_class c USING (oid)
        JOIN pg_attribute a ON a.attrelid = m.oid AND a.attgenerated = 'v' AND NOT a.attisdropped
        WHERE c.relreplident = 'f' OR (c.relreplident = 'd' AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = m.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid)))sql"},
    Rule{Where::source, warn, "oid_column", R"sql(
        SELECT m.label, format('column %s holds %s values: those of this server mean nothing on the target', a.attname,
                               format_type(a.atttypid, NULL)),
               format('SELECT DISTINCT %I FROM %s;  -- look whether they are the application''s own numbers', a.attname, m.oid::regclass)
        FROM moved m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE 'oid'::regtype IN (a.atttypid, t.typbasetype, t.typelem) OR 'pg_lsn'::regtype IN (a.atttypid, t.typbasetype))sql"},
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
    Rule{Where::source, information, "inheritance", R"sql(
        SELECT m.label, format('it inherits from %s: each of the two is moved with its own rows', string_agg(p.oid::regclass::text, ', ')), ''
        FROM moved m JOIN pg_inherits h ON h.inhrelid = m.oid JOIN pg_class p ON p.oid = h.inhparent AND p.relkind = 'r'
        GROUP BY m.label ORDER BY 1)sql"},
    // Those that ended in the past are no longer in use; one that is a partition itself ends where
    // its parent goes on. Not every date is a timestamp.
    Rule{Where::source, warn, "partition_end", R"sql(
        SELECT label, format('its last partition ends at %s', max(upto)),
               format('CREATE TABLE ... PARTITION OF %s FOR VALUES FROM (%L) TO (...);', oid::regclass, max(upto))
        FROM (SELECT m.oid, m.label, CASE WHEN b.upto ~ '^[12][0-9]{3}-' AND b.upto !~ 'BC$' THEN b.upto::timestamptz END AS upto
              FROM all_relations m JOIN pg_partitioned_table k ON k.partrelid = m.oid JOIN pg_class c ON c.oid = m.oid
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.partattrs[0] AND a.atttypid IN (1082, 1114, 1184)
              JOIN pg_inherits h ON h.inhparent = c.oid JOIN pg_class p ON p.oid = h.inhrelid
              CROSS JOIN LATERAL (SELECT substring(pg_get_expr(p.relpartbound, p.oid) FROM 'TO \(''([^'']*)''')) b (upto)
              WHERE k.partstrat = 'r' AND k.partnatts = 1 AND k.partdefid = 0 AND NOT c.relispartition) partitions
        GROUP BY oid, label HAVING bool_and(upto IS NOT NULL) AND max(upto) BETWEEN now() AND now() + interval '14 days'
        ORDER BY 1)sql"},
    // A server tells which index of a table is being built, but of REINDEX only one at a time; who
    // drops one concurrently has a lock on it.
    Rule{Where::source, fail, "invalid_index", R"sql(
        SELECT m.label, format(CASE WHEN w.verb IS NULL THEN 'index %s is INVALID: it is not carried, and then the schemas differ'
                                    ELSE 'index %s is being %s just now, by server process %s: until that is over it is INVALID, and'
                                         ' such a one is not carried' END, x.relname, w.verb, w.pid),
               CASE WHEN w.verb IS NULL THEN format('REINDEX INDEX CONCURRENTLY %s;  -- or DROP INDEX %1$s;', i.indexrelid::regclass)
                    ELSE format('SELECT * FROM %s WHERE pid = %s;  -- wait for its end, or pg_terminate_backend(%2$s) and DROP INDEX %s;',
                                w.view, w.pid, i.indexrelid::regclass) END
        FROM moved m JOIN pg_index i ON i.indrelid = m.oid JOIN pg_class x ON x.oid = i.indexrelid
        LEFT JOIN LATERAL (
            SELECT 'built', p.pid, 'pg_stat_progress_create_index' FROM pg_stat_progress_create_index p
            WHERE p.datname = current_database() AND p.relid = i.indrelid AND (p.index_relid = i.indexrelid
              OR p.command = 'REINDEX CONCURRENTLY' AND x.relname ~ '_cc(new|old)[0-9]*$')
            UNION ALL SELECT 'dropped', l.pid, 'pg_stat_activity' FROM pg_locks l
            WHERE l.locktype = 'relation' AND l.relation = i.indexrelid AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            LIMIT 1) w (verb, pid, view) ON true
        WHERE NOT (i.indisvalid AND i.indisready))sql"},
    Rule{Where::source, fail, "disabled_constraint", R"sql(
        SELECT m.label, format('constraint %s is not looked after: triggers of it are disabled (ALTER TABLE ... DISABLE TRIGGER'
                               ' ALL); a dump does not carry that, so its rows are checked on the target, and then the schemas differ',
                               o.conname),
               string_agg(format('ALTER TABLE %s ENABLE TRIGGER %I; ', t.tgrelid::regclass, t.tgname), '' ORDER BY t.oid)
                   || '-- when the rows that break it are mended'
        FROM moved m JOIN pg_constraint o ON o.conrelid = m.oid AND o.contype <> 't'
        JOIN pg_trigger t ON t.tgconstraint = o.oid AND t.tgisinternal AND t.tgenabled = 'D'
        GROUP BY m.label, o.conname ORDER BY 1, 2)sql"},
    Rule{Where::source, warn, "not_valid_constraint", R"sql(
        SELECT m.label, format('constraint %s is NOT VALID: a row that breaks it cannot be written again on the follower', o.conname),
               format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', m.oid::regclass, o.conname)
        FROM moved m JOIN pg_constraint o ON o.conrelid = m.oid WHERE NOT o.convalidated AND o.contype IN ('c', 'f', 'n'))sql"},
    // What depends on a function of the database's own, by way of a constraint, default, index or
    // domain.
    Rule{Where::source, warn, "row_function", R"sql(
        SELECT DISTINCT 'function ' || p.oid::regprocedure,
               'constraints, generated columns or indexes call it for each copied row, and it ' || CASE
                   WHEN p.prosrc ~* '\mfrom\M' THEN 'reads tables, which are copied in another order'
                   ELSE 'is not IMMUTABLE' END,
               format('ALTER FUNCTION %s SET search_path = public;  -- with the schemas it needs; and let it read no tables',
                      p.oid::regprocedure)
        FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
        JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
        WHERE p.oid >= 16384 AND (p.provolatile <> 'i' OR p.prosrc ~* '\mfrom\M')
          AND (d.classid = 'pg_constraint'::regclass
               OR d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = d.objid)
               OR d.classid = 'pg_attrdef'::regclass AND EXISTS (
                   SELECT FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                   WHERE f.oid = d.objid AND a.attgenerated <> ''))
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
        ORDER BY 1)sql"},
};

}  // namespace

std::span<const Rule> table_rules() { return rules; }

}  // namespace segue::backfill::postgres
