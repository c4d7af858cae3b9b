#include "backfill/postgres/ddl_capture_sql.hpp"

#include <utility>
#include <vector>

#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/schema_signature.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// What a command's meaning may depend on. Read as the one who runs it: a function with a search
// path of its own would see that one. Nothing is recorded of what Segue's own functions do.
constexpr const char* context_body = R"sql(
BEGIN
  PERFORM pg_catalog.set_config('segue.ddl_context', CASE
    WHEN pg_catalog.current_setting('segue.ddl_own', true) OPERATOR(pg_catalog.=) 'on' THEN ''
    ELSE ARRAY['role', current_user::pg_catalog.text,
      'search_path', pg_catalog.current_setting('search_path'),
      'TimeZone', pg_catalog.current_setting('TimeZone'),
      'DateStyle', pg_catalog.current_setting('DateStyle'),
      'IntervalStyle', pg_catalog.current_setting('IntervalStyle'),
      'standard_conforming_strings', pg_catalog.current_setting('standard_conforming_strings'),
      'check_function_bodies', pg_catalog.current_setting('check_function_bodies'),
      'default_tablespace', pg_catalog.current_setting('default_tablespace'),
      'default_table_access_method', pg_catalog.current_setting('default_table_access_method'),
      'extra_float_digits', pg_catalog.current_setting('extra_float_digits'),
      'bytea_output', pg_catalog.current_setting('bytea_output'),
      'xmloption', pg_catalog.current_setting('xmloption'),
      'array_nulls', pg_catalog.current_setting('array_nulls'),
      'transform_null_equals', pg_catalog.current_setting('transform_null_equals')
      ]::pg_catalog.text[]::pg_catalog.text END, true);
END)sql";

// What the moved tables of these names look like, the same text on both sides.
constexpr const char* look_body = R"sql(
  SELECT coalesce(array_agg(concat_ws(' | ', t.name, t.kind, t.object, t.definition)
                            ORDER BY t.name, t.kind, t.object), '{}')
  FROM (%SIGNATURE%) AS t(name, kind, object, definition))sql";

// Tables that rows are to be moved of: published, and with a name for each row.
constexpr const char* adopt_body = R"sql(
DECLARE made record;
BEGIN
  FOR made IN
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
      NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                  WHERE r.prrelid = c.oid AND p.pubname = %PUBLICATION%) AS unpublished,
      CASE c.relreplident WHEN 'f' THEN false WHEN 'n' THEN true ELSE NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique
          AND i.indimmediate AND i.indpred IS NULL
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) END AS nameless,
      EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 's') AS generates
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (tables) AND c.relkind = 'r' AND c.relpersistence = 'p'
      AND EXISTS (SELECT FROM pg_publication WHERE pubname = %PUBLICATION%)
  LOOP
    IF made.nameless THEN
      INSERT INTO segue.saved VALUES ('replica_identity', made.name, made.identity)
        ON CONFLICT DO NOTHING;
      EXECUTE 'ALTER TABLE ONLY ' || made.name || ' REPLICA IDENTITY FULL';
      IF made.generates AND current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE format('ALTER PUBLICATION %I SET (publish_generated_columns = stored)', %PUBLICATION%);
      END IF;
    END IF;
    IF made.unpublished THEN
      EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY ', %PUBLICATION%) || made.name;
    END IF;
  END LOOP;
END)sql";

// Of moved tables only. Values that rows have without having been written ("fast defaults") were
// computed by the command: the follower must take them from here.
constexpr const char* record_body = R"sql(
DECLARE
  text_size int := octet_length(current_query());
BEGIN
  INSERT INTO segue.ddl (tag, objects, command, settings, table_schemas, table_names, look, missing, refusal)
  SELECT tag, objects, CASE WHEN text_size <= %TEXT_MAX% THEN current_query() ELSE '' END, context::text[], schemas, names,
    segue.ddl_look((SELECT array_agg(s.s || '.' || s.n) FROM unnest(schemas, names) AS s(s, n))),
    coalesce((SELECT array_agg(ARRAY[s.s, s.n, a.attname, a.attmissingval::text]::text)
        FROM unnest(schemas, names) AS s(s, n) JOIN pg_namespace n ON n.nspname = s.s
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.n
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.atthasmissing AND NOT a.attisdropped), '{}'),
    CASE WHEN text_size > %TEXT_MAX% THEN 'its text is larger than %TEXT_MAX% bytes' ELSE why END;
END)sql";

// Remembers until the command's end what it rewrites, and why (the server's bits).
constexpr const char* rewrite_body = R"sql(
BEGIN
  PERFORM set_config('segue.ddl_rewritten', coalesce(current_setting('segue.ddl_rewritten', true), '')
    || pg_event_trigger_table_rewrite_oid() || ' ' || pg_event_trigger_table_rewrite_reason() || ' ',
    true);
END)sql";

// Tables with values that the command has computed and the stream does not show: by a default that
// is not the same for all rows (2), or by an expression for a new type (4). A new type alone is the
// same computation on both sides.
constexpr const char* computed_body = R"sql(
DECLARE
  words text[] := string_to_array(trim(coalesce(current_setting('segue.ddl_rewritten', true), '')), ' ');
  computed oid[];
BEGIN
  PERFORM set_config('segue.ddl_rewritten', '', true);
  SELECT array_agg(words[i]::oid) INTO computed
  FROM generate_series(1, coalesce(array_length(words, 1), 0) - 1, 2) i
  WHERE words[i + 1]::int & 2 <> 0 OR (words[i + 1]::int & 4 <> 0 AND current_query() ~* '\yusing\y');
  RETURN computed;
END)sql";

// Why the rows of such a table cannot be written once more; NULL where they can.
constexpr const char* obstacle_body = R"sql(
  SELECT CASE
    WHEN c.relreplident = 'f' THEN 'the table has no key'
    WHEN pg_relation_size(c.oid) > %REWRITE_MAX% THEN
      'the table is larger than %REWRITE_MAX% bytes'
    WHEN current_setting('transaction_isolation') <> 'read committed' THEN
      'it was run in a transaction that is not READ COMMITTED'
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

constexpr const char* plain_column_body = R"sql(
  SELECT a.attname FROM pg_attribute a
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND a.attidentity <> 'a' ORDER BY a.attnum LIMIT 1)sql";

// Writes computed rows once more, so that the stream has them behind the command. As the replica
// role: no trigger of the application fires, and no value changes.
constexpr const char* show_body = R"sql(
DECLARE made record; last_row tid;
BEGIN
  FOR made IN SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid, segue.ddl_plain_column(c.oid) AS col
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY (computed) AND c.relkind = 'r' LOOP
    EXECUTE format('UPDATE ONLY %s SET %I = %I', made.name, made.col, made.col);
  END LOOP;
  -- Of a table that was made from a query: rows that were written before it was published.
  FOR made IN SELECT format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = ANY (filled) AND c.relkind = 'r' LOOP
    EXECUTE 'SELECT max(ctid) FROM ONLY ' || made.name INTO last_row;
    CONTINUE WHEN last_row IS NULL;
    EXECUTE format('INSERT INTO %s SELECT * FROM ONLY %s', made.name, made.name);
    EXECUTE format('ALTER PUBLICATION %I DROP TABLE ', %PUBLICATION%) || made.name;
    EXECUTE format('DELETE FROM ONLY %s WHERE ctid <= $1', made.name) USING last_row;
    EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY ', %PUBLICATION%) || made.name;
  END LOOP;
END)sql";

// The mover's own commands are not recorded; what they did is told to the mover itself.
constexpr const char* ours_body = R"sql(
BEGIN
  IF %NOT_MOVER% THEN RETURN false; END IF;
  PERFORM set_config('segue.ddl_did', (tag || objects)::text, true);
  RETURN true;
END)sql";

// What a command has made or changed. Drops have a trigger of their own, which knows the names.
constexpr const char* end_body = R"sql(
DECLARE
  -- Read first: commands of our own functions empty it.
  context text := coalesce(current_setting('segue.ddl_context', true), '');
  objects text[]; touched oid[]; mentioned boolean; obstacle text;
  computed oid[] := segue.ddl_computed();
  queried boolean := TG_TAG IN ('CREATE TABLE AS', 'SELECT INTO');
BEGIN
  IF context = '' OR TG_TAG LIKE 'DROP %'
     OR TG_TAG LIKE '% PUBLICATION' OR TG_TAG LIKE '% SUBSCRIPTION' OR TG_TAG = 'REINDEX' THEN
    RETURN;
  END IF;
  SELECT array_agg(d.object_type || ' ' || coalesce(d.object_identity, '')) INTO objects
  FROM pg_event_trigger_ddl_commands() d
  WHERE NOT d.in_extension AND coalesce(d.schema_name, '') NOT IN ('segue', 'pg_temp')
    AND coalesce(d.object_identity, '') !~ '(^| on )(pg_temp(_[0-9]+)?|segue)\.';
  IF objects IS NULL OR segue.ddl_is_ours(TG_TAG, objects) THEN RETURN; END IF;
  WITH RECURSIVE direct AS (
    SELECT CASE d.classid
      WHEN 'pg_class'::regclass THEN coalesce(
        (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = d.objid), d.objid)
      WHEN 'pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.oid = d.objid)
      WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = d.objid)
      WHEN 'pg_rewrite'::regclass THEN (SELECT r.ev_class FROM pg_rewrite r WHERE r.oid = d.objid)
      WHEN 'pg_constraint'::regclass THEN (SELECT o.conrelid FROM pg_constraint o WHERE o.oid = d.objid)
      END AS oid FROM pg_event_trigger_ddl_commands() d),
  family AS (
    SELECT d.oid FROM direct d
    UNION SELECT h.inhrelid FROM pg_inherits h JOIN family f ON h.inhparent = f.oid)
  SELECT array_agg(c.oid) FILTER (WHERE n.nspname || '.' || c.relname <> ALL (%EXCLUDE%)), count(*) > 0
  INTO touched, mentioned
  FROM family f JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass
                    AND x.objid = c.oid AND x.deptype = 'e');
  IF touched IS NULL AND mentioned THEN RETURN; END IF;
  PERFORM segue.ddl_adopt(touched);
  obstacle := segue.ddl_obstacle(computed);
  IF queried AND EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (touched)
                         AND pg_relation_size(c.oid) > %REWRITE_MAX%) THEN
    obstacle := 'the table is larger than %REWRITE_MAX% bytes';
  END IF;
  PERFORM segue.ddl_record(context, TG_TAG, objects,
    coalesce((SELECT array_agg(n.nspname ORDER BY c.oid) FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (touched)), '{}')::text[],
    coalesce((SELECT array_agg(c.relname ORDER BY c.oid) FROM pg_class c
              WHERE c.oid = ANY (touched)), '{}')::text[],
    coalesce('it computes values that the stream does not show, and ' || obstacle, ''));
  IF obstacle IS NULL THEN
    PERFORM segue.ddl_show(computed, CASE WHEN queried THEN touched END);
  END IF;
END)sql";

constexpr const char* drop_body = R"sql(
DECLARE
  context text := coalesce(current_setting('segue.ddl_context', true), '');
  objects text[];
BEGIN
  IF context = '' OR TG_TAG NOT LIKE 'DROP %'
     OR TG_TAG LIKE '% PUBLICATION' OR TG_TAG LIKE '% SUBSCRIPTION' THEN
    RETURN;
  END IF;
  SELECT array_agg(d.object_type || ' ' || coalesce(d.object_identity, '')) INTO objects
  FROM pg_event_trigger_dropped_objects() d
  WHERE d.original AND NOT d.is_temporary AND coalesce(d.schema_name, '') <> 'segue'
    AND coalesce(d.object_identity, '') !~ '(^| on )(pg_temp(_[0-9]+)?|segue)\.'
    AND NOT (d.object_type = 'table'
             AND coalesce(d.schema_name || '.' || d.object_name = ANY (%EXCLUDE%), false));
  IF objects IS NULL OR segue.ddl_is_ours(TG_TAG, objects) THEN RETURN; END IF;
  PERFORM segue.ddl_record(context, TG_TAG, objects, coalesce(array_agg(d.schema_name), '{}'),
                           coalesce(array_agg(d.object_name), '{}'), '')
  FROM pg_event_trigger_dropped_objects() d
  WHERE d.object_type = 'table' AND NOT d.is_temporary;
END)sql";

std::string filled(std::string text,
                   const std::vector<std::pair<std::string, std::string>>& values) {
    for (const auto& [name, value] : values) {
        const std::string mark = "%" + name + "%";
        for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
            text.replace(at, mark.size(), value);
            at += value.size();
        }
    }
    return text;
}

std::string function_sql(const std::string& head,
                         const std::string& attributes,
                         const std::string& body) {
    return "CREATE OR REPLACE FUNCTION segue." + head + " " + attributes + " AS " +
           quote_literal(body) + ";\n";
}

}  // namespace

const char* const ddl_function_names =
    "segue.ddl_end(), segue.ddl_drop(), segue.ddl_rewrite(), segue.ddl_context(),"
    " segue.ddl_record(text, text, text[], text[], text[], text), segue.ddl_is_ours(text, text[]),"
    " segue.ddl_show(oid[], oid[]), segue.ddl_obstacle(oid[]), segue.ddl_plain_column(oid),"
    " segue.ddl_computed(), segue.ddl_adopt(oid[]), segue.ddl_look(text[])";

const char* const ddl_event_triggers_sql = R"sql(DO $$ DECLARE made record; BEGIN
  FOR made IN SELECT * FROM (VALUES
      ('segue_ddl_1', 'sql_drop', 'context'), ('segue_ddl_2', 'sql_drop', 'drop'),
      ('segue_ddl_5', 'table_rewrite', 'rewrite'), ('segue_ddl_3', 'ddl_command_end', 'context'), ('segue_ddl_4', 'ddl_command_end', 'end'))
      AS v(name, event, what) LOOP
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = made.name) THEN
      EXECUTE format('CREATE EVENT TRIGGER %I ON %s EXECUTE FUNCTION segue.ddl_%s()',
                     made.name, made.event, made.what);
    END IF;
    EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', made.name);
  END LOOP;
END $$)sql";

std::string ddl_functions_sql(const DdlCapture& capture) {
    const std::vector<std::pair<std::string, std::string>> values = {
        {"NOT_MOVER", not_the_mover_sql(capture.role, capture.migration_id)},
        {"PUBLICATION", quote_literal(capture.publication)},
        {"EXCLUDE", quote_literal(text_array(capture.exclude)) + "::text[]"},
        {"TEXT_MAX", std::to_string(ddl_text_max)},
        {"REWRITE_MAX", std::to_string(ddl_rewrite_bytes_max)},
        {"SIGNATURE", schema_signature_sql("n.nspname || '.' || c.relname = ANY (names)")}};
    // Values are texts that read the same on both sides, whatever the session's settings.
    const std::string ours =
        " SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET segue.ddl_own = 'on'"
        " SET session_replication_role = replica SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'"
        " SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex'";
    const std::string plain = " SET search_path = pg_catalog, pg_temp";
    const std::string trigger = "RETURNS event_trigger LANGUAGE plpgsql";
    return function_sql("ddl_context()", trigger, context_body) +
           function_sql("ddl_look(names text[])",
                        "RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp",
                        filled(look_body, values)) +
           function_sql("ddl_adopt(tables oid[])",
                        "RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"
                        " SET segue.ddl_own = 'on'",
                        filled(adopt_body, values)) +
           function_sql("ddl_is_ours(tag text, objects text[])",
                        "RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp",
                        filled(ours_body, values)) +
           function_sql(
               "ddl_record(context text, tag text, objects text[], schemas text[], names text[], "
               "why text)",
               "RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp",
               filled(record_body, values)) +
           function_sql("ddl_computed()", "RETURNS oid[] LANGUAGE plpgsql" + plain, computed_body) +
           function_sql("ddl_plain_column(relation oid)",
                        "RETURNS name LANGUAGE sql STABLE" + plain,
                        plain_column_body) +
           function_sql("ddl_obstacle(computed oid[])",
                        "RETURNS text LANGUAGE sql STABLE" + plain,
                        filled(obstacle_body, values)) +
           function_sql("ddl_show(computed oid[], filled oid[])",
                        "RETURNS void LANGUAGE plpgsql" + plain,
                        filled(show_body, values)) +
           function_sql("ddl_rewrite()", trigger + ours, rewrite_body) +
           function_sql("ddl_end()", trigger + ours, filled(end_body, values)) +
           function_sql("ddl_drop()", trigger + ours, filled(drop_body, values)) +
           "REVOKE ALL ON FUNCTION " + std::string{ddl_function_names} + " FROM PUBLIC";
}

}  // namespace segue::backfill::postgres
