#include "backfill/postgres/ddl_apply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/sequence_keeper.hpp"
#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::HasSubstr;

class DdlApply : public test::DdlTest {};

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
    const std::pair<const char*, const char*> attempts[] = {
        {"RESET", "RESET ROLE"},
        {"SET", "SET ROLE postgres"},
        {"SET", "SET SESSION AUTHORIZATION postgres"},
        {"SELECT", "SELECT set_config('role', 'none', true)"},
        {"SELECT", "SELECT set_config('session_authorization', 'postgres', false)"},
        {"DO", "DO $x$ BEGIN EXECUTE 'RESET ROLE'; END $x$"},
        {"DO", "DO $x$ BEGIN COMMIT; END $x$"},
        {"CREATE VIEW", "CREATE TEMP VIEW pg_class AS SELECT 1"},
        {"PREPARE", "PREPARE p AS SELECT 1"},
        {"DECLARE CURSOR", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"},
        {"ALTER ROLE", "ALTER ROLE ddl_app SUPERUSER"},
        {"SET", "SET session_replication_role = origin"},
        {"COMMIT", "COMMIT"}};
    const auto as_app = [&](const std::string& tag, const std::string& text) {
        return follower_->execute("SELECT segue.ddl_as('ddl_app', '{}', $1, $2)", {tag, text});
    };
    for (const auto& [tag, attempt] : attempts) {
        SCOPED_TRACE(attempt);
        follow("BEGIN");
        EXPECT_FALSE(as_app(tag, attempt));
        follow("ROLLBACK");
        follow("BEGIN");
        EXPECT_FALSE(as_app("DO", "DO $y$ BEGIN EXECUTE " + quote_literal(attempt) + "; END $y$"));
        follow("ROLLBACK");
    }
    const auto kept = follower_->execute("SHOW search_path");
    follow("BEGIN");
    EXPECT_TRUE(as_app("SET", "SET search_path = app, public"));
    follow("COMMIT");
    EXPECT_EQ(follower_->execute("SHOW search_path")->text(0, 0), kept->text(0, 0));
    EXPECT_FALSE(is_superuser(Side::target));
}

// However our own reading of a text may differ from the server's.
TEST_F(DdlApply, RunsNothingButOneCommandOfTheKindThatTheServerHasTold) {
    const char* const texts[] = {"COMMENT ON SCHEMA app IS 'a'; COMMENT ON SCHEMA app IS 'b'",
                                 "COMMENT ON SCHEMA app IS 'a' --\r; SELECT 1",
                                 "SELECT 1",
                                 "CREATE TABLE app.t (i int)",
                                 "",
                                 "COMMENT ON"};
    for (const char* const text : texts) {
        SCOPED_TRACE(text);
        follow("BEGIN");
        EXPECT_FALSE(follower_->execute("SELECT segue.ddl_as('ddl_app', '{}', 'COMMENT', $1)",
                                        {std::string{text}}));
        follow("ROLLBACK");
    }
    follow("BEGIN");
    EXPECT_TRUE(follower_->execute("SELECT segue.ddl_as('ddl_app', '{}', 'COMMENT', $1)",
                                   {std::string{"COMMENT ON SCHEMA app IS 'a; b' -- ; c"}}));
    follow("ROLLBACK");
}

TEST_F(DdlApply, RefusesCodeThatTheMoverWouldRunWithItsOwnRights) {
    EXPECT_EQ(both("CREATE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
                   " 'SELECT $1 > 0'"),
              "");
    EXPECT_EQ(both("CREATE TABLE app.plain (i int, j int DEFAULT app.ok(3)::int)"), "");
    EXPECT_EQ(both("CREATE VIEW app.v AS SELECT app.ok(i) FROM app.plain"), "");
    EXPECT_EQ(both("CREATE DOMAIN app.d AS int CHECK (app.ok(VALUE))"), "");
    EXPECT_EQ(both("CREATE TYPE app.pair AS (one int, two app.d)"), "");
    EXPECT_EQ(both("CREATE TYPE app.ints AS RANGE (subtype = int)"), "");
    EXPECT_EQ(both("CREATE DOMAIN app.around AS text CHECK (VALUE::app.d[] IS NOT NULL)"), "");
    EXPECT_EQ(both("CREATE DOMAIN app.deep AS app.around[]"), "");
    EXPECT_EQ(both("CREATE TABLE app.known (i int[] CHECK (i[1] IN (1, 2) AND i[1:2] <> '{}'))"),
              "");
    const std::pair<const char*, const char*> commands[] = {
        {"CREATE TABLE app.a (i int, CONSTRAINT c CHECK (app.ok(i)))", "constraint c of app.a"},
        {"CREATE TABLE app.a (i xml CHECK (query_to_xml('SELECT 1', true, true, '') IS NULL))",
         "of app.a"},
        {"CREATE TABLE app.a (i regclass CHECK (table_to_xml(i, true, true, '') IS NULL))",
         "of app.a"},
        {"CREATE INDEX plain_ok ON app.plain (app.ok(i))", "index plain_ok"},
        {"CREATE INDEX plain_ok ON app.plain (i) WHERE app.ok(i)", "index plain_ok"},
        {"CREATE STATISTICS app.s ON (app.ok(i)), i FROM app.plain", "statistics s"},
        {"CREATE TABLE app.a (i int, k boolean GENERATED ALWAYS AS (app.ok(i)) STORED)",
         "generated column k"},
        {"CREATE TABLE app.a (i int) PARTITION BY LIST (app.ok(i))", "the partition key"},
        {"CREATE TABLE app.a (i app.d)", "column i of app.a"},
        {"CREATE TABLE app.a (i app.d[])", "column i of app.a"},
        {"CREATE TABLE app.a (i app.pair)", "column i of app.a"},
        {"CREATE TABLE app.a (i app.ints)", "column i of app.a"},
        {"CREATE TABLE app.a (i app.v)", "column i of app.a"},
        {"CREATE TABLE app.a (i app.plain)", "column i of app.a"},
        {"CREATE TABLE app.a (i text CHECK (i::app.d[] IS NOT NULL))", "constraint a_i_check"},
        {"CREATE TABLE app.a (i app.around)", "column i of app.a"},
        {"CREATE TABLE app.a (i app.deep)", "column i of app.a"},
        {"CREATE TABLE app.a (i int, CHECK (ROW(i, 1) IS DISTINCT FROM NULL))", "of app.a"},
        {"CREATE TABLE app.a (i int[] CHECK (i[app.ok(1)::int] > 0))", "of app.a"},
        {"CREATE TABLE app.a (i int[] CHECK (app.ok(i[1])))", "of app.a"}};
    for (const auto& [command, what] : commands) {
        SCOPED_TRACE(command);
        EXPECT_THAT(both(command), HasSubstr(what));
        app("DROP TABLE IF EXISTS app.a; DROP INDEX IF EXISTS app.plain_ok; DROP STATISTICS IF "
            "EXISTS app.s");
        carry();
    }
}

// While tables are copied the mover makes them on the follower, from what the authority has then.
TEST_F(DdlApply, JudgesWhatComesWithTheRestBeforeItComes) {
    EXPECT_EQ(both("CREATE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
                   " 'SELECT $1 > 0'; CREATE TABLE app.t (i int)"),
              "");
    Connection source = databases_->open(Side::source, mover_id);
    for (const char* const command : {"CREATE INDEX evil ON app.t (app.ok(i))",
                                      "CREATE STATISTICS app.evil ON (app.ok(i)), i FROM app.t"}) {
        SCOPED_TRACE(command);
        app(command);
        EXPECT_FALSE(refuse_unjudged_commands(source, *follower_));
        EXPECT_THAT(carry(true), HasSubstr("evil of app.t"));
        follow("INSERT INTO segue.ddl_handled VALUES ('source', " + std::to_string(carried_) + ")");
        EXPECT_FALSE(refuse_unjudged_commands(source, *follower_)) << "the stream is not there yet";
        --carried_;
        EXPECT_EQ(carry(true), "");
        EXPECT_TRUE(refuse_unjudged_commands(source, *follower_));
        app("COMMENT ON TABLE app.t IS 'again'");
        EXPECT_EQ(carry(true), "") << "it is told once";
    }
    app("DO $$ BEGIN ALTER TABLE app.t ADD COLUMN j int; END $$");
    EXPECT_FALSE(refuse_unjudged_commands(source, *follower_));
}

// What another transaction has made is not in the snapshot, and still made use of.
TEST_F(DdlApply, JudgesWhatASnapshotDoesNotShow) {
    EXPECT_EQ(both("CREATE TABLE app.t (i text)"), "");
    app("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    test::Sql other{databases_->url(Side::source, "ddl_app")};
    other.query("CREATE FUNCTION app.ok(int) RETURNS boolean LANGUAGE sql AS 'SELECT $1 > 0'");
    other.query("CREATE DOMAIN app.d AS int CHECK (app.ok(VALUE))");
    other.query(
        "CREATE FUNCTION app.less(int, int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
        " 'SELECT $1 < $2'; CREATE OPERATOR app.<<< (LEFTARG = int, RIGHTARG = int,"
        " FUNCTION = app.less)");
    app("ALTER TABLE app.t ADD CHECK (i::app.d[] IS NOT NULL)");
    app("CREATE TABLE app.u (j int CHECK (j OPERATOR(app.<<<) 5)); CREATE TABLE app.v (k app.d); "
        "COMMIT");
    EXPECT_EQ(
        databases_->value(Side::source,
                          "SELECT count(*) FROM segue.ddl WHERE tag ~ 'TABLE' AND code <> '{}'"),
        "3");
}

TEST_F(DdlApply, RefusesTriggersAndRulesThatFireOnBothSides) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE TABLE app.u (i int); CREATE TABLE app.log (i"
                   " int); CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS"
                   " 'BEGIN RETURN NEW; END'"),
              "");
    EXPECT_EQ(both("CREATE TRIGGER fires AFTER INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION"
                   " app.f()"),
              "");
    for (const Side side : {Side::source, Side::target})
        databases_->run(side,
                        "SET segue.mover = 'id-1'; CREATE RULE rule AS ON INSERT TO app.u DO ALSO"
                        " INSERT INTO app.log VALUES (1)");
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

TEST_F(DdlApply, CarriesWhatConsistsOfTheServersOwnFunctions) {
    databases_->run(Side::target,
                    "SET segue.mover = 'id-1'; CREATE EXTENSION IF NOT EXISTS citext");
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; CREATE EXTENSION IF NOT EXISTS citext");
    carry();
    const char* const commands[] = {
        "CREATE TYPE app.colour AS ENUM ('red', 'blue')",
        "CREATE DOMAIN app.positive AS numeric(9, 2) CHECK (VALUE > 0)",
        "CREATE TYPE app.point AS (x int, y app.colour)",
        "CREATE TABLE app.casts (i text CHECK (i::app.positive[] IS NOT NULL AND i::app.colour[] "
        "<> '{}'))",
        "CREATE TABLE app.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL"
        " CHECK (length(name) BETWEEN 1 AND 99), kind text CHECK (kind IN ('a', 'b')), price"
        " app.positive, c app.colour[], p app.point, mail citext UNIQUE, at timestamptz DEFAULT"
        " now(), r int4range, lower_name text GENERATED ALWAYS AS (lower(name)) STORED,"
        " born timestamptz CHECK (born < now() AND born::date > '2000-01-01'), EXCLUDE USING gist"
        " (r WITH &&))",
        "CREATE INDEX t_lower ON app.t (lower(name), coalesce(kind, 'none'), mail) WHERE id > 3",
        "CREATE TABLE app.parts (at date, v int) PARTITION BY RANGE (at, abs(v))",
        "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TYPE app.colour ADD VALUE 'green'"};
    for (const char* const command : commands) EXPECT_EQ(both(command), "") << command;
}

// What functions call when they are run nobody knows.
TEST_F(DdlApply, CarriesNoFunctionWhileWritesMayCallIt) {
    EXPECT_EQ(both("CREATE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
                   " 'SELECT $1 > 0'"),
              "");
    databases_->run(Side::target,
                    "SET segue.mover = 'id-1'; CREATE TABLE app.old (i int CHECK (app.ok(i)))");
    EXPECT_THAT(both("CREATE OR REPLACE FUNCTION app.ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql"
                     " AS 'SELECT $1 > 1'"),
                HasSubstr("the table of constraint old_i_check of app.old runs functions"));
    EXPECT_EQ(both("CREATE TABLE app.t (i int)"), "") << "what was there before is nothing new";
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; CREATE TABLE app.old (i int CHECK (app.ok(i)))");
    Connection source = databases_->open(Side::source, mover_id);
    EXPECT_FALSE(*is_code_known(*follower_, Side::source));
    ASSERT_TRUE(know_code(*follower_, Side::source, *read_all_code(source)));
    EXPECT_TRUE(*is_code_known(*follower_, Side::source));
    for (const Side side : {Side::source, Side::target})
        databases_->run(side, "SET segue.mover = 'id-1'; ALTER TABLE app.old OWNER TO ddl_app");
    EXPECT_EQ(both("ALTER TABLE app.old RENAME TO older"), "") << "nor under another name";
}

TEST_F(DdlApply, ChangesNoTypeButEnums) {
    EXPECT_EQ(both("CREATE TYPE app.pair AS (one int); CREATE DOMAIN app.d AS int"), "");
    EXPECT_THAT(both("ALTER TYPE app.pair ADD ATTRIBUTE two int"), HasSubstr("only enums"));
    EXPECT_THAT(both("ALTER DOMAIN app.d ADD CONSTRAINT c CHECK (VALUE > 0)"),
                HasSubstr("it is not one of the commands that are carried"));
    databases_->run(Side::source, "ALTER SCHEMA app RENAME TO moved");
    EXPECT_THAT(carry(), HasSubstr("it is not one of the commands that are carried"));
    databases_->run(Side::source, "ALTER SCHEMA moved RENAME TO app");
    carry();
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

// Tables that are not all there yet would leave something behind in it for ever.
TEST_F(DdlApply, LeavesMaterializedViewsEmptyWhileTablesAreCopied) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE MATERIALIZED VIEW app.v AS SELECT * FROM"
                   " app.t; CREATE MATERIALIZED VIEW app.empty AS SELECT 1 AS i WITH NO DATA"),
              "");
    app("REFRESH MATERIALIZED VIEW app.v; CREATE MATERIALIZED VIEW app.w AS SELECT * FROM app.t");
    EXPECT_EQ(carry(true), "");
    EXPECT_EQ(on_target("SELECT count(*) FROM pg_class WHERE relkind = 'm' AND relispopulated"),
              "0");
}

// They come with what they are about; where that is there already, at once.
TEST_F(DdlApply, LeavesCommentsForLaterWhileTablesAreCopied) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int, v int CONSTRAINT positive CHECK (v > 0))"), "");
    app("CREATE INDEX t_i ON app.t (i); ALTER TABLE app.t ADD CONSTRAINT once UNIQUE (v)");
    databases_->run(Side::source, "DELETE FROM segue.ddl");
    app("COMMENT ON INDEX app.t_i IS 'x'; COMMENT ON CONSTRAINT once ON app.t IS 'x';"
        " COMMENT ON CONSTRAINT positive ON app.t IS 'x'");
    EXPECT_EQ(carry(true), "");
    EXPECT_EQ(
        on_target("SELECT obj_description(oid) FROM pg_constraint WHERE conname = 'positive'"),
        "x");
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
    EXPECT_EQ(both("CREATE TABLE app.w (i int); CREATE TABLE app.excluded (i int)"), "");
    EXPECT_THAT(both("DROP TABLE app.w, app.excluded"), HasSubstr("does not exist"))
        << "one of them is not moved, and the other is there still";
    EXPECT_EQ(both("CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'"), "");
    databases_->run(Side::target, "SET segue.mover = 'id-1'; DROP FUNCTION app.f(int)");
    EXPECT_EQ(both("DROP FUNCTION app.f(int)"), "");
}

// By the operator, or because the authority's indexes were taken after the command was run there.
TEST_F(DdlApply, IsContentWhereThereIsNothingToDo) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int); CREATE TABLE app.u (i int)"), "");
    EXPECT_EQ(both("CREATE INDEX t_i ON app.t (i)"), "");
    for (const char* const sql : {"DROP INDEX app.t_i", "DROP TABLE app.u"})
        databases_->run(Side::target, std::string{"SET segue.mover = 'id-1'; "} + sql);
    EXPECT_EQ(both("DROP INDEX IF EXISTS app.t_i"), "");
    EXPECT_EQ(both("DROP TABLE IF EXISTS app.u"), "");
    databases_->run(Side::target, "SET segue.mover = 'id-1'; CREATE INDEX t_i ON app.t (i)");
    EXPECT_EQ(both("CREATE INDEX IF NOT EXISTS t_i ON app.t (i)"), "");
    databases_->run(Side::target, "SET segue.mover = 'id-1'; CREATE INDEX t_j ON app.t ((i + 1))");
    EXPECT_THAT(both("CREATE INDEX IF NOT EXISTS t_j ON app.t (i)"),
                HasSubstr("there it has nothing to do"));
}

TEST_F(DdlApply, TakesATableThatIsMadeFromAQueryHoweverItIsWritten) {
    EXPECT_EQ(both("CREATE TABLE app.t AS SELECT 1 AS i WITH NO DATA"), "");
    EXPECT_EQ(both("CREATE TABLE app.u AS SELECT 1 AS i WITH DATA"), "");
    EXPECT_EQ(on_target("SELECT count(*) FROM app.u"), "0") << "its rows are in the stream";
}

TEST_F(DdlApply, NamesObjectsTheSameWhateverTheSessionsQuoting) {
    app("SET quote_all_identifiers = on");
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY, v text)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t ADD CHECK (i > 0)"), "");
    EXPECT_EQ(both("DROP TABLE app.t"), "");
}

TEST_F(DdlApply, ChangesTheTypeOfAKey) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t ALTER COLUMN i TYPE text USING 'k' || i"), "");
}

// As the rows that the stream has brought before, in the same transaction.
TEST_F(DdlApply, DropsTablesWhoseRowsHaveJustBeenWritten) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY); CREATE TABLE app.u (i int)"), "");
    app("DROP TABLE app.t");
    ASSERT_TRUE(follower_->execute("BEGIN"));
    ASSERT_TRUE(
        follower_->execute("INSERT INTO app.t VALUES (1), (2); INSERT INTO app.u VALUES (1)"));
    EXPECT_EQ(carry(), "");
    EXPECT_EQ(on_target("SELECT to_regclass('app.t') IS NULL"), "t");
    EXPECT_EQ(on_target("SELECT count(*) FROM app.u"), "1");
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

// A carried RESTART is no hand that has set it back; somebody's own is.
TEST_F(DdlApply, RestartsSequencesThatAreKeptAhead) {
    EXPECT_EQ(
        both("CREATE SEQUENCE app.s; CREATE TABLE app.t (id int GENERATED ALWAYS AS IDENTITY)"),
        "");
    for (const Side side : {Side::source, Side::target}) {
        databases_->run(
            side,
            "TRUNCATE segue.control; INSERT INTO segue.control VALUES (true, 'm', 'id-1', '" +
                std::string{name(side)} +
                "', 0, 'source', 'steady', 0, '0/0', 'consistent', false, 'async', 0,"
                " 0, '', 0)");
    }
    Connection from = databases_->open(Side::source, mover_id);
    Connection to = databases_->open(Side::target, mover_id);
    SequenceKeeper keeper;
    const auto round = [&] {
        const Status looked = keeper.round(from, to, Side::source, 0, mover_id);
        ASSERT_TRUE(looked) << looked.error().detail;
    };
    const std::string places =
        "SELECT (SELECT last_value FROM app.s) || ' ' || (SELECT last_value FROM app.t_id_seq)";
    app("SELECT setval('app.s', 500), setval('app.t_id_seq', 700)");
    round();
    EXPECT_EQ(on_target(places), "1500 1700");
    EXPECT_EQ(
        both("ALTER SEQUENCE app.s RESTART; ALTER TABLE app.t ALTER COLUMN id RESTART WITH 5"), "");
    app("SELECT nextval('app.s'), nextval('app.s'), nextval('app.t_id_seq'), "
        "nextval('app.t_id_seq')");
    EXPECT_EQ(on_target(places), "1 5");
    round();
    EXPECT_TRUE(keeper.set_back().empty());
    EXPECT_EQ(on_target(places), "1002 1006");
    databases_->run(Side::target, "ALTER SEQUENCE app.s RESTART");
    round();
    EXPECT_EQ(keeper.set_back(), (std::set<SequenceKeeper::Name>{{"app", "s"}}));
}

TEST_F(DdlApply, StopsAtARenameWhileTablesAreCopied) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    app("ALTER TABLE app.t RENAME TO renamed");
    EXPECT_THAT(carry(true), HasSubstr("was renamed before the copy was consistent"));
    const char* const others[] = {"ALTER INDEX app.renamed RENAME TO again",
                                  "ALTER TABLE app.again SET SCHEMA app_two"};
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; DROP SCHEMA IF EXISTS app_two CASCADE;"
                    " CREATE SCHEMA app_two AUTHORIZATION ddl_app");
    for (const char* const other : others) {
        app(other);
        EXPECT_THAT(carry(true), HasSubstr("was renamed before the copy was consistent")) << other;
    }
    databases_->run(Side::source, "SET segue.mover = 'id-1'; DROP SCHEMA app_two CASCADE");
}

// A dump tells a list of varchar in other words, and so does whoever reads what it has restored.
TEST_F(DdlApply, GoesOnOverTablesThatCameFromADump) {
    const std::string table = "CREATE TABLE app.t (id int PRIMARY KEY, state varchar(9), CHECK (";
    databases_->run(
        Side::source,
        "SET segue.mover = 'id-1'; SET ROLE ddl_app; " + table + "state IN ('new', 'old')))");
    const std::string dumped = on_source(
        "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint"
        " WHERE conrelid = 'app.t'::regclass AND contype = 'c'");
    databases_->run(Side::target,
                    "SET segue.mover = 'id-1'; SET ROLE ddl_app; " + table + dumped + "))");
    EXPECT_NE(on_target("SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint"
                        " WHERE conrelid = 'app.t'::regclass AND contype = 'c'"),
              dumped)
        << "they are told alike: this shows nothing";
    EXPECT_EQ(both("ALTER TABLE app.t ADD COLUMN v int"), "");
    EXPECT_EQ(both("CREATE INDEX ON app.t (v)"), "");
}

// No event tells of an index that could not be built, and it stays behind on the authority.
TEST_F(DdlApply, GoesOnOverAnIndexThatCouldNotBeBuilt) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int)"), "");
    app("INSERT INTO app.t VALUES (1), (1)");
    EXPECT_EQ(app_->attempt("CREATE UNIQUE INDEX CONCURRENTLY twice ON app.t (i)").sqlstate,
              "23505");
    EXPECT_EQ(on_source("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "1");
    EXPECT_EQ(both("ALTER TABLE app.t ADD COLUMN v int"), "");
    EXPECT_EQ(both("DROP INDEX app.twice"), "");
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
