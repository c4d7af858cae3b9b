#include "backfill/postgres/ddl_apply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::HasSubstr;

class DdlApply : public test::DdlTest {
protected:
    // Runs it as the application, and says what becomes of it on the target.
    std::string both(const std::string& sql) {
        app(sql);
        return carry();
    }
};

TEST_F(DdlApply, RunsACommandWithTheRightsAndSettingsOfItsRole) {
    EXPECT_EQ(both("SET search_path = app; SET TimeZone = 'Asia/Tokyo'"), "");
    EXPECT_EQ(
        both("CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT '2026-01-01 00:00')"), "");
    EXPECT_EQ(both("ALTER TABLE t ADD COLUMN v text"), "");
    EXPECT_EQ(on_target("SELECT tableowner FROM pg_tables WHERE tablename = 't'"), "ddl_app");
    EXPECT_EQ(on_target("SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'app.t'::regclass"
                        " AND tgname = 'segue_fence'"),
              "A");
    EXPECT_EQ(on_target("SELECT count(*) FROM pg_publication_tables WHERE tablename = 't'"), "1");
    EXPECT_EQ(on_target("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'ddl_room%'"), "0");
}

// However it tries: the text, and whatever the text calls, stays its role's.
TEST_F(DdlApply, LeavesNoWayOutOfTheRole) {
    const char* const attempts[] = {"RESET ROLE",
                                    "SET ROLE postgres",
                                    "SET SESSION AUTHORIZATION postgres",
                                    "SELECT set_config('role', 'none', true)",
                                    "SELECT set_config('session_authorization', 'postgres', false)",
                                    "DO $x$ BEGIN EXECUTE 'RESET ROLE'; END $x$",
                                    "DO $x$ BEGIN COMMIT; END $x$",
                                    "CREATE TEMP VIEW pg_class AS SELECT 1",
                                    "PREPARE p AS SELECT 1",
                                    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
                                    "ALTER ROLE ddl_app SUPERUSER",
                                    "SET session_replication_role = origin",
                                    "COMMIT"};
    for (const char* const attempt : attempts) {
        SCOPED_TRACE(attempt);
        follow("BEGIN");
        EXPECT_FALSE(
            follower_->execute("SELECT segue.ddl_as('ddl_app', '{}', $1)", {std::string{attempt}}));
        follow("ROLLBACK");
        follow("BEGIN");
        const std::string inside = "DO $y$ BEGIN EXECUTE " + quote_literal(attempt) + "; END $y$";
        EXPECT_FALSE(follower_->execute("SELECT segue.ddl_as('ddl_app', '{}', $1)", {inside}));
        follow("ROLLBACK");
    }
    const auto kept = follower_->execute("SHOW search_path");
    follow("BEGIN");
    EXPECT_TRUE(follower_->execute(
        "SELECT segue.ddl_as('ddl_app', '{}', 'SET search_path = app, public')"));
    follow("COMMIT");
    EXPECT_EQ(follower_->execute("SHOW search_path")->text(0, 0), kept->text(0, 0));
    EXPECT_FALSE(is_superuser(Side::target));
}

TEST_F(DdlApply, RefusesCodeThatTheMoverWouldRunWithItsOwnRights) {
    EXPECT_EQ(both("CREATE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
                   " 'SELECT $1 > 0'"),
              "");
    EXPECT_EQ(both("CREATE TABLE app.plain (i int CHECK (i > 0), j int DEFAULT 3)"), "");
    const char* const commands[] = {
        "CREATE TABLE app.a (i int CHECK (app.ok(i)))",
        "CREATE INDEX plain_ok ON app.plain (app.ok(i))",
        "CREATE TABLE app.c (i int PRIMARY KEY, k boolean GENERATED ALWAYS AS (app.ok(i)) STORED)",
        "CREATE TABLE app.b (i int) PARTITION BY LIST (app.ok(i))"};
    for (const char* const command : commands) {
        SCOPED_TRACE(command);
        EXPECT_THAT(both(command), HasSubstr("runs function app.ok(integer) of role ddl_app"));
    }
    // What the mover runs for another table already is nothing new.
    databases_->run(Side::target,
                    "SET segue.mover = 'id-1'; SET check_function_bodies = off;"
                    " CREATE TABLE app.old (i int CHECK (app.ok(i)))");
    EXPECT_EQ(both("CREATE TABLE app.e (i int CHECK (app.ok(i)))"), "");
    EXPECT_THAT(both("CREATE OR REPLACE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql"
                     " AS 'SELECT $1 > 1'"),
                HasSubstr("runs function app.ok(integer) of role ddl_app"));
    databases_->run(Side::target, "SET segue.mover = 'id-1'; DROP TABLE app.old, app.e");
    EXPECT_EQ(both("CREATE DOMAIN app.d AS int"), "");
    EXPECT_EQ(both("CREATE TABLE app.of_domain (i app.d)"), "");
    EXPECT_THAT(both("ALTER DOMAIN app.d ADD CONSTRAINT ok CHECK (app.ok(VALUE))"),
                HasSubstr("runs function app.ok(integer) of role ddl_app"));
}

TEST_F(DdlApply, RefusesTriggersAndRulesThatFireOnBothSides) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE TABLE app.u (i int); CREATE TABLE app.log (i"
                   " int); CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS"
                   " 'BEGIN RETURN NEW; END'"),
              "");
    EXPECT_EQ(both("CREATE TRIGGER fires AFTER INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION"
                   " app.f()"),
              "");
    EXPECT_EQ(both("CREATE RULE rule AS ON INSERT TO app.u DO ALSO INSERT INTO app.log VALUES (1)"),
              "");
    EXPECT_THAT(both("ALTER TABLE app.t ENABLE ALWAYS TRIGGER fires"), HasSubstr("trigger fires"));
    EXPECT_THAT(both("ALTER TABLE app.u ENABLE REPLICA RULE rule"), HasSubstr("rule rule"));
    // A comment hides it from whoever looks at the text only.
    EXPECT_THAT(both("ALTER TABLE app.t ENABLE ALWAYS /*\n*/ TRIGGER fires"),
                HasSubstr("trigger fires"));
}

TEST_F(DdlApply, KeepsTheFenceArmed) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t DISABLE TRIGGER USER"), "");
    EXPECT_EQ(both("ALTER TABLE app.t ENABLE TRIGGER USER"), "");
    EXPECT_EQ(on_target("SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'app.t'::regclass"
                        " AND tgname = 'segue_fence'"),
              "A");
}

// The server tells the whole text of a message, not which part of it an event belongs to.
TEST_F(DdlApply, FindsEachCommandOfATextAlsoAcrossItsTransactions) {
    EXPECT_EQ(both("BEGIN; CREATE TABLE app.t (i int DEFAULT 1); COMMIT; BEGIN;"
                   " CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMIT;"
                   " DROP TABLE IF EXISTS app.nothing; CREATE OR REPLACE FUNCTION app.f()"
                   " RETURNS int LANGUAGE sql AS 'SELECT 2'; COMMENT ON TABLE app.t IS 'a';"
                   " CREATE TEMP TABLE passing (i int); CREATE TABLE app.u (i int);"
                   " DROP TABLE passing; COMMENT ON TABLE app.t IS 'b'; DROP TABLE app.u"),
              "");
    EXPECT_EQ(on_target("SELECT app.f()"), "2");
    EXPECT_EQ(on_target("SELECT obj_description('app.t'::regclass)"), "b");
    EXPECT_EQ(on_target("SELECT to_regclass('app.u') IS NULL"), "t");
    EXPECT_THAT(both("BEGIN; SAVEPOINT a; COMMENT ON TABLE app.t IS 'c'; ROLLBACK TO a;"
                     " COMMENT ON TABLE app.t IS 'd'; COMMIT"),
                HasSubstr("takes some back"));
    EXPECT_EQ(on_target("SELECT obj_description('app.t'::regclass)"), "b");
}

// By a job, in a function: the object tells all of the command.
TEST_F(DdlApply, RefreshesAMaterializedViewFromWhereverItIsRefreshed) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE MATERIALIZED VIEW app.v AS SELECT * FROM"
                   " app.t"),
              "");
    databases_->run(Side::target, "SET segue.mover = 'id-1'; INSERT INTO app.t VALUES (1)");
    EXPECT_EQ(both("DO $$ BEGIN REFRESH MATERIALIZED VIEW app.v; END $$"), "");
    EXPECT_EQ(on_target("SELECT count(*) FROM app.v"), "1");
}

TEST_F(DdlApply, DropsSeveralObjectsByOneCommand) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE TABLE app.u (i int); CREATE TABLE app.v (i"
                   " int)"),
              "");
    EXPECT_EQ(both("DROP TABLE app.t, app.u"), "");
    databases_->run(Side::target, "DROP TABLE app.v");
    EXPECT_EQ(both("DROP TABLE app.v"), "") << "it is so already";
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE TABLE app.u (i int)"), "");
    databases_->run(Side::target, "DROP TABLE app.t");
    EXPECT_THAT(both("DROP TABLE app.t, app.u"), HasSubstr("does not exist"));
}

TEST_F(DdlApply, RefusesWhatWritesRowsByItself) {
    EXPECT_EQ(both("CREATE TABLE app.log (i int); CREATE TABLE app.t (i int PRIMARY KEY);"
                   " CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS"
                   " 'INSERT INTO app.log VALUES (1) RETURNING 1'"),
              "");
    databases_->run(Side::target, "INSERT INTO app.t VALUES (1)");
    EXPECT_THAT(both("ALTER TABLE app.t ADD COLUMN j int DEFAULT app.f()"),
                HasSubstr("it writes rows by itself"));
}

TEST_F(DdlApply, TakesTheValueOfANewColumnFromTheAuthority) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    app("INSERT INTO app.t VALUES (1)");
    databases_->run(Side::target, "INSERT INTO app.t VALUES (1)");
    EXPECT_EQ(both("ALTER TABLE app.t ADD COLUMN at timestamptz NOT NULL DEFAULT now()"), "");
    EXPECT_EQ(on_target("SELECT extract(epoch FROM at) FROM app.t"),
              app_->value("SELECT extract(epoch FROM at) FROM app.t"));
}

TEST_F(DdlApply, NamesRowsByTheirWholeOnTheFollowerToo) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int NOT NULL)"), "");
    EXPECT_EQ(both("CREATE UNIQUE INDEX t_i ON app.t (i)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t REPLICA IDENTITY USING INDEX t_i"), "");
    EXPECT_EQ(both("DROP INDEX app.t_i"), "");
    EXPECT_EQ(on_target("SELECT relreplident FROM pg_class WHERE oid = 'app.t'::regclass"), "f");
}

TEST_F(DdlApply, StopsAtARenameWhileTablesAreCopied) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    app("ALTER TABLE app.t RENAME TO renamed");
    EXPECT_THAT(carry(true), HasSubstr("was renamed before the copy was consistent"));
}

TEST_F(DdlApply, RefusesARoleOrATextThatIsNotThere) {
    databases_->run(Side::source,
                    "DROP ROLE IF EXISTS ddl_absent; CREATE ROLE ddl_absent SUPERUSER");
    databases_->run(Side::source, "SET ROLE ddl_absent; CREATE TABLE app.of_absent (i int)");
    EXPECT_THAT(carry(), HasSubstr("role ddl_absent does not exist there"));
    EXPECT_THAT(both("SET standard_conforming_strings = off; CREATE TABLE app.t (i int)"),
                HasSubstr("standard_conforming_strings"));
    databases_->run(Side::source, "DROP TABLE app.of_absent; DROP OWNED BY ddl_absent");
    databases_->server(Side::source).run("DROP ROLE ddl_absent");
}

}  // namespace
}  // namespace segue::backfill::postgres
