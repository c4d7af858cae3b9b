#include "backfill/postgres/ddl_sandbox_sql.hpp"

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/ddl_code_sql.hpp"
#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/schema_signature.hpp"

namespace segue::backfill::postgres {

namespace {

// As the role itself, with its settings. Everybody may call these two: they can do what their
// caller can. Before anything runs, the server itself says that the text is one command, and which:
// a cursor is not opened for commands, and never for several.
constexpr const char* execute_body = R"sql(
DECLARE
  shape refcursor;
  told text;
BEGIN
  FOR i IN 1 .. pairs LOOP
    PERFORM pg_catalog.set_config(settings[2 * i - 1], settings[2 * i], true);
  END LOOP;
  BEGIN
    OPEN shape FOR EXECUTE command;
    told := 'SELECT';
  EXCEPTION WHEN invalid_cursor_definition THEN
    GET STACKED DIAGNOSTICS told = MESSAGE_TEXT;
  END;
  IF told OPERATOR(pg_catalog.<>) pg_catalog.format('cannot open %s query as cursor', tag) THEN
    RAISE EXCEPTION 'its text is not one such command' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  EXECUTE command;
  RETURN '';
END)sql";

// The column keeps the server from computing it once and for all before the role is taken.
constexpr const char* room_body = R"sql(
BEGIN
  RETURN segue.ddl_execute(settings, pairs, tag, command);
END)sql";

constexpr const char* as_body = R"sql(
DECLARE room text := 'segue.ddl_room_' || pg_backend_pid();
BEGIN
  EXECUTE format('CREATE TABLE %s AS SELECT 1 AS one', room);
  EXECUTE format('ALTER TABLE %s OWNER TO %I', room, who);
  EXECUTE format('CREATE INDEX ON %s (segue.ddl_room(one, %L, %s, %L, %L))',
                 room, settings, coalesce(array_length(settings, 1), 0) / 2, tag, command);
  EXECUTE 'DROP TABLE ' || room;
END)sql";

// Of pg_class c and pg_namespace n: one of `names` (schema.table). Found by an index, however many
// tables there are: whatever stands behind a dot may be its name.
constexpr const char* named_condition =
    "c.relname = ANY (ARRAY(SELECT substr(u.name, d.at + 1)::name FROM unnest(names) AS u(name),"
    " generate_series(1, length(u.name)) AS d(at) WHERE substr(u.name, d.at, 1) = '.'))"
    " AND n.nspname || '.' || c.relname = ANY (names)";

// Each planned for itself: for few tables, or for all.
std::string code_body() {
    const auto of = [](const char* query, const char* which) {
        return "(" + ddl_filled(query, {{"WHICH", which}}) + ")";
    };
    return "\nBEGIN\n  IF others THEN RETURN " +
           of(ddl_code_query, "NOT n.nspname || '.' || c.relname = ANY (names)") +
           "; END IF;\n  IF NOT " + of(ddl_more_than_columns_query, named_condition) +
           " THEN RETURN '{}'; END IF;\n  RETURN " + of(ddl_code_query, named_condition) + ";\nEND";
}

constexpr const char* look_body = R"sql(
  SELECT coalesce(array_agg(concat_ws(' | ', t.name, t.kind, t.object, t.definition)
                            ORDER BY t.name, t.kind, t.object), '{}')
  FROM (%SIGNATURE%) AS t(name, kind, object, definition))sql";

constexpr const char* arm_body = R"sql(
DECLARE made record;
BEGIN
  PERFORM set_config('segue.ddl_own', (SELECT token FROM segue.ddl_token), true);
  FOR made IN
    SELECT format('%I.%I', n.nspname, c.relname) AS name, t.oid IS NULL AS missing
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'segue_fence'
    WHERE %NAMED% AND c.relkind IN ('r', 'p')
      AND t.tgenabled IS DISTINCT FROM 'A'
  LOOP
    IF made.missing THEN EXECUTE %BEFORE% || made.name || %AFTER%; END IF;
    EXECUTE 'ALTER TABLE ONLY ' || made.name || ' ENABLE ALWAYS TRIGGER segue_fence';
  END LOOP;
  PERFORM set_config('segue.ddl_own', '', true);
END)sql";

constexpr const char* fires_body = R"sql(
  SELECT f.what || ' on ' || format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN (SELECT t.tgrelid, format('trigger %I', t.tgname) FROM pg_trigger t
        WHERE t.tgenabled IN ('A', 'R') AND t.tgname <> 'segue_fence'
        UNION ALL
        SELECT r.ev_class, format('rule %I', r.rulename) FROM pg_rewrite r
        WHERE r.ev_enabled IN ('A', 'R') AND r.ev_type <> '1') AS f(oid, what) ON f.oid = c.oid
  WHERE %NAMED%
  ORDER BY 1 LIMIT 1)sql";

// By table what this transaction has written, where that is anything. One that is dropped is in it
// no more.
constexpr const char* written_body = R"sql(
  SELECT coalesce(jsonb_object_agg(s.oid, s.rows), '{}') FROM (
    SELECT c.oid, pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
      + pg_stat_get_xact_tuples_deleted(c.oid) AS rows
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace <> ALL (ARRAY(
      SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('segue', 'pg_catalog', 'information_schema')))
    OFFSET 0) AS s
  WHERE s.rows <> 0)sql";

}  // namespace

const char* const ddl_sandbox_function_names =
    "segue.ddl_as(name, text[], text, text), segue.ddl_look(text[]), segue.ddl_arm(text[]),"
    " segue.ddl_fires(text[]), segue.ddl_code(text[], boolean), segue.ddl_written()";
const char* const ddl_public_function_names =
    "segue.ddl_execute(text[], int, text, text), segue.ddl_room(int, text[], int, text, text)";

std::string ddl_sandbox_functions_sql(const std::string& role, const std::string& migration_id) {
    const FenceTriggerSql trigger = fence_trigger_sql(role, migration_id);
    const auto filled = [&](const char* body) {
        return ddl_filled(body,
                          {{"SIGNATURE", schema_signature_sql("%NAMED%")},
                           {"NAMED", named_condition},
                           {"BEFORE", quote_literal(trigger.before_table)},
                           {"AFTER", quote_literal(trigger.after_table)}});
    };
    const std::string code = " LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp";
    // Compiling them takes a hundred times as long as running them.
    const std::string query =
        code + " STABLE SET jit = off SET quote_all_identifiers = off" + ddl_planned_once;
    return ddl_function_sql("ddl_execute(settings text[], pairs int, tag text, command text)",
                            "RETURNS text LANGUAGE plpgsql",
                            execute_body) +
           ddl_function_sql("ddl_room(one int, settings text[], pairs int, tag text, command text)",
                            "RETURNS text LANGUAGE plpgsql IMMUTABLE",
                            room_body) +
           ddl_function_sql("ddl_as(who name, settings text[], tag text, command text)",
                            "RETURNS void" + code + " SET lc_messages = 'C'",
                            as_body) +
           ddl_function_sql(
               "ddl_look(names text[])", "RETURNS text[]" + query, ddl_answer(filled(look_body))) +
           ddl_function_sql("ddl_arm(names text[])", "RETURNS void" + code, filled(arm_body)) +
           ddl_function_sql(
               "ddl_fires(names text[])", "RETURNS text" + query, ddl_answer(filled(fires_body))) +
           ddl_function_sql(
               "ddl_code(names text[], others boolean)", "RETURNS text[]" + query, code_body()) +
           ddl_function_sql("ddl_written()",
                            "RETURNS jsonb" + code + ddl_planned_once,
                            ddl_answer(written_body)) +
           "REVOKE ALL ON FUNCTION " + ddl_sandbox_function_names + " FROM PUBLIC;\n" +
           "GRANT EXECUTE ON FUNCTION " + ddl_public_function_names + " TO PUBLIC;\n";
}

}  // namespace segue::backfill::postgres
