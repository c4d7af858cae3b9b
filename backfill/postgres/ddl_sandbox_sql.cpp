#include "backfill/postgres/ddl_sandbox_sql.hpp"

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/fence_sql.hpp"
#include "backfill/postgres/schema_signature.hpp"

namespace segue::backfill::postgres {

namespace {

// As the role itself, with its settings. Everybody may call these two: they can do what their
// caller can.
constexpr const char* execute_body = R"sql(
BEGIN
  FOR i IN 1 .. pairs LOOP
    PERFORM pg_catalog.set_config(settings[2 * i - 1], settings[2 * i], true);
  END LOOP;
  EXECUTE command;
  RETURN '';
END)sql";

// The column keeps the server from computing it once and for all before the role is taken.
constexpr const char* room_body = R"sql(
BEGIN
  RETURN segue.ddl_execute(settings, pairs, command);
END)sql";

constexpr const char* as_body = R"sql(
DECLARE room text := 'segue.ddl_room_' || pg_backend_pid();
BEGIN
  EXECUTE format('CREATE TABLE %s AS SELECT 1 AS one', room);
  EXECUTE format('ALTER TABLE %s OWNER TO %I', room, who);
  EXECUTE format('CREATE INDEX ON %s (segue.ddl_room(one, %L, %s, %L))',
                 room, settings, coalesce(array_length(settings, 1), 0) / 2, command);
  EXECUTE 'DROP TABLE ' || room;
END)sql";

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
    WHERE n.nspname || '.' || c.relname = ANY (names) AND c.relkind IN ('r', 'p')
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
  WHERE n.nspname || '.' || c.relname = ANY (names)
  ORDER BY 1 LIMIT 1)sql";

// Checks, generated columns, expressions of indexes and of partition keys, and the types of columns
// with what they are made of. A default is not evaluated by who gives every value.
constexpr const char* code_body = R"sql(
  WITH RECURSIVE tables AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname NOT IN ('information_schema', 'segue')
      AND (n.nspname || '.' || c.relname = ANY (names)) <> others
    UNION SELECT h.inhparent FROM pg_inherits h JOIN tables t ON h.inhrelid = t.oid),
  uses AS (
    SELECT s.classid, s.objid FROM (
      SELECT 'pg_class'::regclass::oid, t.oid FROM tables t
      UNION SELECT 'pg_constraint'::regclass::oid, o.oid
        FROM tables t JOIN pg_constraint o ON o.conrelid = t.oid WHERE o.contype IN ('c', 'x')
      UNION SELECT 'pg_class'::regclass::oid, i.indexrelid FROM tables t JOIN pg_index i ON i.indrelid = t.oid
      UNION SELECT 'pg_attrdef'::regclass::oid, d.oid
        FROM tables t JOIN pg_attrdef d ON d.adrelid = t.oid
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
      ) AS s(classid, objid)
    UNION
    SELECT x.classid, x.objid FROM uses u CROSS JOIN LATERAL (
      SELECT d.refclassid, d.refobjid FROM pg_depend d
      WHERE d.classid = u.classid AND d.objid = u.objid
        AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass,
                              'pg_opclass'::regclass, 'pg_opfamily'::regclass)
             OR (d.refclassid = 'pg_class'::regclass
                 AND EXISTS (SELECT FROM pg_class k WHERE k.oid = d.refobjid AND k.relkind = 'c')))
      UNION ALL
      SELECT 'pg_constraint'::regclass::oid, o.oid FROM pg_constraint o
      WHERE u.classid = 'pg_type'::regclass AND o.contypid = u.objid) AS x(classid, objid))
  SELECT coalesce(array_agg(DISTINCT (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity
                            || ' of role ' || r.rolname), '{}')
  FROM uses u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
  JOIN pg_roles r ON r.oid = p.proowner AND NOT r.rolsuper)sql";

constexpr const char* writes_body = R"sql(
  SELECT coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)
  FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = s.relid
  WHERE s.schemaname <> 'segue' AND c.relkind = 'r')sql";

}  // namespace

const char* const ddl_sandbox_function_names =
    "segue.ddl_as(name, text[], text), segue.ddl_look(text[]), segue.ddl_arm(text[]),"
    " segue.ddl_fires(text[]), segue.ddl_code(text[], boolean), segue.ddl_writes()";
const char* const ddl_public_function_names =
    "segue.ddl_execute(text[], int, text), segue.ddl_room(int, text[], int, text)";

std::string ddl_sandbox_functions_sql(const std::string& role, const std::string& migration_id) {
    const FenceTriggerSql trigger = fence_trigger_sql(role, migration_id);
    const std::string look = ddl_filled(
        look_body,
        {{"SIGNATURE", schema_signature_sql("n.nspname || '.' || c.relname = ANY (names)")}});
    const std::string arm = ddl_filled(arm_body,
                                       {{"BEFORE", quote_literal(trigger.before_table)},
                                        {"AFTER", quote_literal(trigger.after_table)}});
    const std::string code = " LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp";
    // Compiling them takes a hundred times as long as running them.
    const std::string query =
        " LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off";
    return ddl_function_sql("ddl_execute(settings text[], pairs int, command text)",
                            "RETURNS text LANGUAGE plpgsql",
                            execute_body) +
           ddl_function_sql("ddl_room(one int, settings text[], pairs int, command text)",
                            "RETURNS text LANGUAGE plpgsql IMMUTABLE",
                            room_body) +
           ddl_function_sql(
               "ddl_as(who name, settings text[], command text)", "RETURNS void" + code, as_body) +
           ddl_function_sql("ddl_look(names text[])", "RETURNS text[]" + query, look) +
           ddl_function_sql("ddl_arm(names text[])", "RETURNS void" + code, arm) +
           ddl_function_sql("ddl_fires(names text[])", "RETURNS text" + query, fires_body) +
           ddl_function_sql(
               "ddl_code(names text[], others boolean)", "RETURNS text[]" + query, code_body) +
           ddl_function_sql("ddl_writes()",
                            "RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp",
                            writes_body) +
           "REVOKE ALL ON FUNCTION " + ddl_sandbox_function_names + " FROM PUBLIC;\n";
}

}  // namespace segue::backfill::postgres
