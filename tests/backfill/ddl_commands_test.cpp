// Commands that applications run, kind by kind: each is carried, and the other side is the same
// afterwards, or stops with words that say why.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/ddl_support.hpp"
#include "tests/support/schema_changes.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::HasSubstr;

struct Command {
    std::vector<std::string> before;  // Carried as well.
    std::string sql;
    std::string stops = {};  // With these words; empty: it is carried.
    std::string stops_while_copying = stops;
};

// Not a command: app.p1 begins to be detached, and is not.
const std::string interrupted = "interrupted";

// Not a command that is carried: a unique index of app.t that cannot be built is left behind.
const std::string unbuilt = "unbuilt";

const std::string keyed = "CREATE TABLE app.t (id int PRIMARY KEY, v text NOT NULL, w int)";

const std::vector<Command> commands = {
    {{"CREATE TABLE app.p (i int NOT NULL) PARTITION BY LIST (i)",
      "CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1)"},
     "ALTER TABLE app.p DETACH PARTITION app.p1 CONCURRENTLY"},
    {{"CREATE TABLE app.p (i int NOT NULL) PARTITION BY LIST (i)",
      "CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1)",
      interrupted},
     "ALTER TABLE app.p DETACH PARTITION app.p1 FINALIZE"},
    {{keyed, "CREATE SCHEMA more", "GRANT ALL ON SCHEMA more TO ddl_other"},
     "BEGIN; SET LOCAL ROLE ddl_other; CREATE TABLE more.of_other (i int PRIMARY KEY); COMMIT"},
    {{keyed}, "CREATE VIEW app.v AS SELECT id, v, count(*) FROM app.t GROUP BY id"},
    {{keyed, "CREATE VIEW app.v AS SELECT id, v, count(*) FROM app.t GROUP BY id"},
     "ALTER TABLE app.t DROP CONSTRAINT t_pkey CASCADE"},
    {{}, "CREATE TABLE app.made AS SELECT 1 AS i"},
    {{}, "SELECT 1 AS i INTO app.made", "only CREATE TABLE AS is carried"},
    {{}, "CREATE UNLOGGED TABLE app.made AS SELECT 1 AS i"},
    {{"CREATE TABLE app.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text NOT NULL"
      " DEFAULT 'x' CHECK (v <> ''), w int GENERATED ALWAYS AS (3 + 4) STORED UNIQUE)",
      "CREATE INDEX t_v ON app.t (v) WHERE v <> 'y'",
      "COMMENT ON COLUMN app.t.v IS 'of v'",
      "CREATE STATISTICS app.st ON id, v FROM app.t",
      "ALTER TABLE app.t ALTER v SET STORAGE EXTERNAL"},
     "CREATE TABLE app.u (LIKE app.t INCLUDING ALL)"},
    {{keyed}, "CREATE TABLE app.u (LIKE app.t)"},
    {{"CREATE TYPE app.e AS ENUM ('b')"}, "ALTER TYPE app.e ADD VALUE 'a' BEFORE 'b'"},
    {{"CREATE TYPE app.e AS ENUM ('b')"}, "ALTER TYPE app.e ADD VALUE IF NOT EXISTS 'b'"},
    {{"CREATE TYPE app.e AS ENUM ('b')"},
     "BEGIN; ALTER TYPE app.e ADD VALUE 'c' AFTER 'b'; ALTER TYPE app.e ADD VALUE 'd'; COMMIT"},
    {{"CREATE TYPE app.e AS ENUM ('b')"}, "ALTER TYPE app.e RENAME VALUE 'b' TO 'a'"},
    {{"CREATE TYPE app.e AS ENUM ('b')"}, "ALTER TYPE app.e RENAME TO f"},
    {{"CREATE TYPE app.e AS ENUM ('b')", "CREATE TABLE app.t (i int PRIMARY KEY, e app.e)"},
     "DROP TYPE app.e CASCADE"},
    {{keyed, "CREATE SEQUENCE app.s"}, "ALTER SEQUENCE app.s OWNED BY app.t.id"},
    {{keyed, "CREATE SEQUENCE app.s OWNED BY app.t.id"}, "ALTER SEQUENCE app.s OWNED BY NONE"},
    {{keyed, "CREATE SEQUENCE app.s"}, "ALTER TABLE app.t ALTER id SET DEFAULT nextval('app.s')"},
    {{keyed}, "COMMENT ON TABLE app.t IS $$it's$$"},
    {{keyed}, "COMMENT ON COLUMN app.t.v IS E'a\\nb'"},
    {{keyed}, "COMMENT ON CONSTRAINT t_pkey ON app.t IS 'key'"},
    {{keyed}, "COMMENT ON INDEX app.t_pkey IS 'key'"},
    {{}, "COMMENT ON SCHEMA app IS 'all of it'"},
    {{"CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'"},
     "COMMENT ON FUNCTION app.f(int) IS 'f'"},
    {{"CREATE DOMAIN app.d AS int"}, "COMMENT ON DOMAIN app.d IS 'd'"},
    {{"CREATE TYPE app.e AS ENUM ('b')"}, "COMMENT ON TYPE app.e IS NULL"},
    {{keyed}, "GRANT SELECT (id, v), UPDATE (v) ON app.t TO PUBLIC"},
    {{keyed, "GRANT SELECT (id, v) ON app.t TO PUBLIC"}, "REVOKE SELECT (v) ON app.t FROM PUBLIC"},
    {{keyed}, "GRANT ALL ON ALL TABLES IN SCHEMA app TO PUBLIC"},
    {{}, "GRANT USAGE ON SCHEMA app TO PUBLIC"},
    {{keyed}, "DROP OWNED BY ddl_other", "what it drops need not be the same on both sides"},
    {{keyed,
      "CREATE TABLE app.u (i int REFERENCES app.t)",
      "CREATE VIEW app.v AS SELECT * FROM app.t"},
     "DROP TABLE app.t CASCADE"},
    {{"CREATE SEQUENCE app.s", "CREATE TABLE app.t (i int DEFAULT nextval('app.s'))"},
     "DROP SEQUENCE app.s CASCADE"},
    {{"CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
      "CREATE TABLE app.t (i int DEFAULT app.f())"},
     "DROP FUNCTION app.f() CASCADE"},
    {{"CREATE SCHEMA AUTHORIZATION ddl_app",
      "CREATE TABLE ddl_app.t (i int PRIMARY KEY)",
      "CREATE VIEW app.v AS SELECT * FROM ddl_app.t"},
     "DROP SCHEMA ddl_app CASCADE"},
    {{"CREATE SCHEMA more", keyed, "CREATE INDEX t_v ON app.t (v)"},
     "ALTER TABLE app.t SET SCHEMA more",
     "",
     "was renamed before the copy was consistent"},
    {{"DROP SCHEMA IF EXISTS more CASCADE"},
     "ALTER SCHEMA app RENAME TO more",
     "it is not one of the commands that are carried"},
    {{}, "CREATE DOMAIN app.d AS text DEFAULT 'x' NOT NULL CHECK (VALUE <> '')"},
    {{"CREATE DOMAIN app.d AS text"},
     "ALTER DOMAIN app.d SET NOT NULL",
     "it is not one of the commands that are carried"},
    {{"CREATE DOMAIN app.d AS text"}, "DROP DOMAIN app.d"},
    {{},
     "CREATE FUNCTION app.f(i int) RETURNS int LANGUAGE plpgsql SET search_path = app, pg_temp SET"
     " work_mem = '5MB' AS $f$ BEGIN EXECUTE $$SELECT ';'$$; RETURN i; END $f$"},
    {{}, "CREATE PROCEDURE app.f() LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END"},
    {{"CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"},
     "ALTER FUNCTION app.f() SET statement_timeout = '5s'"},
    {{"CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"},
     "ALTER FUNCTION app.f() RENAME TO g"},
    {{},
     "CREATE AGGREGATE app.total(int) (SFUNC = int4pl, STYPE = int)",
     "it is not one of the commands that are carried"},
    {{keyed}, "DO $$ BEGIN EXECUTE 'ALTER TABLE app.t ADD COLUMN x int'; END $$", "a DO block"},
    {{keyed,
      "CREATE FUNCTION app.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE app.t ADD "
      "COLUMN x int; END $$"},
     "SELECT app.f()",
     "inside a function"},
    {{},
     "CREATE TEMP TABLE passing (i serial PRIMARY KEY, v text); CREATE INDEX ON passing (v);"
     " ALTER TABLE passing ADD COLUMN w int; COMMENT ON TABLE passing IS 'x'; CREATE TEMP VIEW "
     "seen AS SELECT"
     " * FROM passing; CREATE TEMP SEQUENCE one; CREATE TEMP TABLE too AS SELECT 1 AS i; SELECT 1 "
     "AS i INTO TEMP three;"
     " ALTER TABLE too RENAME TO also; CREATE FUNCTION pg_temp.f() RETURNS int"
     " LANGUAGE sql AS 'SELECT 1'; CREATE TYPE pg_temp.kind AS ENUM ('a'); DROP TYPE pg_temp.kind; "
     "DROP FUNCTION pg_temp.f();"
     " DROP TABLE passing CASCADE; DROP TABLE also; DROP TABLE three; DROP SEQUENCE one"},
    {{keyed}, "CREATE TEMP TABLE t AS SELECT * FROM app.t; DROP TABLE pg_temp.t"},
    {{}, "CREATE UNLOGGED TABLE app.u (i serial PRIMARY KEY)"},
    {{"CREATE UNLOGGED TABLE app.u (i int PRIMARY KEY)"}, "ALTER TABLE app.u SET LOGGED"},
    {{"CREATE UNLOGGED TABLE app.u (i int PRIMARY KEY)", "INSERT INTO app.u VALUES (1)"},
     "ALTER TABLE app.u SET LOGGED",
     "the table had rows before it was moved"},
    {{keyed}, "CREATE TABLE IF NOT EXISTS app.t (i int)"},
    {{keyed}, "CREATE TABLE IF NOT EXISTS app.t AS SELECT 1 AS i"},
    {{keyed}, "ALTER TABLE app.t ADD COLUMN IF NOT EXISTS v int"},
    {{}, "ALTER TABLE IF EXISTS app.nothing ADD COLUMN v int"},
    {{}, "DROP TABLE IF EXISTS app.nothing"},
    {{"CREATE SCHEMA \"Größe.x\""},
     "SET search_path = \"Größe.x\", app; CREATE TABLE \"tä\"\"b.l'e\" (\"Üb er\" int PRIMARY KEY, "
     "\"select\" text);"
     " CREATE INDEX ON \"tä\"\"b.l'e\" (\"select\"); ALTER TABLE \"tä\"\"b.l'e\" RENAME \"select\" "
     "TO \"\u4e2d\"; RESET search_path"},
    {{}, "CREATE TABLE app.U&\"d\\0061t\\+000061\" (i int)"},
    {{keyed},
     "SET search_path = app; ALTER TABLE t ADD COLUMN x int; CREATE VIEW seen AS SELECT x FROM t; "
     "RESET search_path"},
    {{},
     "SET standard_conforming_strings = off; CREATE TABLE app.t (v text DEFAULT 'a\\\\b'); RESET "
     "standard_conforming_strings",
     "standard_conforming_strings off"},
    {{keyed, "CREATE UNIQUE INDEX t_w ON app.t (w)"},
     "ALTER TABLE app.t ADD CONSTRAINT once UNIQUE USING INDEX t_w"},
    {{"CREATE TABLE app.t (i int)", "CREATE UNIQUE INDEX t_i ON app.t (i)"},
     "ALTER TABLE app.t ADD PRIMARY KEY USING INDEX t_i",
     "",
     "index \"t_i\" does not exist"},
    {{keyed, "CREATE INDEX t_w ON app.t (w)"}, "REINDEX TABLE app.t"},
    {{keyed, "CREATE INDEX t_w ON app.t (w)"}, "REINDEX INDEX CONCURRENTLY app.t_w"},
    {{keyed}, "REINDEX TABLE CONCURRENTLY app.t"},
    {{keyed, "CREATE INDEX t_w ON app.t (w)", "REINDEX TABLE CONCURRENTLY app.t"},
     "ALTER TABLE app.t ADD COLUMN x int"},
    // No event tells that it is an index now. With the rest of a copy it comes by itself.
    {{keyed, unbuilt, "TRUNCATE app.t", "REINDEX INDEX app.t_twice"},
     "ALTER TABLE app.t ADD COLUMN x int",
     "it is without app.t | index | t_twice",
     ""},
    {{keyed, unbuilt, "TRUNCATE app.t", "REINDEX INDEX CONCURRENTLY app.t_twice"},
     "CREATE INDEX t_w ON app.t (w)",
     "it is without app.t | index | t_twice",
     ""},
    {{keyed, unbuilt, "TRUNCATE app.t", "REINDEX TABLE app.t"}, "DROP TABLE app.t"},
    {{keyed, "CREATE VIEW app.v AS SELECT id, v FROM app.t GROUP BY id"},
     "CREATE OR REPLACE VIEW app.v AS SELECT id, v, count(*) FROM app.t GROUP BY id"},
    {{keyed, "CREATE VIEW app.v AS SELECT id, v FROM app.t GROUP BY id"},
     "ALTER TABLE app.t RENAME COLUMN v TO renamed"},
    {{keyed, "CREATE INDEX t_w ON app.t (w)"}, "ALTER INDEX app.t_w RENAME TO t_x"},
    {{keyed, "CREATE VIEW app.v AS SELECT * FROM app.t"}, "ALTER VIEW app.v RENAME COLUMN w TO x"},
    {{keyed},
     "CREATE RULE r AS ON DELETE TO app.t DO INSTEAD NOTHING",
     "it is not one of the commands that are carried"},
    {{keyed},
     "ALTER TABLE app.t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON app.t USING (v = "
     "current_user)"},
    {{keyed}, "ALTER TABLE app.t SET (fillfactor = 70, autovacuum_enabled = off)"},
    {{keyed},
     "ALTER TABLE app.t ALTER v SET STATISTICS 5, ALTER v SET STORAGE EXTERNAL, CLUSTER ON t_pkey"},
    {{keyed}, "ALTER TABLE app.t REPLICA IDENTITY FULL"},
};

class DdlCommands : public test::DdlTest {
protected:
    void TearDown() override {
        if (app_)
            app("DROP SCHEMA IF EXISTS more CASCADE; DROP SCHEMA IF EXISTS \"Größe.x\" CASCADE; "
                "DROP SCHEMA IF EXISTS ddl_app CASCADE; DROP SCHEMA IF EXISTS app CASCADE");
        if (app_) carry();
    }
    void interrupt_detachment() {
        test::Sql reader{databases_->url(Side::source, "ddl_app")};
        reader.query("BEGIN; SELECT FROM app.p");
        app("SET statement_timeout = '300ms'");
        EXPECT_FALSE(app_->attempt("ALTER TABLE app.p DETACH PARTITION app.p1 CONCURRENTLY").ok);
        app("RESET statement_timeout");
    }
    void leave_an_index_unbuilt() {
        app("INSERT INTO app.t VALUES (1, '', 1), (2, '', 1)");
        EXPECT_FALSE(app_->attempt("CREATE UNIQUE INDEX CONCURRENTLY t_twice ON app.t (w)").ok);
    }
};

TEST_F(DdlCommands, AreCarriedOrStop) {
    for (const Side side : {Side::source, Side::target})
        databases_->run(side,
                        "DO $$ BEGIN CREATE ROLE ddl_other; EXCEPTION WHEN duplicate_object THEN "
                        "NULL; END $$; GRANT ddl_other TO ddl_app; GRANT CREATE ON DATABASE " +
                            databases_->database() + " TO ddl_app");
    for (const Command& command : commands) {
        for (const bool copying : {false, true}) {
            SCOPED_TRACE(command.sql + (copying ? " (copying)" : ""));
            for (const Side side : {Side::source, Side::target})
                databases_->run(
                    side,
                    "SET segue.mover = 'id-1'; DROP SCHEMA IF EXISTS app CASCADE;"
                    "DROP SCHEMA IF EXISTS more CASCADE; DROP SCHEMA IF EXISTS \"Größe.x\" CASCADE;"
                    "DROP SCHEMA IF EXISTS ddl_app CASCADE;"
                    " CREATE SCHEMA app AUTHORIZATION ddl_app");
            for (const std::string& sql : command.before) {
                if (sql == interrupted) {
                    interrupt_detachment();
                    continue;
                }
                if (sql == unbuilt) {
                    leave_an_index_unbuilt();
                    continue;
                }
                app(sql);
                EXPECT_EQ(carry(copying), "") << sql;
            }
            app(command.sql);
            const std::string why = carry(copying);
            const std::string& stops = copying ? command.stops_while_copying : command.stops;
            if (stops.empty()) {
                EXPECT_EQ(why, "");
            } else {
                EXPECT_THAT(why, HasSubstr(stops));
            }
            if (copying || !command.stops.empty()) continue;
            for (const std::string& difference :
                 test::compare_dumps(test::Databases::server(Side::source),
                                     test::Databases::server(Side::target),
                                     databases_->database()))
                ADD_FAILURE() << difference;
        }
    }
}

}  // namespace
}  // namespace segue::backfill::postgres
