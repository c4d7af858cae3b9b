// DDL of applications while their database is moved: captured on the authority, run on the follower
// at the same place of the stream; what cannot be carried stops by name.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/migration.hpp"
#include "tests/support/schema_changes.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

MigrationOptions carried(const std::string& carry = "true") {
    MigrationOptions options;
    options.lines = {{"ddl", "carry = " + carry}};
    return options;
}

// The same catalog and the same rows, soon.
void expect_same(Migration& move) {
    const std::string source = move.superuser(move.source());
    const std::string target = move.superuser(move.target());
    std::vector<std::string> differences;
    eventually(30s, [&] { return (differences = compare_catalogs(source, target)).empty(); });
    for (const std::string& difference : differences) ADD_FAILURE() << difference;
    move.expect_equal_soon();
}

// A problem in status that has all these pieces; the last status otherwise.
bool wait_problem(Migration& move, const std::vector<std::string>& pieces) {
    std::string last;
    const bool told = eventually(30s, [&] {
        const auto status = move.segue().status();
        last = status ? status->dump() : "";
        return std::all_of(pieces.begin(), pieces.end(), [&](const std::string& piece) {
            return last.find(piece) != std::string::npos;
        });
    });
    if (!told) ADD_FAILURE() << last;
    return told;
}

bool mirror_becomes(Migration& move, const std::string& mode, bool degraded) {
    return eventually(60s, [&] {
        const auto status = move.segue().status();
        return status && (*status)["mirror"]["mode"] == mode &&
               (*status)["mirror"]["degraded"] == degraded;
    });
}

// What an application's migrations are made of, most of it in transactions of its own.
const std::vector<std::string> everyday = {
    "ALTER TABLE app.keyed ADD COLUMN note text",
    "ALTER TABLE app.keyed ADD COLUMN born timestamptz NOT NULL DEFAULT clock_timestamp()",
    "ALTER TABLE app.keyed ADD COLUMN stamped timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE app.keyed RENAME COLUMN note TO remark",
    "ALTER TABLE app.keyed ALTER COLUMN remark SET DEFAULT 'none'",
    "CREATE TABLE app.fresh (id bigserial PRIMARY KEY, body text, at timestamptz DEFAULT now())",
    "INSERT INTO app.fresh (body) SELECT 'row ' || i FROM generate_series(1, 50) i",
    "CREATE INDEX fresh_body ON app.fresh (body)",
    "CREATE INDEX CONCURRENTLY fresh_at ON app.fresh (at)",
    "DROP INDEX CONCURRENTLY app.fresh_at",
    "ALTER TABLE app.fresh ALTER COLUMN id TYPE numeric(20, 0)",
    "INSERT INTO app.fresh (body) VALUES ('after the rewrite')",
    "ALTER TABLE app.fresh RENAME TO fresher",
    "UPDATE app.fresher SET body = body || '!' WHERE id < 10",
    "CREATE TABLE app.nameless (a int, b text)",
    "INSERT INTO app.nameless VALUES (1, 'one'), (1, 'one'), (2, NULL)",
    "UPDATE app.nameless SET b = 'two' WHERE a = 2",
    "DELETE FROM app.nameless WHERE ctid = (SELECT min(ctid) FROM app.nameless)",
    "CREATE TYPE app.colour AS ENUM ('red')",
    "ALTER TYPE app.colour ADD VALUE 'blue'",
    "ALTER TABLE app.nameless ADD COLUMN colour app.colour DEFAULT 'red'",
    "INSERT INTO app.nameless VALUES (3, 'three', 'blue')",
    "CREATE VIEW app.seen AS SELECT id, body FROM app.fresher",
    "CREATE FUNCTION app.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i'",
    "COMMENT ON TABLE app.fresher IS 'carried; with a semicolon'",
    "GRANT SELECT ON app.fresher TO PUBLIC",
    "ALTER TABLE app.fresher ADD CONSTRAINT short CHECK (length(body) < 100)",
    "ALTER TABLE app.fresher DROP CONSTRAINT short",
    "CREATE TABLE app.measured_west PARTITION OF app.measured FOR VALUES IN ('Alps')",
    "INSERT INTO app.measured VALUES ('Alps', 9001, 1.5), ('Alps', 9002, 2.5)",
    "CREATE TABLE app.measured_far (region text NOT NULL, id int NOT NULL, v numeric,"
    " PRIMARY KEY (region, id))",
    "INSERT INTO app.measured_far VALUES ('Andes', 9007, 7)",
    "ALTER TABLE app.measured ATTACH PARTITION app.measured_far FOR VALUES IN ('Andes')",
    "UPDATE app.measured SET v = v + 1 WHERE region IN ('Andes', 'Alps')",
    "ALTER TABLE app.measured DETACH PARTITION app.measured_west",
    "INSERT INTO app.measured_west VALUES ('Alps', 9003, 3)",
    "ALTER TABLE app.measured ADD COLUMN extra int DEFAULT 5",
    "CREATE TABLE app.split (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE app.split_low PARTITION OF app.split FOR VALUES FROM (1) TO (100)",
    "CREATE TABLE app.split_high PARTITION OF app.split FOR VALUES FROM (100) TO (200)",
    "INSERT INTO app.split SELECT i, 'row' FROM generate_series(50, 150) i",
    "ALTER TABLE app.split DETACH PARTITION app.split_low CONCURRENTLY",
    "INSERT INTO app.split_low VALUES (3, 'on its own')",
    "TRUNCATE app.nameless",
    "ALTER TABLE app.nameless RENAME TO unnamed",
    "ALTER TABLE app.keyed DROP COLUMN remark",
    "CREATE TABLE app.gone (i int PRIMARY KEY); ALTER TABLE app.gone ADD COLUMN j int;"
    " INSERT INTO app.gone VALUES (1, 2); ALTER TABLE app.gone ADD k int",
    "BEGIN; ALTER TABLE app.gone ADD COLUMN l int; INSERT INTO app.gone VALUES (2, 3, 4, 5);"
    " ALTER TABLE app.gone RENAME l TO m; COMMIT",
    "BEGIN; ALTER TABLE app.gone ADD COLUMN never int; ROLLBACK",
    "DROP TABLE app.gone",
    "CREATE TABLE app.made AS SELECT i, 'made ' || i AS v, random() AS r FROM generate_series(1, "
    "30) i",
    "UPDATE app.made SET v = 'mended' WHERE i = 3",
    "ALTER TABLE app.keyed ADD COLUMN mark uuid NOT NULL DEFAULT gen_random_uuid()",
    "ALTER TABLE app.keyed ALTER COLUMN mark TYPE text USING mark::text || random()",
    "BEGIN; SAVEPOINT a; ALTER TABLE app.keyed DROP COLUMN mark; ROLLBACK TO a; COMMIT",
    "CREATE TEMPORARY TABLE passing (i int); DROP TABLE passing",
    "CREATE TABLE IF NOT EXISTS app.fresher (i int)",
    "DROP TABLE IF EXISTS app.nothing",
};

TEST(Ddl, IsCarriedUnderLoadInBothDirections) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Sql client{move.through()};
    for (const std::string& statement : everyday) client.query(statement);
    ASSERT_TRUE(workload.wait_for_more(50));
    ASSERT_TRUE(move.segue().change("cutover"));
    client.query("ALTER TABLE app.fresher ADD COLUMN later int DEFAULT 3");
    client.query("INSERT INTO app.fresher (body, later) VALUES ('on the target', 4)");
    client.query("CREATE TABLE app.there (id int PRIMARY KEY, v text)");
    client.query("INSERT INTO app.there VALUES (1, 'made on the target')");
    ASSERT_TRUE(workload.wait_for_more(50));
    ASSERT_TRUE(move.segue().change("rollback"));
    client.query("INSERT INTO app.there VALUES (2, 'and back')");
    client.query("ALTER TABLE app.there DROP COLUMN v");
    ASSERT_TRUE(workload.wait_for_more(50));
    workload.stop();
    expect_no_client_noticed(workload.report());
    expect_same(move);
    move.segue().expect_done({"verify"});
    move.expect_right(workload);
    move.segue().expect_done({"finish", "--unfence"});
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_event_trigger", "shop"), "0");
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'ddl%'", "shop"),
                  "0");
        EXPECT_EQ(
            server->value("SELECT relreplident FROM pg_class WHERE relname = 'unnamed'", "shop"),
            "d")
            << "it had another name when its identity was saved";
    }
}

// What cannot be carried stops with its name, refuses the cutover, and goes on when the operator
// has dealt with it; nothing behind it is lost. Clients that wait for the follower wait a while,
// and then no more until it goes on.
TEST(Ddl, StopsAtACommandWhoseTextIsNotKnownUntilItIsHandled) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Sql client{move.through()};
    client.query("DO $$ BEGIN ALTER TABLE app.keyed ADD COLUMN hidden int DEFAULT 7; END $$");
    client.query("INSERT INTO app.keyed (id, body) VALUES (-5, 'behind it')");
    const std::string id = move.source().value("SELECT max(id) FROM segue.ddl", "shop");
    EXPECT_TRUE(wait_problem(move,
                             {"ALTER TABLE of table app.keyed by role app on the source",
                              "a DO block",
                              "INSERT INTO segue.ddl_handled VALUES ('source', " + id + ")"}));
    EXPECT_TRUE(mirror_becomes(move, "async", true));
    const CommandResult refused = move.segue().verb({"cutover"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.err.find("ALTER TABLE of table app.keyed"), std::string::npos) << refused.err;
    EXPECT_NE(refused.err.find("INSERT INTO segue.ddl_handled"), std::string::npos) << refused.err;
    Sql operator_{move.as_mover(move.target())};
    operator_.query("ALTER TABLE app.keyed ADD COLUMN hidden int DEFAULT 7");
    operator_.query("INSERT INTO segue.ddl_handled VALUES ('source', " + id + ")");
    expect_same(move);
    EXPECT_EQ(move.target().value("SELECT body || hidden FROM app.keyed WHERE id = -5", "shop"),
              "behind it7");
    EXPECT_TRUE(mirror_becomes(move, "sync", false));
    EXPECT_TRUE(move.segue().change("cutover"));
}

// The last line of defence: what nobody captures cannot do harm, whatever it is.
TEST(Ddl, ThatIsNotCapturedStopsTheTableBeforeAWrongRow) {
    SEGUE_NEEDS_POSTGRES();
    const char* const missed[] = {"ALTER TABLE app.keyed ADD COLUMN extra int DEFAULT 1",
                                  "ALTER TABLE app.keyed DROP COLUMN revision CASCADE",
                                  "ALTER TABLE app.keyed RENAME COLUMN body TO text_of_it",
                                  "ALTER TABLE app.keyed ALTER COLUMN extra TYPE bigint",
                                  "ALTER TABLE app.keyed ALTER COLUMN text_of_it TYPE varchar(99)"};
    Migration move{carried("false")};
    ASSERT_TRUE(move.copy());
    EXPECT_EQ(move.source().value(
                  "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'segue_ddl%'", "shop"),
              "0");
    Sql client{move.through()};
    for (const char* const statement : missed) {
        SCOPED_TRACE(statement);
        client.query(statement);
        client.query("UPDATE app.keyed SET id = id WHERE id <= 3");
        EXPECT_TRUE(wait_problem(move, {"app.keyed: its definition was changed on the authority"}));
        EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
        Sql operator_{move.as_mover(move.target())};
        operator_.query(statement);
        expect_same(move);
    }
}

// Commands of the time of copying: before any chunk is loaded, and between the copy and its record.
TEST(Ddl, IsCarriedWhileTablesAreCopied) {
    SEGUE_NEEDS_POSTGRES();
    const std::vector<std::string> commands[] = {
        {"ALTER TABLE app.keyed ADD COLUMN note text DEFAULT 'n'",
         "UPDATE app.keyed SET note = 'changed' WHERE id % 3 = 0",
         "ALTER TABLE app.account DROP COLUMN touched",
         "CREATE INDEX keyed_note ON app.keyed (note)",
         "ALTER TABLE app.document ADD COLUMN at timestamptz DEFAULT now()",
         "ALTER TABLE app.parent RENAME COLUMN name TO title",
         "CREATE TABLE app.fresh (id bigserial PRIMARY KEY, body text UNIQUE)",
         "INSERT INTO app.fresh (body) SELECT 'row ' || i FROM generate_series(1, 50) i",
         "BEGIN; CREATE TABLE app.filled (id int PRIMARY KEY, v text); INSERT INTO app.filled "
         "SELECT i,"
         " 'v' FROM generate_series(1, 50) i; UPDATE app.filled SET v = 'w' WHERE id < 9; COMMIT"},
        {"ALTER TABLE app.keyed ADD COLUMN more int NOT NULL DEFAULT 3",
         "UPDATE app.keyed SET more = 4 WHERE id % 5 = 0",
         "CREATE UNIQUE INDEX account_both ON app.account (id, balance)",
         "ALTER TABLE app.fresh ADD COLUMN mark uuid DEFAULT gen_random_uuid()",
         "CREATE TABLE app.measured_alps PARTITION OF app.measured FOR VALUES IN ('Alps')",
         "INSERT INTO app.measured VALUES ('Alps', 9001, 1)",
         "DROP TABLE app.loose"}};
    Migration move{carried()};
    move.segue().run("copy.after_read");
    move.segue().verb({"start"});
    ASSERT_TRUE(move.segue().wait_for_end(20s));
    Sql client{move.direct(move.source())};
    for (const std::string& command : commands[0]) client.query(command);
    move.segue().run("copy.before_reverse_slot");
    ASSERT_TRUE(move.segue().wait_for_end(60s));
    for (const std::string& command : commands[1]) client.query(command);
    move.segue().run();
    ASSERT_TRUE(move.segue().wait_consistent());
    expect_same(move);
    move.segue().expect_done({"verify"});
    EXPECT_TRUE(move.segue().change("cutover"));
}

// Of each kind one, whose names end with @; on a schema of its own, because all of it goes into a
// dump.
const std::vector<std::string> kinds = {
    "CREATE TABLE kinds.t@ (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text NOT NULL "
    "CHECK"
    " (v <> ''), w int UNIQUE, x int GENERATED ALWAYS AS (w + 1) STORED); CREATE INDEX t_v@ ON "
    "kinds.t@ (v);"
    " CREATE STATISTICS kinds.st@ ON v, w FROM kinds.t@; COMMENT ON COLUMN kinds.t@.v IS 'of v'",
    "INSERT INTO kinds.t@ (v, w) SELECT 'row ' || i, i FROM generate_series(1, 40) i",
    "CREATE TABLE kinds.like@ (LIKE kinds.t@ INCLUDING ALL)",
    "CREATE TABLE kinds.like_old@ (LIKE kinds.old INCLUDING ALL)",
    "INSERT INTO kinds.like_old@ SELECT i, i, 'row' FROM generate_series(1, 9) i",
    "CREATE VIEW kinds.grouped@ AS SELECT id, v, count(*) FROM kinds.t@ GROUP BY id",
    "CREATE TABLE kinds.made@ AS SELECT id, v, random() AS r FROM kinds.t@",
    "CREATE UNIQUE INDEX made_id@ ON kinds.made@ (id)",
    "CREATE UNIQUE INDEX made_v@ ON kinds.made@ (v)",
    "ALTER TABLE kinds.made@ ADD CONSTRAINT made_once@ UNIQUE USING INDEX made_v@",
    "UPDATE kinds.made@ SET v = v || '!' WHERE id > 30",
    "UPDATE kinds.bare@ SET i = i + 1000 WHERE i > 15",
    "CREATE TYPE kinds.kind@ AS ENUM ('b'); ALTER TYPE kinds.kind@ ADD VALUE 'a' BEFORE 'b'",
    "BEGIN; ALTER TYPE kinds.kind@ ADD VALUE 'c'; ALTER TABLE kinds.t@ ADD k kinds.kind@ DEFAULT "
    "'b'; COMMIT",
    "UPDATE kinds.t@ SET k = 'c' WHERE w < 9",
    "ALTER TYPE kinds.kind@ RENAME TO sort@",
    "UPDATE kinds.t@ SET k = 'a' WHERE w > 30",
    "CREATE SEQUENCE kinds.s@; ALTER SEQUENCE kinds.s@ OWNED BY kinds.t@.w",
    "COMMENT ON CONSTRAINT t@_v_check ON kinds.t@ IS $$it's$$; COMMENT ON SCHEMA kinds IS '@'",
    "GRANT SELECT (id, v), UPDATE (v) ON kinds.t@ TO PUBLIC; REVOKE UPDATE (v) ON kinds.t@ FROM "
    "PUBLIC",
    "CREATE TABLE kinds.a@ (i int PRIMARY KEY); CREATE TABLE kinds.b@ (i int REFERENCES kinds.a@);"
    " CREATE VIEW kinds.ab@ AS SELECT a.i FROM kinds.a@ a JOIN kinds.b@ b USING (i)",
    "INSERT INTO kinds.a@ VALUES (1); INSERT INTO kinds.b@ VALUES (1)",
    "DROP TABLE kinds.a@ CASCADE",
    "CREATE DOMAIN kinds.d@ AS text DEFAULT 'x' NOT NULL CHECK (VALUE <> '')",
    "CREATE TABLE kinds.of@ (i int PRIMARY KEY, d kinds.d@); INSERT INTO kinds.of@ VALUES (1, 'y')",
    "CREATE FUNCTION kinds.f@(i int) RETURNS int LANGUAGE plpgsql SET search_path = kinds, pg_temp "
    "SET"
    " work_mem = '5MB' AS $f$ BEGIN EXECUTE $$SELECT ';'$$; RETURN i; END $f$",
    "CREATE TEMP TABLE passing (i serial PRIMARY KEY); CREATE TEMP TABLE t@ AS SELECT * FROM "
    "kinds.t@;"
    " ALTER TABLE passing ADD v int; DROP TABLE passing, pg_temp.t@",
    "CREATE UNLOGGED TABLE kinds.u@ (i serial PRIMARY KEY)",
    "ALTER TABLE kinds.u@ SET LOGGED",
    "INSERT INTO kinds.u@ DEFAULT VALUES",
    "CREATE TABLE IF NOT EXISTS kinds.t@ (i int); ALTER TABLE IF EXISTS kinds.nothing ADD v int",
    "SET search_path = \"Größe.@\", kinds; CREATE TABLE \"tä\"\"b.l'e\" "
    "(\"Üb er\""
    " int PRIMARY KEY, \"select\" text); ALTER TABLE \"tä\"\"b.l'e\" RENAME \"select\" TO \"中\"; "
    "INSERT INTO"
    " \"tä\"\"b.l'e\" VALUES (1, 'ß'); RESET search_path",
    "CREATE TABLE kinds.p@ (i int NOT NULL) PARTITION BY LIST (i); CREATE TABLE kinds.p1@ "
    "PARTITION OF"
    " kinds.p@ FOR VALUES IN (1); CREATE TABLE kinds.p2@ PARTITION OF kinds.p@ FOR VALUES IN (2);"
    " INSERT INTO kinds.p@ VALUES (1), (2)",
    "ALTER TABLE kinds.p@ DETACH PARTITION kinds.p1@ CONCURRENTLY",
    "UPDATE kinds.p1@ SET i = 1",
    "REINDEX TABLE kinds.t@",
    "REINDEX INDEX CONCURRENTLY kinds.t_v@",
    "CREATE TABLE kinds.last@ (i int PRIMARY KEY)",
};

// While tables are copied, while they are mirrored, and on the way back.
TEST(Ddl, OfEachKindIsCarriedAtAnyTimeAndInBothDirections) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    Sql owner{move.direct(move.source())};
    owner.query(
        "CREATE SCHEMA kinds; CREATE TABLE kinds.old (id int PRIMARY KEY, w int UNIQUE, v text);"
        " CREATE INDEX old_v ON kinds.old (v); INSERT INTO kinds.old SELECT i, i, 'row ' || i FROM"
        " generate_series(1, 50) i");
    for (const std::string time : {"1", "2", "3"})
        owner.query("CREATE SCHEMA \"Größe." + time + "\"; CREATE TABLE kinds.bare" + time +
                    " (i int); INSERT INTO kinds.bare" + time +
                    " SELECT i FROM generate_series(1, 20) i");
    const auto all_kinds = [](Sql& client, const std::string& time) {
        for (std::string sql : kinds) {
            for (std::size_t at; (at = sql.find('@')) != std::string::npos;)
                sql.replace(at, 1, time);
            client.query(sql);
        }
    };
    const auto expect_same_dumps = [&](const std::string& time) {
        // Not before: who reads a catalog while tables go meets one that is gone.
        for (PostgresServer* server : {&move.source(), &move.target()}) {
            EXPECT_TRUE(eventually(60s, [&] {
                return server->value("SELECT to_regclass('kinds.last" + time + "') IS NOT NULL",
                                     "shop") == "t";
            }));
        }
        expect_same(move);
        for (const std::string& difference : compare_dumps(move.source(), move.target(), "shop"))
            ADD_FAILURE() << difference;
    };
    move.segue().run("copy.after_read");
    move.segue().verb({"start"});
    ASSERT_TRUE(move.segue().wait_for_end(60s));
    all_kinds(owner, "1");
    move.segue().run();
    ASSERT_TRUE(move.segue().wait_consistent());
    expect_same_dumps("1");
    Sql client{move.through()};
    all_kinds(client, "2");
    expect_same_dumps("2");
    ASSERT_TRUE(move.segue().change("cutover"));
    all_kinds(client, "3");
    expect_same_dumps("3");
    EXPECT_TRUE(move.segue().change("rollback"));
    move.segue().expect_done({"verify"});
}

// Killed at each of its points, with other commands in between, a start goes on where it was.
TEST(Ddl, IsCarriedWhereAStartIsKilled) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    Sql client{move.direct(move.source())};
    int round = 0;
    for (const char* const point : {"start.after_capture",
                                    "start.before_described",
                                    "start.after_described",
                                    "start.after_carried:2",
                                    "start.after_slot"}) {
        SCOPED_TRACE(point);
        move.segue().run(point);
        move.segue().verb({"start"});
        ASSERT_TRUE(move.segue().wait_for_end(60s));
        const std::string n = std::to_string(++round);
        client.query("CREATE TABLE app.made_" + n +
                     " (id int PRIMARY KEY, v text UNIQUE); INSERT INTO app.made_" + n +
                     " VALUES (1, 'one'); ALTER TABLE app.keyed ADD COLUMN c" + n +
                     " int DEFAULT " + n + "; CREATE VIEW app.view_" + n + " AS SELECT c" + n +
                     " FROM app.keyed");
        client.query("CREATE OR REPLACE FUNCTION app.last() RETURNS int LANGUAGE sql AS 'SELECT " +
                     n + "'");
    }
    client.query("DROP TABLE app.made_2");
    move.segue().run();
    move.segue().expect_done({"start"});
    ASSERT_TRUE(move.segue().wait_consistent());
    expect_same(move);
    move.segue().expect_done({"verify"});
    EXPECT_TRUE(move.segue().change("cutover"));
}

// What it has made is told, and put back by finish.
TEST(Ddl, OfAStartThatWasKilledIsToldAndPutBack) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    move.segue().run("start.after_capture");
    move.segue().verb({"start"});
    ASSERT_TRUE(move.segue().wait_for_end(60s));
    EXPECT_NE(move.segue().verb({"check"}).out.find("unfinished_start"), std::string::npos);
    move.segue().run();
    move.segue().expect_done({"finish", "--unfence"});
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_event_trigger", "shop"), "0");
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_publication", "shop"), "0");
        EXPECT_EQ(server->value("SELECT to_regclass('segue.ddl')", "shop"), "\\N");
    }
    EXPECT_EQ(move.segue().verb({"check"}).out.find("unfinished_start"), std::string::npos);
}

// Of a start that was refused nothing stays that finish does not put back.
TEST(Ddl, ThatRefusesAStartLeavesNothingBehind) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{carried()};
    move.segue().run();
    const auto source_has = [&](const std::string& condition) {
        return eventually(
            60s, [&] { return move.source().value("SELECT " + condition, "shop") == "t"; });
    };
    Sql before{move.direct(move.source())}, across{move.direct(move.source())};
    before.query("BEGIN; SELECT pg_current_xact_id()");
    CommandResult refused;
    std::jthread starting{[&] { refused = move.segue().verb({"start"}); }};
    EXPECT_TRUE(
        source_has("EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'segue'"
                   " AND strpos(query, 'pg_xact_status') > 0)"));
    const std::string transaction = across.value("BEGIN; SELECT pg_current_xact_id()");
    before.query("COMMIT");
    EXPECT_TRUE(
        source_has("EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT"
                   " granted AND transactionid = '" +
                   transaction + "')"));
    across.query("DO $$ BEGIN ALTER TABLE app.keyed ADD COLUMN hidden int; END $$; COMMIT");
    starting.join();
    EXPECT_EQ(refused.exit_code, 1) << refused.out;
    EXPECT_NE(refused.err.find("ALTER TABLE of table app.keyed by role app on the source cannot be"
                               " carried to the target: it was run inside a function"),
              std::string::npos)
        << refused.err;
    move.segue().expect_done({"finish", "--unfence"});
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_event_trigger", "shop"), "0");
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_publication", "shop"), "0");
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_replication_slots", "shop"), "0");
        EXPECT_EQ(server->value("SELECT to_regclass('segue.ddl')", "shop"), "\\N");
    }
    across.query("CREATE TABLE app.afterwards (i int)");
}

}  // namespace
}  // namespace segue::test
