#include "backfill/postgres/ddl_capture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Answer;
using test::Sql;
using ::testing::HasSubstr;

class DdlCapture : public test::DdlTest {};

// Tries everything it can think of whenever a row is checked.
constexpr const char* greedy_function = R"sql(
    CREATE FUNCTION app.greedy() RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE attempt text;
    BEGIN
      FOREACH attempt IN ARRAY ARRAY['RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
          'SELECT set_config(''role'', ''none'', true)', 'DO ''BEGIN COMMIT; END''',
          'ALTER ROLE ddl_app SUPERUSER'] LOOP
        BEGIN EXECUTE attempt; EXCEPTION WHEN OTHERS THEN NULL; END;
      END LOOP;
      RETURN true;
    END $$)sql";

TEST_F(DdlCapture, NeverLendsItsRightsToApplications) {
    app(greedy_function);
    app("CREATE TABLE app.t (id int PRIMARY KEY, v text CHECK (app.greedy()));"
        "INSERT INTO app.t SELECT i, 'v' FROM generate_series(1, 3) i");
    app("ALTER TABLE app.t ADD COLUMN mark uuid DEFAULT gen_random_uuid()");
    EXPECT_EQ(refusal(), "");
    app("ALTER TABLE app.t ALTER COLUMN v TYPE text USING v || random()");
    EXPECT_EQ(refusal(), "");
    app("CREATE TABLE app.made AS SELECT i, app.greedy() FROM generate_series(1, 3) i");
    EXPECT_EQ(refusal(), "");
    EXPECT_FALSE(is_superuser(Side::source));
}

// Whoever plans a statement on such a table runs them, also where it has no row.
TEST_F(DdlCapture, PlansNothingOfATableThatItsOwnCommandHasDressed) {
    app(greedy_function);
    app(R"sql(
        CREATE FUNCTION app.constant(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
          'BEGIN PERFORM app.greedy(); RETURN 1; END';
        CREATE FUNCTION app.dress() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
          EXECUTE 'CREATE STATISTICS app.s ON (app.constant(1)), (app.constant(2)) FROM app.made';
          BEGIN
            EXECUTE 'CREATE INDEX made_i ON app.made ((app.constant(1)))';
          EXCEPTION WHEN OTHERS THEN NULL; END;
          RETURN 1; END $$)sql");
    app("CREATE TABLE app.made AS SELECT i, app.dress() FROM generate_series(1, 1) i");
    EXPECT_EQ(app_->value("SELECT count(*) FROM pg_statistic_ext WHERE stxname = 's'"), "1");
    EXPECT_FALSE(is_superuser(Side::source));
}

// The script of an extension runs as a superuser, beside a text of its caller.
TEST_F(DdlCapture, RecordsNoTextUnderRightsThatItHasNotRunWith) {
    databases_->run(Side::source,
                    "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ddl_app',"
                    " current_database()); END $$");
    app("CREATE EXTENSION cube VERSION '1.3' SCHEMA app");
    app("SELECT 1; ALTER EXTENSION cube UPDATE TO '1.5'; DROP EXTENSION cube");
    EXPECT_NE(databases_->value(Side::source, "SELECT count(*) FROM segue.ddl"), "0");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT count(*) FROM segue.ddl WHERE settings[2] <> 'ddl_app' AND"
                                " refusal !~ 'rights of another role'"),
              "0");
}

// The mover believes what stands in its tables.
TEST_F(DdlCapture, KeepsItsTablesToItselfWhateverDefaultPrivilegesSay) {
    for (const char* const attempt :
         {"INSERT INTO segue.ddl_handled VALUES ('source', 1)",
          "DELETE FROM segue.ddl",
          "SELECT token FROM segue.ddl_token",
          "SELECT setval('segue.fence', 1)",
          "CREATE FUNCTION segue.ddl_mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
          "SELECT segue.ddl_as('ddl_app', '{}', 'COMMENT', 'COMMENT ON SCHEMA app IS NULL')"}) {
        EXPECT_EQ(app_->attempt(attempt).sqlstate, "42501") << attempt;
    }
}

TEST_F(DdlCapture, FailsNoCommandWhenItsOwnRoleMayDoNothingAnyMore) {
    databases_->run(Side::source,
                    "DROP ROLE IF EXISTS ddl_former; CREATE ROLE ddl_former;"
                    " ALTER FUNCTION segue.ddl_event() OWNER TO ddl_former");
    app("CREATE TABLE app.t (i int); ALTER TABLE app.t ADD COLUMN j int; DROP TABLE app.t");
    databases_->run(Side::source,
                    "GRANT USAGE ON SCHEMA segue TO ddl_former; GRANT SELECT ON segue.ddl_token TO"
                    " ddl_former; GRANT ALL ON ALL FUNCTIONS IN SCHEMA segue TO ddl_former;"
                    " GRANT ALL ON segue.ddl TO ddl_former");
    app("CREATE TABLE app.t (i int)");
    EXPECT_EQ(refusal(), "it could not be captured (42501)");
    databases_->run(Side::source,
                    "ALTER FUNCTION segue.ddl_event() OWNER TO postgres; DROP OWNED BY ddl_former;"
                    " DROP ROLE ddl_former");
}

// A client may be in the middle of a transaction that has changed the schema.
TEST_F(DdlCapture, IsRemovedWhenNobodyIsInsideOfIt) {
    Link link{databases_->url(Side::source), {.settings = {{mover_setting, mover_id}}}};
    app("BEGIN; CREATE TABLE app.t (i int)");
    EXPECT_TRUE(stop_ddl_capture(link));
    const std::string remove = "SET lock_timeout = '10ms'; " + remove_ddl_capture_sql();
    EXPECT_EQ(link.run(remove).error().sqlstate, "55P03");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT count(*) > 9 FROM pg_proc WHERE proname LIKE"
                                " 'ddl_%' AND pronamespace = 'segue'::regnamespace"),
              "t");
    app("CREATE TABLE app.u (i int); COMMIT");
    EXPECT_TRUE(link.run(remove_ddl_capture_sql()));
    EXPECT_EQ(databases_->value(Side::source, "SELECT count(*) FROM pg_event_trigger"), "0");
    EXPECT_TRUE(link.run(segue_schema_ddl));
    EXPECT_TRUE(install_ddl_capture(link, {mover_id, "m", {"app.excluded"}}));
}

// It is in no publication yet, so nothing has named its rows.
TEST_F(DdlCapture, WaitsForNobodyWhoUsesATable) {
    app("EXPLAIN ANALYZE CREATE TABLE app.t AS SELECT 1 AS i");
    Sql other{databases_->url(Side::source, "ddl_app")};
    other.query("BEGIN; INSERT INTO app.t VALUES (2)");
    app("SET lock_timeout = '60s'; COMMENT ON TABLE app.t IS 'in use'");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT count(*) FROM segue.ddl WHERE refusal ~ 'others used it'"),
              "1");
    other.query("COMMIT");
}

// Nor for a publication, when its lock cannot be had either.
TEST_F(DdlCapture, LetsGoOfATableWithoutWaitingForItsPublication) {
    app("CREATE TABLE app.t (i int PRIMARY KEY); CREATE TABLE app.u (i int); CREATE INDEX u_i ON "
        "app.u (i)");
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; ALTER TABLE app.t DROP CONSTRAINT t_pkey");
    Sql other{databases_->url(Side::source, "ddl_app")};
    other.query("BEGIN; LOCK TABLE app.t IN SHARE MODE");
    app("SET lock_timeout = '60s'; SET statement_timeout = '60s'; DROP INDEX app.u_i");
    EXPECT_EQ(
        databases_->value(
            Side::source,
            "SELECT count(*) FROM segue.ddl WHERE refusal ~ 'its publication was locked, too'"),
        "1");
    other.query("COMMIT");
    app("COMMENT ON TABLE app.u IS 'x'; CREATE INDEX u_i ON app.u (i); DROP INDEX app.u_i");
    app("INSERT INTO app.t VALUES (1); UPDATE app.t SET i = 2");
}

// It tells what a command has done, too, and waits as little for it.
TEST_F(DdlCapture, RecordsWhatItCouldNotCaptureAsItRecordsTheRest) {
    const auto settings = [&](const std::string& function) {
        return databases_->value(
            Side::source,
            "SELECT array_agg(s ORDER BY s) FROM pg_proc p, unnest(p.proconfig)"
            " s WHERE p.proname = '" +
                function + "' AND s !~ '^(search_path|session_repl)'");
    };
    EXPECT_THAT(settings("ddl_missed"), ::testing::HasSubstr("lock_timeout="));
    EXPECT_EQ(settings("ddl_missed"), settings("ddl_caught"));
}

// From PostgreSQL 18 on; an older server has nothing to show, and does not look at what stands
// there.
TEST_F(DdlCapture, FollowsNoTableWhoseRowsTheServerWouldNotLetGo) {
    app("CREATE TABLE app.t (i int PRIMARY KEY, v int GENERATED ALWAYS AS (i + 1) STORED, w int)");
    app("INSERT INTO app.t VALUES (1)");
    databases_->run(Side::source,
                    "UPDATE pg_attribute SET attgenerated = 'v' WHERE attrelid = 'app.t'::regclass "
                    "AND attname = 'v'");
    app("ALTER TABLE app.t ADD COLUMN x int");
    EXPECT_EQ(refusal(), "") << "its key names its rows";
    app("ALTER TABLE app.t DROP CONSTRAINT t_pkey");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT relreplident::text || (SELECT count(*) FROM "
                                "pg_publication_rel WHERE prrelid = c.oid)"
                                " FROM pg_class c WHERE oid = 'app.t'::regclass"),
              "d0");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT count(*) > 0 FROM segue.ddl WHERE refusal ~ 'generated "
                                "when it is read.*ADD PRIMARY KEY'"),
              "t");
    app("UPDATE app.t SET w = 2; DROP TABLE app.t");
}

// They would fail each other by what they read and write of ours.
TEST_F(DdlCapture, FailsNoSerializableTransactionThatChangesTheSchema) {
    app("CREATE TABLE app.t0 (i int PRIMARY KEY, v int); CREATE TABLE app.t1 (i int PRIMARY KEY, v "
        "int);"
        " INSERT INTO app.t0 VALUES (1, 1); INSERT INTO app.t1 VALUES (1, 1)");
    std::vector<std::unique_ptr<Sql>> clients;
    for (std::size_t i = 0; i < 2; ++i) {
        clients.push_back(std::make_unique<Sql>(databases_->url(Side::source, "ddl_app")));
        clients[i]->query("BEGIN ISOLATION LEVEL SERIALIZABLE");
        clients[i]->query("SELECT count(*) FROM app.t" + std::to_string(i));
    }
    for (const char* const command :
         {"ALTER TABLE %T ADD a int; ALTER TABLE %T ADD b uuid DEFAULT gen_random_uuid()",
          "CREATE TABLE %T_made (i int); COMMENT ON TABLE %T IS 'x'",
          "ALTER TABLE %T ALTER a TYPE text USING 'a' || a; DROP TABLE %T_made",
          "UPDATE %T SET v = 2"}) {
        for (std::size_t i = 0; i < 2; ++i) {
            std::string sql = command;
            for (std::size_t at = sql.find("%T"); at != std::string::npos; at = sql.find("%T"))
                sql.replace(at, 2, "app.t" + std::to_string(i));
            clients[i]->query(sql);
        }
    }
    for (const auto& client : clients) client->query("COMMIT");
}

// A transaction may rewrite one table by several commands, and not every command computes.
TEST_F(DdlCapture, ShowsRowsOfTheCommandsThatHaveComputedThem) {
    app("CREATE TABLE app.t (i int PRIMARY KEY, v int); INSERT INTO app.t VALUES (1, 1)");
    const auto version = [&] { return app_->value("SELECT cmin::text::bigint FROM app.t"); };
    app("BEGIN; ALTER TABLE app.t ADD a uuid DEFAULT gen_random_uuid()");
    const std::string shown = version();
    app("ALTER TABLE app.t ADD CHECK (v > 0); ALTER TABLE app.t ADD b int DEFAULT 3");
    EXPECT_EQ(version(), shown) << "nothing was computed";
    app("SAVEPOINT s; ALTER TABLE app.t ADD c uuid DEFAULT gen_random_uuid(); ROLLBACK TO s");
    EXPECT_EQ(version(), shown);
    app("ALTER TABLE app.t ADD c uuid DEFAULT gen_random_uuid()");
    EXPECT_NE(version(), shown);
    app("COMMIT");
}

// The server tells nobody of them.
TEST_F(DdlCapture, StopsAtTablesThatWereMadeUnseen) {
    app("EXPLAIN (ANALYZE) CREATE TABLE app.t AS SELECT 1 AS i");
    app("COMMENT ON TABLE app.t IS 'seen'");
    EXPECT_EQ(refusal(),
              "it makes values that the stream does not show (segue repair takes them over "
              "afterwards), and the table had rows before it was moved");
    app("PREPARE p AS SELECT 1 AS i; CREATE TABLE app.u AS EXECUTE p");
    EXPECT_THAT(refusal(), HasSubstr("a statement that its session has prepared"));
    app("CREATE TABLE app.v AS SELECT 'EXECUTE p' AS i");
    EXPECT_EQ(refusal(), "");
}

// Also one of another signature, and its tables.
TEST_F(DdlCapture, IsRenewedWhereItIsAnotherBuilds) {
    Link link{databases_->url(Side::source), {.settings = {{mover_setting, mover_id}}}};
    const DdlCaptureSettings settings{mover_id, "m", {"app.excluded"}};
    const auto renew = [&] {
        const auto state = renew_ddl_capture(link, settings);
        EXPECT_TRUE(state) << state.error().detail;
        return *state;
    };
    EXPECT_EQ(renew(), CaptureState::present);
    databases_->run(
        Side::source,
        "UPDATE segue.saved SET previous = 'older' WHERE kind = 'ddl_capture';"
        " ALTER TABLE segue.ddl DROP COLUMN code; DROP TABLE segue.ddl_known;"
        " DROP FUNCTION segue.ddl_place(text, boolean); CREATE FUNCTION segue.ddl_place("
        "word text, ends boolean) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'");
    app("CREATE TABLE app.t (i int); DROP TABLE app.t");
    EXPECT_NE(refusal(), "");
    EXPECT_EQ(renew(), CaptureState::renewed);
    EXPECT_EQ(renew(), CaptureState::present);
    app("CREATE TABLE app.t (i int)");
    EXPECT_EQ(refusal(), "");
    EXPECT_TRUE(stop_ddl_capture(link));
    EXPECT_EQ(renew(), CaptureState::absent);
    EXPECT_TRUE(install_ddl_capture(link, settings));
}

// Advisory locks are anybody's.
TEST_F(DdlCapture, MakesTablesWhateverLocksApplicationsTake) {
    Sql other{databases_->url(Side::source, "ddl_app")};
    other.query("SELECT pg_advisory_lock(1399154532, i) FROM generate_series(0, 31) i");
    app("CREATE TABLE app.t (i int)");
    EXPECT_EQ(refusal(), "");
}

// From PostgreSQL 15 on a publication belongs to the transaction that adds a table to it.
TEST_F(DdlCapture, LetsTransactionsMakeTablesBesideEachOther) {
    std::vector<std::unique_ptr<Sql>> clients;
    for (int i = 0; i < 5; ++i) {
        clients.push_back(std::make_unique<Sql>(databases_->url(Side::source, "ddl_app")));
        const std::string name = "app.t" + std::to_string(i);
        clients.back()->query("SET lock_timeout = '20s'; BEGIN");
        clients.back()->query("CREATE TABLE " + name + " (i int)");
        clients.back()->query("INSERT INTO " + name + " VALUES (1)");
        clients.back()->query("UPDATE " + name + " SET i = 2");
    }
    for (const auto& client : clients) client->query("COMMIT");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT count(*) FROM pg_publication_tables WHERE schemaname = "
                                "'app' AND pubname LIKE 'segue_m_new_%'"),
              "5");
    EXPECT_EQ(databases_->value(Side::source, "SELECT count(*) FROM segue.ddl WHERE refusal <> ''"),
              "0");
}

TEST_F(DdlCapture, RecordsItsOwnFailureAndLetsTheCommandPass) {
    databases_->run(Side::source, "ALTER TABLE segue.saved RENAME TO hidden");
    app("CREATE TABLE app.t (i int)");
    databases_->run(Side::source, "ALTER TABLE segue.hidden RENAME TO saved");
    EXPECT_EQ(refusal(), "it could not be captured (42P01)");
    EXPECT_EQ(app_->value("SELECT count(*) FROM app.t"), "0");
    EXPECT_THAT(carry(),
                HasSubstr("CREATE TABLE of table app.t by role ddl_app on the source "
                          "cannot be carried to the target: it could not be captured"));
}

// An update of a published table without an identity is refused by the server.
TEST_F(DdlCapture, NamesRowsByTheirWholeWhenTheirKeyIsDropped) {
    app("CREATE TABLE app.t (i int PRIMARY KEY, v int); INSERT INTO app.t VALUES (1, 1)");
    app("ALTER TABLE app.t DROP CONSTRAINT t_pkey");
    app("UPDATE app.t SET v = 2");
    app("CREATE TABLE app.u (i int NOT NULL, v int); INSERT INTO app.u VALUES (1, 1)");
    app("CREATE UNIQUE INDEX u_i ON app.u (i)");
    app("ALTER TABLE app.u REPLICA IDENTITY USING INDEX u_i");
    app("DROP INDEX app.u_i");
    app("UPDATE app.u SET v = 2");
    app("CREATE DOMAIN app.number AS int; CREATE TABLE app.w (i app.number PRIMARY KEY, v int)");
    app("INSERT INTO app.w VALUES (1, 1); DROP DOMAIN app.number CASCADE; UPDATE app.w SET v = 2");
    app("CREATE TABLE app.x (i int PRIMARY KEY, v int); INSERT INTO app.x VALUES (1, 1)");
    app("ALTER TABLE app.x REPLICA IDENTITY NOTHING; DELETE FROM app.x");
}

TEST_F(DdlCapture, BelievesNoSettingOfAnApplication) {
    app("CREATE TABLE app.t (id int PRIMARY KEY, v int)");
    app("SET segue.ddl_own = 'on'; SET segue.ddl_context = '{role,postgres}';"
        " SET segue.ddl_watch = 'on'; SET segue.mover = 'id-1'");
    app("ALTER TABLE app.t ADD COLUMN w int");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT tag || ' ' || settings[2] FROM segue.ddl ORDER BY id DESC "
                                "LIMIT 1"),
              "ALTER TABLE ddl_app");
}

TEST_F(DdlCapture, RefusesWhatItCannotKnow) {
    app("CREATE TABLE app.t (id int PRIMARY KEY, v int)");
    app("CREATE FUNCTION app.alters() RETURNS int LANGUAGE sql AS"
        " 'ALTER TABLE app.t ADD COLUMN w int; SELECT 1'");
    const std::pair<const char*, const char*> commands[] = {
        {"DO $$ BEGIN ALTER TABLE app.t ADD COLUMN hidden int; END $$", "a DO block"},
        {"SELECT app.alters()", "inside a function"},
        {"CREATE TEMP TABLE passing (i int); GRANT SELECT ON passing TO PUBLIC", "temporary"},
        {"SELECT 1 AS i INTO app.taken", "CREATE TABLE AS"},
        {"CREATE UNLOGGED TABLE app.light (i int); INSERT INTO app.light VALUES (1)", ""},
        {"ALTER TABLE app.light SET LOGGED", "had rows before it was moved"},
        {"DROP OWNED BY ddl_app", "need not be the same on both sides"}};
    for (const auto& [command, why] : commands) {
        SCOPED_TRACE(command);
        app(command);
        EXPECT_THAT(refusal(), HasSubstr(why));
    }
}

// Inside the application's own command, which shall not take long.
TEST_F(DdlCapture, ShowsNoMoreThanItsLimitOfRows) {
    app("CREATE TABLE app.t (i int PRIMARY KEY, v text); ALTER TABLE app.t ALTER v SET STORAGE "
        "PLAIN;"
        " INSERT INTO app.t SELECT i, repeat('x', 7000) FROM generate_series(1, 2000) i");
    app("ALTER TABLE app.t ADD COLUMN a uuid DEFAULT gen_random_uuid()");
    EXPECT_EQ(refusal(), "") << "15.6 MB";
    app("INSERT INTO app.t SELECT i, repeat('x', 7000) FROM generate_series(2001, 2100) i");
    app("ALTER TABLE app.t ADD COLUMN b uuid DEFAULT gen_random_uuid()");
    EXPECT_EQ(refusal(),
              "it makes values that the stream does not show (segue repair takes them over "
              "afterwards), and the table is larger than 16777216 bytes");
}

// Temporary tables come and go all the time.
TEST_F(DdlCapture, LooksForRowsWithoutANameOnlyWhereAnIndexThatStaysIsDropped) {
    app("CREATE TABLE app.t (i int PRIMARY KEY)");
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; ALTER TABLE app.t DROP CONSTRAINT t_pkey");
    const std::string identity = "SELECT relreplident FROM pg_class WHERE oid = 'app.t'::regclass";
    app("CREATE TEMP TABLE passing (i int PRIMARY KEY); CREATE INDEX passing_i ON passing (i); DROP"
        " INDEX passing_i; DROP TABLE passing");
    EXPECT_EQ(databases_->value(Side::source, identity), "d");
    app("CREATE INDEX t_i ON app.t (i); DROP INDEX app.t_i");
    EXPECT_EQ(databases_->value(Side::source, identity), "f");
}

TEST_F(DdlCapture, TakesNoNoticeOfWhatIsNotMoved) {
    app("CREATE TABLE app.excluded (i int)");
    app("CREATE TEMP TABLE passing (i int); ALTER TABLE passing ADD j int; DROP TABLE passing");
    app("CREATE TABLE IF NOT EXISTS app.excluded (i int)");
    databases_->run(Side::source, "CREATE EXTENSION pg_stat_statements");
    databases_->run(Side::source, "DROP EXTENSION pg_stat_statements");
    EXPECT_EQ(databases_->value(Side::source,
                                "SELECT string_agg(tag, ',' ORDER BY id) FROM segue.ddl"
                                " WHERE objects <> '{\"schema app\"}'"),
              "CREATE EXTENSION,DROP EXTENSION");
}

}  // namespace
}  // namespace segue::backfill::postgres
