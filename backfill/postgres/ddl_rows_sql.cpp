#include "backfill/postgres/ddl_rows_sql.hpp"

namespace segue::backfill::postgres {

// Tables whose rows the stream could not name any more: the application's next UPDATE would fail.
const char* const ddl_nameless_condition = R"sql(
      CASE c.relreplident WHEN 'f' THEN false WHEN 'n' THEN true ELSE NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique
          AND i.indimmediate AND i.indpred IS NULL
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END)sql";

const char* const ddl_nameless_query = R"sql(
  SELECT coalesce(array_agg(c.oid), '{}') FROM pg_class c
  WHERE c.relkind = 'r' AND c.relreplident <> 'f' AND %NAMELESS%
    AND EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE r.prrelid = c.oid AND p.pubname = ANY (%PUBLICATIONS%)))sql";

// A publication that is locked by no other transaction, and none of those: from 15 on adding a
// table to one locks it until the end, and applications that make tables would wait for each other.
// Who has its row here has it, and nothing of ours locks a publication without; advisory locks
// would be anybody's. NULL where there is none.
const char* const ddl_publication_body = R"sql(
DECLARE found text;
BEGIN
  SELECT p.name INTO found FROM segue.ddl_publication p
  WHERE p.number >= 0 AND p.name <> ALL (tried)
  ORDER BY (p.number + pg_backend_pid()) % %COUNT% LIMIT 1 FOR UPDATE SKIP LOCKED;
  RETURN found;
END)sql";

// Who is not patient stands in no queue of others meanwhile: whoever waits in a circle with an
// application's transaction may fail it. So what is locked is asked for again.
const char* const ddl_publish_body = R"sql(
DECLARE
  found text; tried text[] := '{}';
BEGIN
  LOOP
    BEGIN
      IF NOT patient THEN EXECUTE 'LOCK TABLE ONLY ' || name || ' IN SHARE UPDATE EXCLUSIVE MODE NOWAIT'; END IF;
      found := segue.ddl_publication(tried);
      IF found IS NOT NULL THEN
        PERFORM segue.ddl_run(format('ALTER PUBLICATION %I ADD TABLE ONLY ', found) || name);
        RETURN;
      END IF;
    EXCEPTION WHEN lock_not_available THEN
      IF patient THEN RAISE; END IF;
      IF clock_timestamp() >= ends THEN
        RAISE EXCEPTION 'others have locked % all the time', name USING ERRCODE = 'lock_not_available';
      END IF;
    END;
    IF found IS NULL AND clock_timestamp() >= ends THEN
      RAISE EXCEPTION 'too many transactions make tables at once' USING ERRCODE = '53400';
    END IF;
    -- Somebody else's, who has not taken its row.
    tried := CASE WHEN found IS NULL THEN '{}' ELSE tried || found END;
    found := NULL;
    PERFORM pg_sleep(0.01);
  END LOOP;
END)sql";

// Tables that rows are to be moved of: published, and with a name for each row. Returns those that
// were not published before. What cannot be followed is published no more, so that the next UPDATE
// does not fail, and the stream stops here: where others use the table, for who is not patient
// waits for nobody to end; and where a column is generated when it is read, because the server lets
// no row with one be named by all its columns. What was named by all its columns for want of a key
// is named by the key that the command, which has the table for itself, has given it.
const char* const ddl_adopt_body = R"sql(
DECLARE
  made record;
  fresh oid[];
  why text;
  ends timestamptz := clock_timestamp() + interval '%WAIT_MAX% ms';
BEGIN
  PERFORM set_config('segue.ddl_own', (SELECT token FROM segue.ddl_token), true);
  FOR made IN
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname, c.relname,
      c.relreplident AS identity, %NAMELESS% AS nameless,
      (%NAMELESS% OR c.relreplident = 'f') AND EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attgenerated = 'v' AND NOT a.attisdropped) AS virtual,
      c.relreplident = 'f'
        AND EXISTS (SELECT FROM segue.saved s WHERE s.kind = 'replica_identity_of' AND s.object = c.oid::text AND s.previous <> 'n')
        AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisprimary AND i.indimmediate)
        AND EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.granted
          AND l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock'
          AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())) AS has_key_now,
      (SELECT min(p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
       WHERE r.prrelid = c.oid AND p.pubname = ANY (%PUBLICATIONS%)) AS publication
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (tables) AND c.relkind = 'r' AND c.relpersistence = 'p'
  LOOP
    IF made.has_key_now THEN
      PERFORM segue.ddl_run('ALTER TABLE ONLY ' || made.name || ' REPLICA IDENTITY DEFAULT');
      DELETE FROM segue.saved WHERE (kind = 'replica_identity_of' AND object = made.oid::text)
        OR (kind = 'replica_identity' AND object = made.name);
      made.virtual := false;
    END IF;
    why := CASE WHEN made.virtual THEN 'a column of it is generated when it is read, and the server changes no such row where all'
      ' columns name it' END;
    IF why IS NULL AND made.nameless THEN
      BEGIN
        IF NOT patient THEN EXECUTE 'LOCK TABLE ONLY ' || made.name || ' IN ACCESS EXCLUSIVE MODE NOWAIT'; END IF;
        INSERT INTO segue.saved VALUES ('replica_identity', made.name, made.identity),
                                       ('replica_identity_of', made.oid::text, made.identity)
          ON CONFLICT DO NOTHING;
        PERFORM segue.ddl_run('ALTER TABLE ONLY ' || made.name || ' REPLICA IDENTITY FULL');
      EXCEPTION WHEN lock_not_available THEN
        IF patient THEN RAISE; END IF;
        why := 'its rows have no name by which they could be followed, and others used it';
      END;
    END IF;
    IF why IS NOT NULL THEN
      PERFORM segue.ddl_let_go(made.oid, made.publication, why, ends, patient);
    ELSIF made.publication IS NULL THEN
      PERFORM segue.ddl_publish(made.name, ends, patient);
      fresh := fresh || made.oid;
    END IF;
  END LOOP;
  PERFORM set_config('segue.ddl_own', '', true);
  RETURN fresh;
END)sql";

// Not even its publication may be had in time.
const char* const ddl_let_go_body = R"sql(
DECLARE
  name text; mend text; drops text; schema_of text; name_of text; is_virtual boolean;
BEGIN
  SELECT format('%I.%I', n.nspname, c.relname), n.nspname, c.relname,
      EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v' AND NOT a.attisdropped)
    INTO name, schema_of, name_of, is_virtual
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
  mend := CASE WHEN is_virtual THEN ' ADD PRIMARY KEY (...)' ELSE ' REPLICA IDENTITY FULL' END;
  drops := CASE WHEN publication IS NOT NULL THEN format('ALTER PUBLICATION %I DROP TABLE ONLY ', publication) || name END;
  WHILE drops IS NOT NULL LOOP
    BEGIN
      IF NOT patient THEN
        PERFORM FROM segue.ddl_publication p WHERE p.name = ddl_let_go.publication FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN RAISE lock_not_available; END IF;
        EXECUTE 'LOCK TABLE ONLY ' || name || ' IN SHARE UPDATE EXCLUSIVE MODE NOWAIT';
      END IF;
      PERFORM segue.ddl_run(drops);
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      IF patient THEN RAISE; END IF;
    END;
    IF clock_timestamp() >= ends THEN
      why := why || '; its publication was locked, too, so until it is mended the server refuses to change its rows';
      EXIT;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  IF patient THEN RETURN; END IF;
  PERFORM segue.ddl_record('ALTER TABLE', ARRAY['role', session_user::text], ARRAY['table ' || name], ARRAY[schema_of],
    ARRAY[name_of], 1, why || ', so it is not followed from here on. On this side: ALTER TABLE ' || name || mend
    || ', ALTER PUBLICATION ' || coalesce(quote_ident(publication), '...') || ' ADD TABLE ONLY ' || name
    || '; afterwards segue repair');
END)sql";

// At the event before a table is rewritten, with values that the command computes and the stream
// does not show: by a default that is not the same for all rows (2), or by an expression for a new
// type (4). A new type alone is the same computation on both sides. Code of the application runs
// until the command's end, and whatever it can do, it cannot give up such a lock; to have taken it
// before makes us only look twice.
const char* const ddl_rewritten_body = R"sql(
DECLARE
  relation oid := pg_event_trigger_table_rewrite_oid();
  reason int := pg_event_trigger_table_rewrite_reason();
BEGIN
  IF (reason & 2 = 0 AND (reason & 4 = 0 OR (current_query() !~* '\yusing\y' AND NOT EXISTS (SELECT FROM pg_cast WHERE castfunc >= 16384)))
      -- A column that comes with it: its default is written into the rows, and now() is not now() again.
      AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.atthasmissing AND NOT a.attisdropped
                      AND age(a.xmin) <= 0))
     OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relpersistence <> 't') THEN
    RETURN;
  END IF;
  IF NOT pg_try_advisory_xact_lock_shared(%REWRITTEN_LOCK%, relation::bigint::bit(32)::int) THEN
    RAISE EXCEPTION 'somebody has the lock that tells of rewritten rows' USING ERRCODE = '55P03';
  END IF;
END)sql";

// Tables whose computed values are not written once more yet. What is returned counts as written.
const char* const ddl_computed_body = R"sql(
DECLARE computed oid[];
BEGIN
  WITH held AS MATERIALIZED (
    SELECT l.classid, l.objid FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.pid = pg_backend_pid() AND l.mode = 'ShareLock')
  SELECT array_agg(c.oid) INTO computed FROM pg_class c
    WHERE c.oid IN (SELECT h.objid FROM held h WHERE h.classid = %REWRITTEN_LOCK%)
      AND c.relfilenode NOT IN (SELECT h.objid FROM held h WHERE h.classid = %SHOWN_LOCK%);
  PERFORM pg_try_advisory_xact_lock_shared(%SHOWN_LOCK%, c.relfilenode::bigint::bit(32)::int)
    FROM pg_class c WHERE c.oid = ANY (computed);
  RETURN computed;
END)sql";

// Why the rows of such a table cannot be written once more; NULL where they can.
const char* const ddl_obstacle_body = R"sql(
  SELECT CASE
    WHEN c.relreplident = 'f' THEN 'the table has no key, or its REPLICA IDENTITY is FULL'
    WHEN pg_relation_size(c.oid) > %REWRITE_MAX% THEN
      'the table is larger than %REWRITE_MAX% bytes'
    WHEN current_setting('transaction_isolation') <> 'read committed' THEN
      'it was run in a transaction that is not READ COMMITTED'
    WHEN c.relforcerowsecurity THEN 'row security is forced upon its owner'
    WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('A', 'R')
                 AND NOT t.tgisinternal AND t.tgname <> 'segue_fence' AND t.tgtype & 16 <> 0)
      OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '2'
                 AND r.ev_enabled IN ('A', 'R')) THEN
      'the table has a trigger or rule that fires always'
    WHEN c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) > 0
      AND (current_query() ~* '\yusing\y' OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND a.atthasdef AND a.attlen = -1 AND a.attstorage IN ('x', 'e'))) THEN
      'the table has large values, which the stream would leave out'
    WHEN segue.ddl_plain_column(c.oid) IS NULL THEN 'the table has no column that may be updated'
    END
  FROM pg_class c WHERE c.oid = ANY (computed)
  ORDER BY 1 LIMIT 1)sql";

const char* const ddl_plain_column_body = R"sql(
  SELECT a.attname FROM pg_attribute a
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND a.attidentity <> 'a' ORDER BY a.attnum LIMIT 1)sql";

// Writes computed rows once more, so that the stream has them behind the command: as the table's
// owner, in the sandbox, because what tables compute by themselves (checks, indexes) is code of
// applications. As the replica role: no trigger fires, and no value changes.
const char* const ddl_show_body = R"sql(
DECLARE made record; publication text;
BEGIN
  FOR made IN SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner,
        segue.ddl_plain_column(c.oid) AS col
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY (computed) AND c.relkind = 'r' LOOP
    PERFORM segue.ddl_as(made.owner, '{}', 'UPDATE', format('UPDATE ONLY %s SET %I = %I', made.name, made.col, made.col));
  END LOOP;
  -- Of a table that was made from a query: rows that were written before it was published. They are
  -- the ones of earlier commands than their copies. Nothing of the table is planned but in the sandbox.
  FOR made IN SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid, pg_get_userbyid(c.relowner) AS owner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY (filled) AND c.relkind = 'r' LOOP
    CONTINUE WHEN pg_relation_size(made.oid) = 0;
    SELECT p.pubname INTO STRICT publication FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
      WHERE r.prrelid = made.oid AND p.pubname = ANY (%PUBLICATIONS%);
    PERFORM segue.ddl_as(made.owner, '{}', 'INSERT', format('INSERT INTO %s SELECT * FROM ONLY %s', made.name, made.name));
    EXECUTE format('ALTER PUBLICATION %I DROP TABLE ', publication) || made.name;
    PERFORM segue.ddl_as(made.owner, '{}', 'DELETE', format('DELETE FROM ONLY %s WHERE cmin::text::bigint <'
      ' (SELECT max(cmin::text::bigint) FROM ONLY %s)', made.name, made.name));
    EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY ', publication) || made.name;
  END LOOP;
END)sql";

}  // namespace segue::backfill::postgres
