#include "backfill/postgres/ddl_rows_sql.hpp"

namespace segue::backfill::postgres {

// Tables whose rows the stream could not name any more: the application's next UPDATE would fail.
const char* const ddl_nameless_condition = R"sql(
      CASE c.relreplident WHEN 'f' THEN false WHEN 'n' THEN true ELSE NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique
          AND i.indimmediate AND i.indpred IS NULL
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END)sql";

const char* const ddl_nameless_body = R"sql(
  SELECT coalesce(array_agg(c.oid), '{}') FROM pg_class c
  WHERE c.relkind = 'r' AND c.relreplident <> 'f' AND %NAMELESS%
    AND EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE r.prrelid = c.oid AND p.pubname = ANY (%PUBLICATIONS%)))sql";

// A publication that is locked by no other transaction: from 15 on adding a table to one locks it
// until the end, and applications that make tables would wait for each other. Who has its row here
// has it; advisory locks would be anybody's.
const char* const ddl_publication_body = R"sql(
DECLARE found text;
BEGIN
  SELECT p.name INTO found FROM segue.ddl_publication p
  ORDER BY (p.number + pg_backend_pid()) % %COUNT% LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF found IS NULL THEN
    RAISE EXCEPTION 'too many transactions make tables at once' USING ERRCODE = '53400';
  END IF;
  RETURN found;
END)sql";

// Tables that rows are to be moved of: published, and with a name for each row. Returns those that
// were not published before. Who is not patient waits for nobody who uses the table: it is
// published no more then, so that the next UPDATE does not fail, and the stream stops here.
const char* const ddl_adopt_body = R"sql(
DECLARE
  made record;
  fresh oid[];
BEGIN
  PERFORM set_config('segue.ddl_own', (SELECT token FROM segue.ddl_token), true);
  FOR made IN
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, n.nspname, c.relname,
      c.relreplident AS identity, %NAMELESS% AS nameless,
      (SELECT min(p.pubname) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
       WHERE r.prrelid = c.oid AND p.pubname = ANY (%PUBLICATIONS%)) AS publication
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (tables) AND c.relkind = 'r' AND c.relpersistence = 'p'
  LOOP
    IF made.nameless THEN
      BEGIN
        IF NOT patient THEN EXECUTE 'LOCK TABLE ONLY ' || made.name || ' IN ACCESS EXCLUSIVE MODE NOWAIT'; END IF;
        INSERT INTO segue.saved VALUES ('replica_identity', made.name, made.identity),
                                       ('replica_identity_of', made.oid::text, made.identity)
          ON CONFLICT DO NOTHING;
        EXECUTE 'ALTER TABLE ONLY ' || made.name || ' REPLICA IDENTITY FULL';
      EXCEPTION WHEN lock_not_available THEN
        IF made.publication IS NOT NULL THEN
          EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY ', made.publication) || made.name;
        END IF;
        PERFORM segue.ddl_record('ALTER TABLE', ARRAY['role', session_user::text], ARRAY['table ' || made.name],
          ARRAY[made.nspname::text], ARRAY[made.relname::text], 1, 'its rows have no name by which they could be followed, and others'
          || ' used it, so it is not followed from here on. On this side: ALTER TABLE ' || made.name || ' REPLICA IDENTITY FULL, ALTER PUBLICATION '
          || coalesce(quote_ident(made.publication), '...') || ' ADD TABLE ONLY ' || made.name || '; afterwards segue repair');
        CONTINUE;
      END;
    END IF;
    IF made.publication IS NULL THEN
      EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY ', segue.ddl_publication()) || made.name;
      fresh := fresh || made.oid;
    END IF;
  END LOOP;
  PERFORM set_config('segue.ddl_own', '', true);
  RETURN fresh;
END)sql";

// Tables with values that the command has computed and the stream does not show: by a default that
// is not the same for all rows (2), or by an expression for a new type (4). A new type alone is the
// same computation on both sides.
const char* const ddl_computed_body = R"sql(
  WITH taken AS (DELETE FROM segue.ddl_rewrite w WHERE w.xid = pg_current_xact_id() RETURNING w.*)
  SELECT array_agg(DISTINCT t.relation) FROM taken t
  WHERE t.reason & 2 <> 0 OR (t.reason & 4 <> 0
    AND (current_query() ~* '\yusing\y' OR EXISTS (SELECT FROM pg_cast WHERE castfunc >= 16384))))sql";

// Why the rows of such a table cannot be written once more; NULL where they can.
const char* const ddl_obstacle_body = R"sql(
  SELECT CASE
    WHEN c.relreplident = 'f' THEN 'the table has no key'
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
