#include "backfill/postgres/ddl_capture.hpp"

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

Result<bool> may_capture_ddl(Link& link) {
    const auto role = link.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
    if (!role) return role.error();
    return role->size() == 1 && role->truth(0, 0);
}

namespace {

// What there is of an earlier version's tables. Only what is missing, for it waits for every
// transaction that has changed the schema.
constexpr const char* renewed_tables = R"sql(DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'segue.ddl'::regclass AND attname = 'code') THEN
    ALTER TABLE segue.ddl ADD COLUMN code text[] NOT NULL DEFAULT '{}';
  END IF;
END $$)sql";
// One of an earlier version that has these arguments under other names. Those that the events call
// while others are dropped have never changed theirs.
constexpr const char* cannot_be_replaced = "42P13";
constexpr const char* remove_functions = R"sql(DO $$ DECLARE old regprocedure; BEGIN
  FOR old IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'segue'::regnamespace AND p.proname LIKE 'ddl\_%'
      AND NOT EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtfoid = p.oid
                      OR (e.evtname = 'segue_ddl_2' AND p.proname = 'ddl_told')) LOOP
    EXECUTE 'DROP FUNCTION ' || old;
  END LOOP;
END $$; )sql";
constexpr const char* short_waits = "SET lock_timeout = '100ms'; ";

Result<std::string> functions_sql(Link& link, const DdlCaptureSettings& settings) {
    const auto role = link.run("SELECT session_user");
    if (!role) return role.error();
    return ddl_functions_sql({role->text(0, 0),
                              settings.migration_id,
                              publication_name(settings.migration),
                              new_table_publication_names(settings.migration),
                              settings.exclude});
}

Status install(Link& link, const DdlCaptureSettings& settings, const std::string& functions) {
    std::string pool;
    // Tables of the start are let go of as others are, but none is added to their publication.
    int number = -1;
    for (const std::string& name : publication_names(settings.migration)) {
        pool += "INSERT INTO segue.ddl_publication VALUES (" + std::to_string(number++) + ", " +
                quote_literal(name) + ") ON CONFLICT DO NOTHING; ";
    }
    if (const auto filled = link.run(pool); !filled) return filled.error();
    auto made = link.run(functions);
    if (!made && made.error().sqlstate == cannot_be_replaced)
        made = link.run(remove_functions + functions);
    if (!made) return made.error();
    const auto kept =
        link.run(keep_to_ourselves_sql + std::string{"; GRANT USAGE ON SCHEMA segue TO PUBLIC"});
    if (!kept) return kept.error();
    const auto triggers = link.run(ddl_event_triggers_sql);
    if (!triggers) return triggers.error();
    const auto noted = link.run(
        "INSERT INTO segue.saved VALUES ('ddl_capture', '', md5($1)) ON CONFLICT (kind, object) DO"
        " UPDATE SET previous = excluded.previous",
        Parameters{functions});
    if (!noted) return noted.error();
    return Done{};
}

}  // namespace

Status install_ddl_capture(Link& link, const DdlCaptureSettings& settings) {
    const auto functions = functions_sql(link, settings);
    if (!functions) return functions.error();
    return install(link, settings, *functions);
}

Result<CaptureState> renew_ddl_capture(Link& link, const DdlCaptureSettings& settings) {
    const auto captures =
        link.run("SELECT FROM pg_event_trigger WHERE evtname = 'segue_ddl_4' LIMIT 1");
    if (!captures) return captures.error();
    if (captures->size() == 0) return CaptureState::absent;
    const auto functions = functions_sql(link, settings);
    if (!functions) return functions.error();
    const auto same =
        link.run("SELECT FROM segue.saved WHERE kind = 'ddl_capture' AND previous = md5($1)",
                 Parameters{*functions});
    if (!same) return same.error();
    if (same->size() == 1) return CaptureState::present;
    const auto deadline = std::chrono::steady_clock::now() + lock_wait_max;
    const auto tables = retry_locked(deadline, [&] {
        return link.run(short_waits + std::string{segue_schema_ddl} + event_index_ddl +
                        renewed_tables);
    });
    if (!tables) return tables.error();
    if (const Status made = install(link, settings, *functions); !made) return made.error();
    return CaptureState::renewed;
}

Status stop_ddl_capture(Link& link) {
    const auto removed = link.run(
        "DROP EVENT TRIGGER IF EXISTS segue_ddl_1; DROP EVENT TRIGGER IF EXISTS segue_ddl_2;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_3; DROP EVENT TRIGGER IF EXISTS segue_ddl_4;"
        " DROP EVENT TRIGGER IF EXISTS segue_ddl_5; REVOKE USAGE ON SCHEMA segue FROM PUBLIC");
    if (!removed) return removed.error();
    return Done{};
}

std::string remove_ddl_capture_sql() {
    // Also those of an earlier version.
    return std::string{
               "DROP TABLE IF EXISTS segue.ddl, segue.ddl_handled, segue.ddl_known,"
               " segue.ddl_token, segue.ddl_mark, segue.ddl_rewrite, segue.ddl_did,"
               " segue.ddl_publication; "} +
           remove_functions;
}

}  // namespace segue::backfill::postgres
