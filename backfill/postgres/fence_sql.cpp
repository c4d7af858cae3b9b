#include "backfill/postgres/fence_sql.hpp"

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

// What makes temporary tables (protocol/postgres/temporary_tables.hpp).
constexpr const char* carried_tags =
    "'CREATE TABLE', 'CREATE SEQUENCE', 'CREATE INDEX', 'ALTER TABLE', 'ALTER SEQUENCE'";

// The shared lock comes before the flag is read: whoever has both passed is visible to the closing
// session by the lock, and whoever comes later meets the flag.
std::string guard_body(Side side) {
    const std::string here{name(side)}, there{name(other(side))};
    return "  IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(" +
           std::to_string(fence_lock_key) +
           ")\n     OR pg_catalog.pg_sequence_last_value('segue.fence'::pg_catalog.regclass) = 2 "
           "THEN\n"
           "    RAISE EXCEPTION 'the " +
           here + std::string{fenced_words} +
           "' USING ERRCODE = '25006',\n"
           "      HINT = 'Connect through Segue, which knows whether the " +
           here + " or the " + there + " takes the writes; see segue status.';\n  END IF;\n";
}

}  // namespace

std::string not_the_mover_sql(const std::string& role, const std::string& migration_id) {
    return "session_user <> " + quote_literal(role) + " OR pg_catalog.current_setting('" +
           std::string{mover_setting} + "', true) IS DISTINCT FROM " + quote_literal(migration_id);
}

FenceTriggerSql fence_trigger_sql(const std::string& role, const std::string& migration_id) {
    return {"CREATE TRIGGER segue_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ",
            " FOR EACH STATEMENT WHEN (" + not_the_mover_sql(role, migration_id) +
                ") EXECUTE FUNCTION segue.fence_guard()"};
}

std::string fence_functions_sql(Side side,
                                const std::string& role,
                                const std::string& migration_id) {
    const std::string attributes =
        " LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ";
    const FenceTriggerSql trigger = fence_trigger_sql(role, migration_id);
    const std::string guard = "BEGIN\n" + guard_body(side) + "  RETURN NULL;\nEND";
    // Temporary tables of sessions that are about to be moved here are made while the fence is
    // closed; what else such a command would have made is refused at its end. Which command was let
    // pass is not asked again there: its expressions may have changed the answer. The setting is
    // the transaction's id: a command that commits inside itself, before that check, cannot be in a
    // transaction that has one.
    const std::string carries =
        "pg_catalog.current_setting('segue.carry', true) = "
        "pg_catalog.pg_current_xact_id_if_assigned()::text"
        " AND EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_fence_carried' AND "
        "evtenabled = 'A')";
    const std::string ddl = "BEGIN\n  IF (" + not_the_mover_sql(role, migration_id) +
                            ") AND NOT (coalesce(" + carries + ", false) AND TG_TAG IN (" +
                            carried_tags + ")) THEN\n" + guard_body(side) + "  END IF;\nEND";
    const std::string carried = "BEGIN\n  IF (" + not_the_mover_sql(role, migration_id) +
                                ")\n     AND EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d"
                                " WHERE d.schema_name IS DISTINCT FROM 'pg_temp') THEN\n" +
                                guard_body(side) + "  END IF;\nEND";
    // A role of Segue's that is superuser no more fails no application: a change of authority arms
    // what is left unarmed. What it does is no DDL of an application (ddl_capture.hpp). The token
    // is told to nobody: no code of an application runs while the setting has it.
    const std::string new_tables =
        "DECLARE\n  made record;\n"
        "  replication_role text := current_setting('session_replication_role');\nBEGIN\n"
        // An event trigger of somebody else's, and whatever it writes to, would run as we do.
        "  BEGIN\n"
        "    PERFORM set_config('session_replication_role', 'replica', true);\n"
        "  EXCEPTION WHEN insufficient_privilege THEN\n"
        "    NULL;\n"
        "  END;\n"
        "  FOR made IN SELECT DISTINCT d.objid, d.object_identity\n"
        "      FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid\n"
        // Comments of columns, which LIKE takes over, are told by the number of their table.
        "      WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0\n"
        "        AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND d.schema_name NOT IN "
        "('segue', 'pg_temp')\n"
        "        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid\n"
        "                        AND t.tgname = 'segue_fence') LOOP\n"
        // Not before: `finish` waits for whoever has read it.
        "    IF to_regclass('segue.ddl_token') IS NOT NULL THEN\n"
        "      PERFORM set_config('segue.ddl_own', (SELECT token FROM segue.ddl_token), true);\n"
        "    END IF;\n"
        "    BEGIN\n"
        "      EXECUTE " +
        quote_literal(trigger.before_table) + " || made.object_identity || " +
        quote_literal(trigger.after_table) +
        ";\n"
        "      EXECUTE 'ALTER TABLE ONLY ' || made.object_identity ||"
        " ' ENABLE ALWAYS TRIGGER segue_fence';\n"
        "    EXCEPTION WHEN insufficient_privilege THEN\n"
        "      IF NOT (" +
        not_the_mover_sql(role, migration_id) +
        ") THEN RAISE; END IF;\n"
        "      RAISE LOG 'Segue could not fence table %', made.object_identity;\n"
        "    END;\n"
        "  END LOOP;\n"
        "  PERFORM set_config('segue.ddl_own', '', true);\n"
        "  IF current_setting('session_replication_role') <> replication_role THEN\n"
        "    PERFORM set_config('session_replication_role', replication_role, true);\n"
        "  END IF;\nEND";
    return "CREATE OR REPLACE FUNCTION segue.fence_guard() RETURNS trigger" + attributes +
           quote_literal(guard) +
           ";\nCREATE OR REPLACE FUNCTION segue.fence_ddl() RETURNS event_trigger" + attributes +
           quote_literal(ddl) +
           ";\nCREATE OR REPLACE FUNCTION segue.fence_new_tables() RETURNS event_trigger" +
           attributes + quote_literal(new_tables) +
           ";\nCREATE OR REPLACE FUNCTION segue.fence_carried() RETURNS event_trigger" +
           attributes + quote_literal(carried) +
           ";\nREVOKE ALL ON FUNCTION segue.fence_guard(), segue.fence_ddl(), "
           "segue.fence_new_tables(), segue.fence_carried()"
           " FROM PUBLIC";
}

std::string fence_event_triggers_sql() {
    return std::string{R"sql(DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_fence_ddl') THEN
    CREATE EVENT TRIGGER segue_fence_ddl ON ddl_command_start EXECUTE FUNCTION segue.fence_ddl();
  END IF;
  ALTER EVENT TRIGGER segue_fence_ddl ENABLE ALWAYS;
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_fence_new') THEN
    CREATE EVENT TRIGGER segue_fence_new ON ddl_command_end
      WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
      EXECUTE FUNCTION segue.fence_new_tables();
  END IF;
  ALTER EVENT TRIGGER segue_fence_new ENABLE ALWAYS;
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_fence_carried') THEN
    CREATE EVENT TRIGGER segue_fence_carried ON ddl_command_end
      WHEN TAG IN ()sql"} +
           carried_tags + R"sql() EXECUTE FUNCTION segue.fence_carried();
  END IF;
  ALTER EVENT TRIGGER segue_fence_carried ENABLE ALWAYS;
END $$)sql";
}

const char* const fenced_tables_sql = R"sql(
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
      AND n.nspname || '.' || c.relname <> ALL ($1::text[])
)sql";

const char* const is_armed_sql = R"sql(
    EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'segue_fence'
            AND t.tgenabled = 'A' AND t.tgfoid = to_regprocedure('segue.fence_guard()')
            AND strpos(pg_get_triggerdef(t.oid), quote_literal($2::text)) > 0)
)sql";

}  // namespace segue::backfill::postgres
