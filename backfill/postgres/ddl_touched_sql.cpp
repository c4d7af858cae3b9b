#include "backfill/postgres/ddl_touched_sql.hpp"

namespace segue::backfill::postgres {

// The moved tables that a command has made or changed, with those of what inherits from them that
// it has locked: what it has not, others change at the same time, and what it looks like then is
// nothing to compare. So ATTACH and DETACH tell of the parent and of that partition. NULL: none; an
// empty list: only such that are not moved.
const char* const ddl_touched_query = R"sql(
  WITH RECURSIVE direct AS (
    SELECT CASE d.classid
      WHEN 'pg_class'::regclass THEN coalesce(
        (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = d.objid), d.objid)
      WHEN 'pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.oid = d.objid)
      WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = d.objid)
      WHEN 'pg_rewrite'::regclass THEN (SELECT r.ev_class FROM pg_rewrite r WHERE r.oid = d.objid)
      WHEN 'pg_constraint'::regclass THEN (SELECT o.conrelid FROM pg_constraint o WHERE o.oid = d.objid)
      WHEN 'pg_statistic_ext'::regclass THEN (SELECT x.stxrelid FROM pg_statistic_ext x WHERE x.oid = d.objid)
      END AS oid FROM pg_event_trigger_ddl_commands() d),
  family AS (
    SELECT d.oid FROM direct d
    UNION SELECT h.inhrelid FROM pg_inherits h JOIN family f ON h.inhparent = f.oid),
  locked AS MATERIALIZED (
    SELECT l.relation AS oid, l.mode FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.granted AND l.pid = pg_backend_pid()
      AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')),
  -- Nothing else tells which one was detached. The other form leaves a check behind that is not the same
  -- text on both sides where it is of a hash.
  detached AS (
    SELECT l.oid FROM locked l JOIN pg_class c ON c.oid = l.oid AND NOT c.relispartition
    WHERE (SELECT EXISTS (SELECT FROM direct d JOIN pg_class p ON p.oid = d.oid AND p.relkind = 'p')
                  AND current_query() ~* '\ydetach\y' AND current_query() !~* '\yconcurrently\y')
      AND l.mode = 'AccessExclusiveLock')
  SELECT CASE WHEN count(*) > 0 THEN
    coalesce(array_agg(c.oid) FILTER (WHERE n.nspname || '.' || c.relname <> ALL (%EXCLUDE%)), '{}') END
  FROM (SELECT f.oid FROM family f
        WHERE f.oid IN (SELECT d.oid FROM direct d) OR f.oid IN (SELECT l.oid FROM locked l)
        UNION SELECT d.oid FROM detached d) AS f
  JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass
                    AND x.objid = c.oid AND x.deptype = 'e'))sql";

// Of those tables the ones that stay as they are until the end of the transaction, because the
// command has locked them. Others it knows nothing of, and a look at them may wait: who comments on
// an index has not locked its table. An index that was built concurrently is the last thing that
// its transaction does, so a lock for it holds nobody up.
const char* const ddl_steady_body = R"sql(
DECLARE
  made record;
  steady oid[] := tables;
BEGIN
  FOR made IN
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (tables) AND NOT EXISTS (
      SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.granted AND l.pid = pg_backend_pid()
        AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
        AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
  LOOP
    BEGIN
      IF tag <> 'CREATE INDEX' THEN RAISE lock_not_available; END IF;
      EXECUTE 'LOCK TABLE ONLY ' || made.name || ' IN ACCESS SHARE MODE NOWAIT';
    EXCEPTION WHEN lock_not_available THEN
      steady := array_remove(steady, made.oid);
    END;
  END LOOP;
  RETURN steady;
END)sql";

}  // namespace segue::backfill::postgres
