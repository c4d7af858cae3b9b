#include "backfill/postgres/ddl_capture_sql.hpp"

#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_rows_sql.hpp"
#include "backfill/postgres/ddl_sandbox_sql.hpp"
#include "backfill/postgres/ddl_touched_sql.hpp"
#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// What a command's meaning may depend on. Read as the one who runs it: a function with a search
// path of its own would see that one. Written anew right before it is read (the event triggers fire
// in the order of their names), so whatever an application had set there is gone.
// The second setting: somebody else's rights were lent to the command, as an extension's script has
// those of a superuser. Then the session's text is not what has run with them.
constexpr const char* context_body = R"sql(
BEGIN
  PERFORM pg_catalog.set_config('segue.ddl_lent',
    (current_user::pg_catalog.text OPERATOR(pg_catalog.<>)
       CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none' THEN session_user::pg_catalog.text
            ELSE pg_catalog.current_setting('role') END)::pg_catalog.text, true);
  PERFORM pg_catalog.set_config('segue.ddl_context',
    ARRAY['role', current_user::pg_catalog.text,
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
      'transform_null_equals', pg_catalog.current_setting('transform_null_equals'),
      -- What is dropped is named while it is.
      'quote_all_identifiers', pg_catalog.current_setting('quote_all_identifiers')
      ]::pg_catalog.text[]::pg_catalog.text, true);
END)sql";

// Every event comes here. What is below it in the call stack tells whether a client has sent the
// command itself: only then its text is known. Cancels are not caught: they are the client's. The
// token is read always: finish waits for who has read it. What met a lock leaves nothing behind,
// and is tried again.
constexpr const char* event_body = R"sql(
DECLARE
  stack text;
  settings text[] := '{}';
  state text;
  began timestamptz := clock_timestamp();
BEGIN
  GET DIAGNOSTICS stack = PG_CONTEXT;
  IF NOT (%NOT_MOVER%) THEN
    PERFORM segue.ddl_told(TG_EVENT, TG_TAG);
    RETURN;
  END IF;
  FOR attempt IN 1 .. %ATTEMPTS_MAX% LOOP
    BEGIN
      IF current_setting('segue.ddl_own', true) = (SELECT token FROM segue.ddl_token) THEN RETURN; END IF;
      -- Read before anything else: commands of our own functions come here too, and write it anew.
      IF TG_EVENT <> 'table_rewrite' THEN settings := current_setting('segue.ddl_context')::text[]; END IF;
      PERFORM segue.ddl_caught(TG_EVENT, TG_TAG, settings, strpos(stack, E'\n') > 0,
                               current_setting('segue.ddl_lent', true) IS DISTINCT FROM 'false');
      RETURN;
    EXCEPTION WHEN OTHERS THEN
      state := SQLSTATE;
    END;
    EXIT WHEN state NOT IN ('55P03', '40P01') OR clock_timestamp() > began + interval '%WAIT_MAX% ms';
  END LOOP;
  BEGIN
    PERFORM segue.ddl_missed(TG_EVENT, TG_TAG, settings, state);
  EXCEPTION WHEN OTHERS THEN
    BEGIN
      INSERT INTO segue.ddl (tag, objects, command, place, settings, table_schemas, table_names, look, missing, refusal)
      VALUES (TG_TAG, '{}', '', 1, settings, '{}', '{}', '{}', '{}', 'it could not be captured (' || state || ')');
    EXCEPTION WHEN OTHERS THEN
      -- Segue's role may do nothing any more, say. The stream stops at the table's next row.
      RAISE LOG 'Segue could not capture % (%)', TG_TAG, state;
    END;
  END;
END)sql";

// A function of its own: where Segue's role is no superuser any more, calling it fails.
constexpr const char* caught_body = R"sql(
BEGIN
  IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN RAISE insufficient_privilege; END IF;
  IF event = 'ddl_command_end' THEN
    PERFORM segue.ddl_made(tag, settings, nested, lent);
  ELSIF event = 'sql_drop' THEN
    PERFORM segue.ddl_dropped(tag, settings, nested, lent);
  ELSE
    PERFORM segue.ddl_rewritten();
  END IF;
END)sql";

// What a command has made, changed or dropped, as the server names it; NULL where that is nothing
// of an application's that is moved.
constexpr const char* objects_body = R"sql(
BEGIN
  IF tag LIKE '% PUBLICATION' OR tag LIKE '% SUBSCRIPTION' OR tag = 'REINDEX'
     OR (tag LIKE 'DROP %') <> (event = 'sql_drop') THEN
    RETURN NULL;
  END IF;
  IF event = 'sql_drop' THEN
    RETURN (SELECT array_agg(d.object_type || ' ' || coalesce(d.object_identity, ''))
      FROM pg_event_trigger_dropped_objects() d
      WHERE d.original AND NOT d.is_temporary AND coalesce(d.schema_name, '') <> 'segue'
        AND coalesce(d.object_identity, '') !~ '(^segue_fence on |(^| on )(pg_temp(_[0-9]+)?|segue)\.)'
        AND NOT (d.object_type IN ('trigger', 'policy', 'rule')
                 AND coalesce(d.address_names[1] || '.' || d.address_names[2] = ANY (%EXCLUDE%), false))
        AND NOT (d.object_type = 'table'
                 AND coalesce(d.schema_name || '.' || d.object_name = ANY (%EXCLUDE%), false)));
  END IF;
  RETURN (SELECT array_agg(d.object_type || ' ' || coalesce(d.object_identity, ''))
    FROM pg_event_trigger_ddl_commands() d
    WHERE NOT d.in_extension AND coalesce(d.schema_name, '') NOT IN ('segue', 'pg_temp')
      AND coalesce(d.object_identity, '') !~ '(^segue_fence on |(^| on )(pg_temp(_[0-9]+)?|segue)\.)');
END)sql";

// The stream must stop there, whatever it was.
constexpr const char* missed_body = R"sql(
DECLARE objects text[];
BEGIN
  BEGIN
    objects := segue.ddl_objects(event, tag);
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
  PERFORM segue.ddl_record(tag, settings, coalesce(objects, '{}'), '{}', '{}', 1, 'it could not be captured (' || state || ')');
END)sql";

// The mover's own commands are not recorded; where it asks for it, it is told what they did.
constexpr const char* told_body = R"sql(
DECLARE objects text[];
BEGIN
  IF current_setting('segue.ddl_watch', true) IS DISTINCT FROM 'on'
     OR current_setting('segue.ddl_own', true) = (SELECT token FROM segue.ddl_token)
     OR event NOT IN ('ddl_command_end', 'sql_drop') THEN
    RETURN;
  END IF;
  objects := segue.ddl_objects(event, tag);
  IF objects IS NOT NULL THEN INSERT INTO segue.ddl_did (did) VALUES (tag || objects); END IF;
END)sql";

// Which of the commands with that tag it is, in a text of several. Counted in a setting: a table of
// ours would be read and written by every such transaction, and those that are SERIALIZABLE would
// fail each other. Who forges it, or resets it within the text, has another command of the same
// text run as the same role, and what that does is compared. What is rolled back is not counted,
// and who reads it knows.
constexpr const char* place_body = R"sql(
DECLARE
  word text := regexp_replace(tag, ' AS$', '');
  message text := statement_timestamp()::text;
  places jsonb;
  before int;
BEGIN
  IF current_query() !~ ';\s*\S' THEN RETURN 1; END IF;
  places := coalesce(nullif(current_setting('segue.ddl_places', true), ''), '{}')::jsonb;
  IF places ->> 'message' IS DISTINCT FROM message THEN places := jsonb_build_object('message', message); END IF;
  before := coalesce((places ->> word)::int, 0);
  IF ends THEN
    PERFORM set_config('segue.ddl_places', (places || jsonb_build_object(word, before + 1))::text, false);
  END IF;
  RETURN before + 1;
END)sql";

// Of moved tables only. Values that rows have without having been written ("fast defaults") were
// computed by the command: the follower must take them from here.
// The text of a message that has many commands is written once in each of its transactions, with
// the first of them. That it stands there is known from a setting, which is taken back together
// with the row, and ends with the transaction. Who forges it has his command refused.
constexpr const char* record_body = R"sql(
DECLARE
  -- The same whoever runs it and from where, and its object tells the whole of it.
  command text := CASE WHEN tag = 'REFRESH MATERIALIZED VIEW' AND array_length(objects, 1) = 1
                       THEN 'REFRESH ' || upper(left(objects[1], 17)) || substr(objects[1], 18)
                       ELSE current_query() END;
  text_size int := octet_length(command);
  message text := statement_timestamp() || ' ' || text_size;
BEGIN
  IF text_size > %TEXT_MAX% THEN
    command := '';
    why := 'its text is larger than %TEXT_MAX% bytes';
  ELSIF tag <> 'REFRESH MATERIALIZED VIEW' THEN
    IF current_setting('segue.ddl_text', true) = message THEN command := ''; END IF;
    PERFORM set_config('segue.ddl_text', message, true);
  END IF;
  INSERT INTO segue.ddl (tag, objects, command, place, settings, table_schemas, table_names, look, missing, code, refusal)
  SELECT tag, objects, command, place,
    settings, schemas, names,
    CASE WHEN tag LIKE '% EXTENSION'
         THEN coalesce((SELECT array_agg(ARRAY[e.extname, e.extversion, n.nspname]::text)
                FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                WHERE 'extension ' || quote_ident(e.extname) = ANY (objects)), '{}')
         ELSE segue.ddl_look((SELECT array_agg(s.s || '.' || s.n) FROM unnest(schemas, names) AS s(s, n))) END,
    coalesce((SELECT array_agg(ARRAY[s.s, s.n, a.attname, a.attmissingval::text]::text)
        FROM unnest(schemas, names) AS s(s, n) JOIN pg_namespace n ON n.nspname = s.s
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.n
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.atthasmissing AND NOT a.attisdropped), '{}'),
    segue.ddl_code((SELECT array_agg(s.s || '.' || s.n) FROM unnest(schemas, names) AS s(s, n)), false),
    why;
END)sql";

// A command of ours. As the replica role, for an event trigger of somebody else's, and whatever it
// writes to, would run as we do. No more than that is: whoever changes the role has all that the
// application's session has planned planned anew.
constexpr const char* run_body = R"sql(
BEGIN
  EXECUTE command;
END)sql";

// Why a command cannot be carried, whatever it does to rows. Empty where it can.
constexpr const char* refusal_query = R"sql(
  SELECT CASE
    WHEN tag = 'REFRESH MATERIALIZED VIEW' OR tag LIKE '% EXTENSION' THEN ''
    WHEN lent THEN 'it was run with the rights of another role than its session''s, and no server tells its text'
    WHEN nested THEN 'it was run inside a function, a procedure or a DO block, and no server tells its text'
    WHEN tag = 'SELECT INTO' THEN 'only CREATE TABLE AS is carried, which does the same'
    WHEN tag = 'CREATE TABLE AS' AND current_query() ~* '\yas\s+execute\y'
      AND EXISTS (SELECT FROM pg_prepared_statements p WHERE strpos(lower(current_query()), lower(p.name)) > 0) THEN
      'its rows come from a statement that its session has prepared'
    WHEN tag = 'DROP OWNED' THEN 'what it drops need not be the same on both sides'
    WHEN tag IN ('GRANT', 'REVOKE') AND EXISTS (
      SELECT FROM pg_class c WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind <> 't'
        AND strpos(lower(current_query()), lower(c.relname)) > 0) THEN
      'it may name a temporary table or view of its session'
    ELSE '' END)sql";

// What a command has made or changed. Drops have an event of their own, which knows the names.
constexpr const char* made_body = R"sql(
DECLARE
  objects text[] := segue.ddl_objects('ddl_command_end', tag);
  place int := CASE WHEN nested OR tag = 'REFRESH MATERIALIZED VIEW' THEN 1 ELSE segue.ddl_place(tag, true) END;
  why text; touched oid[]; fresh oid[]; computed oid[]; obstacle text;
BEGIN
  IF tag = 'DROP OWNED' THEN objects := ARRAY['what roles own']; END IF;
  IF objects IS NULL THEN RETURN; END IF;
  why := segue.ddl_refusal(tag, nested, lent);
  computed := segue.ddl_computed();
  touched := segue.ddl_touched();
  IF touched = '{}' THEN RETURN; END IF;
  -- Before as well: a key that the command itself has given may be what it has computed.
  IF computed IS NOT NULL THEN obstacle := segue.ddl_obstacle(computed); END IF;
  fresh := segue.ddl_adopt(touched, false);
  IF computed IS NOT NULL THEN obstacle := coalesce(obstacle, segue.ddl_obstacle(computed)); END IF;
  -- A table's size is read under a lock, which others may have on any but these.
  IF EXISTS (SELECT FROM unnest(fresh) AS f(oid) WHERE pg_relation_size(f.oid) >
             CASE WHEN tag = 'CREATE TABLE AS' THEN %REWRITE_MAX% ELSE 0 END) THEN
    obstacle := CASE WHEN tag = 'CREATE TABLE AS' THEN 'the table is larger than %REWRITE_MAX% bytes'
                     ELSE 'the table had rows before it was moved' END;
  END IF;
  -- Where tables are still copied it would come with the rest, and nobody would look.
  IF why = '' AND tag = 'ALTER TABLE' AND current_query() ~* '\yenable\y.*\y(always|replica)\y.*\y(trigger|rule)\y' THEN
    why := coalesce(segue.ddl_fires((SELECT array_agg(n.nspname || '.' || c.relname) FROM pg_class c
                      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (touched)))
                    || ' would fire on the follower as well, for rows that it has fired for here', '');
  END IF;
  -- Last: where rows are all that is in the way, and are copied later, it is carried all the same.
  IF why = '' AND obstacle IS NOT NULL THEN
    why := '%ROWS_NOT_SHOWN% (segue repair takes them over afterwards), and ' || obstacle;
  END IF;
  touched := segue.ddl_steady(tag, touched);
  PERFORM segue.ddl_record(tag, settings, objects,
    coalesce((SELECT array_agg(n.nspname ORDER BY c.oid) FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (touched)), '{}')::text[],
    coalesce((SELECT array_agg(c.relname ORDER BY c.oid) FROM pg_class c
              WHERE c.oid = ANY (touched)), '{}')::text[], place, why);
  IF why = '' AND (computed IS NOT NULL OR tag = 'CREATE TABLE AS') THEN
    PERFORM segue.ddl_show(computed, CASE WHEN tag = 'CREATE TABLE AS' THEN fresh END);
  END IF;
END)sql";

constexpr const char* dropped_body = R"sql(
DECLARE
  objects text[] := segue.ddl_objects('sql_drop', tag);
  -- What scripts of extensions drop comes with the extension.
  script boolean := tag NOT LIKE '% EXTENSION' AND current_query() !~ ';\s*\S'
    AND current_query() ~* '^\s*(create|alter)\s+extension\y';
BEGIN
  IF objects IS NOT NULL AND tag <> 'DROP OWNED' AND NOT script THEN
    PERFORM segue.ddl_record(tag, settings, objects, coalesce(array_agg(d.schema_name), '{}'),
                             coalesce(array_agg(d.object_name), '{}'),
                             CASE WHEN nested THEN 1 ELSE segue.ddl_place(tag, false) END,
                             segue.ddl_refusal(tag, nested, lent))
    FROM pg_event_trigger_dropped_objects() d
    WHERE d.object_type = 'table' AND NOT d.is_temporary;
  END IF;
  -- What named the rows of a table may be gone, also by CASCADE. The indexes of tables that are gone
  -- themselves named none: so it is where tables are dropped, and nothing else but what is theirs
  -- (and defaults, as those from their own sequences).
  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'index' AND NOT d.is_temporary)
     AND EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'table column'
       OR d.normal AND d.object_type <> 'default value' OR d.original AND d.object_type <> 'table') THEN
    PERFORM segue.ddl_adopt(segue.ddl_nameless(), false);
  END IF;
END)sql";

}  // namespace

std::string ddl_filled(std::string text,
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

std::string ddl_answer(const std::string& query) {
    return "\nBEGIN\n  RETURN (" + query + ");\nEND";
}

std::string ddl_function_sql(const std::string& head,
                             const std::string& attributes,
                             const std::string& body) {
    return "CREATE OR REPLACE FUNCTION segue." + head + " " + attributes + " AS " +
           quote_literal(body) + ";\n";
}

const char* const ddl_function_names =
    "segue.ddl_event(), segue.ddl_context(), segue.ddl_caught(text, text, text[], boolean, "
    "boolean),"
    " segue.ddl_made(text, text[], boolean, boolean),"
    " segue.ddl_dropped(text, text[], boolean, boolean), segue.ddl_told(text, text), "
    "segue.ddl_objects(text, text),"
    " segue.ddl_missed(text, text, text[], text),"
    " segue.ddl_place(text, boolean), segue.ddl_nameless(), segue.ddl_publication(text[]),"
    " segue.ddl_publish(text, timestamptz, boolean), segue.ddl_steady(text, oid[]),"
    " segue.ddl_let_go(oid, text, text, timestamptz, boolean),"
    " segue.ddl_adopt(oid[], boolean), segue.ddl_record(text, text[], text[], text[], text[], int, "
    "text),"
    " segue.ddl_computed(), segue.ddl_rewritten(), segue.ddl_obstacle(oid[]), "
    "segue.ddl_plain_column(oid),"
    " segue.ddl_run(text), segue.ddl_show(oid[], oid[]), segue.ddl_touched(), "
    "segue.ddl_refusal(text, boolean, boolean)";

const char* const ddl_event_triggers_sql = R"sql(DO $$ DECLARE made record; BEGIN
  FOR made IN SELECT * FROM (VALUES
      ('segue_ddl_1', 'sql_drop', 'context'), ('segue_ddl_2', 'sql_drop', 'event'),
      ('segue_ddl_3', 'ddl_command_end', 'context'), ('segue_ddl_4', 'ddl_command_end', 'event'),
      ('segue_ddl_5', 'table_rewrite', 'event'))
      AS v(name, event, what) LOOP
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = made.name) THEN
      EXECUTE format('CREATE EVENT TRIGGER %I ON %s EXECUTE FUNCTION segue.ddl_%s()',
                     made.name, made.event, made.what);
    END IF;
    EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', made.name);
  END LOOP;
END $$)sql";

std::string ddl_functions_sql(const DdlCapture& capture) {
    std::vector<std::string> publications = capture.new_tables;
    publications.push_back(capture.publication);
    const std::vector<std::pair<std::string, std::string>> values = {
        {"NOT_MOVER", not_the_mover_sql(capture.role, capture.migration_id)},
        {"NAMELESS", ddl_nameless_condition},
        {"PUBLICATIONS", quote_literal(text_array(publications)) + "::text[]"},
        {"COUNT", std::to_string(capture.new_tables.size())},
        {"EXCLUDE", quote_literal(text_array(capture.exclude)) + "::text[]"},
        {"ROWS_NOT_SHOWN", ddl_rows_not_shown},
        {"TEXT_MAX", std::to_string(ddl_text_max)},
        {"REWRITE_MAX", std::to_string(ddl_rewrite_bytes_max)},
        {"WAIT_MAX", std::to_string(ddl_wait_ms_max)},
        {"ATTEMPTS_MAX", std::to_string(ddl_attempts_max)},
        {"REWRITTEN_LOCK", std::to_string(ddl_rewritten_lock)},
        {"SHOWN_LOCK", std::to_string(ddl_shown_lock)}};
    const std::string definer = " SECURITY DEFINER SET search_path = pg_catalog, pg_temp";
    // Values are texts that read the same on both sides, whatever the session's settings. A lock
    // that somebody has is waited for no longer than this.
    const std::string same =
        " SET jit = off SET TimeZone = 'UTC' SET DateStyle "
        "= 'ISO, MDY' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output ="
        " 'hex' SET quote_all_identifiers = off SET standard_conforming_strings = on"
        " SET lock_timeout = " +
        std::to_string(ddl_queue_ms_max);
    const std::string as_replica = " SET session_replication_role = replica";
    const std::string code = " LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp";
    const std::string query = " LANGUAGE sql SET search_path = pg_catalog, pg_temp";
    struct Function {
        const char* head;
        std::string attributes;
        std::string body;
    };
    const std::string touched = ddl_answer(ddl_touched_query), refusal = ddl_answer(refusal_query),
                      nameless = ddl_answer(ddl_nameless_query);
    const Function functions[] = {
        {"ddl_context()", "RETURNS event_trigger LANGUAGE plpgsql", context_body},
        {"ddl_objects(event text, tag text)", "RETURNS text[]" + code, objects_body},
        {"ddl_missed(event text, tag text, settings text[], state text)",
         "RETURNS void" + code + same,
         missed_body},
        {"ddl_told(event text, tag text)",
         "RETURNS void" + code + " SET quote_all_identifiers = off",
         told_body},
        {"ddl_place(tag text, ends boolean)", "RETURNS int" + code, place_body},
        {"ddl_nameless()", "RETURNS oid[] STABLE" + code + ddl_planned_once, nameless},
        {"ddl_publication(tried text[])", "RETURNS text" + code, ddl_publication_body},
        {"ddl_publish(name text, ends timestamptz, patient boolean)",
         "RETURNS void" + code,
         ddl_publish_body},
        {"ddl_let_go(relation oid, publication text, why text, ends timestamptz, patient boolean)",
         "RETURNS void" + code,
         ddl_let_go_body},
        {"ddl_adopt(tables oid[], patient boolean)", "RETURNS oid[]" + code, ddl_adopt_body},
        {"ddl_record(tag text, settings text[], objects text[], schemas text[], names text[], "
         "place int, why text)",
         "RETURNS void" + code,
         record_body},
        {"ddl_rewritten()", "RETURNS void" + code, ddl_rewritten_body},
        {"ddl_computed()", "RETURNS oid[]" + code, ddl_computed_body},
        {"ddl_plain_column(relation oid)", "RETURNS name STABLE" + query, ddl_plain_column_body},
        {"ddl_obstacle(computed oid[])", "RETURNS text STABLE" + query, ddl_obstacle_body},
        {"ddl_run(command text)", "RETURNS void" + code + as_replica, run_body},
        {"ddl_show(computed oid[], filled oid[])",
         "RETURNS void" + code + as_replica,
         ddl_show_body},
        {"ddl_touched()", "RETURNS oid[]" + code + ddl_planned_once, touched},
        {"ddl_steady(tag text, tables oid[])", "RETURNS oid[]" + code, ddl_steady_body},
        {"ddl_refusal(tag text, nested boolean, lent boolean)",
         "RETURNS text" + code + ddl_planned_once,
         refusal},
        {"ddl_made(tag text, settings text[], nested boolean, lent boolean)",
         "RETURNS void" + code,
         made_body},
        {"ddl_dropped(tag text, settings text[], nested boolean, lent boolean)",
         "RETURNS void" + code,
         dropped_body},
        {"ddl_caught(event text, tag text, settings text[], nested boolean, lent boolean)",
         "RETURNS void" + code + same,
         caught_body},
        {"ddl_event()", "RETURNS event_trigger LANGUAGE plpgsql" + definer, event_body}};
    std::string sql = ddl_sandbox_functions_sql(capture.role, capture.migration_id);
    for (const Function& function : functions) {
        sql +=
            ddl_function_sql(function.head, function.attributes, ddl_filled(function.body, values));
    }
    return sql + "REVOKE ALL ON FUNCTION " + ddl_function_names + " FROM PUBLIC";
}

}  // namespace segue::backfill::postgres
