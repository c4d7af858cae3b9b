// Shadow and shift: only real differences are reported, nobody goes back in time, nothing writes on
// the follower.

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

long long counter(const SegueProcess& segue, const char* pointer) {
    const auto status = segue.status();
    const nlohmann::json::json_pointer at{pointer};
    return status && status->contains(at) && (*status)[at].is_number()
               ? (*status)[at].get<long long>()
               : -1;
}

TEST(Shadow, ComparesUnderLoadWithoutAFalseAlarm) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    move.segue().expect_done({"shadow", "100"});
    Workload workload{{move.through()}};
    workload.start();
    Sql reader{move.through()};
    const char* reads[] = {
        "SELECT sum(balance), count(*) FROM app.account",
        "SELECT * FROM app.hard",
        "SELECT * FROM app.keyed ORDER BY id LIMIT 50",
        "SELECT now(), random(), clock_timestamp(), pg_backend_pid()",
        "SELECT v FROM app.audited WHERE id = 7",
    };
    ASSERT_TRUE(eventually(60s, [&] {
        for (const char* read : reads) reader.query(read);
        return counter(move.segue(), "/shadow/compared") > 50;
    }));
    workload.stop();
    expect_no_client_noticed(workload.report());
    EXPECT_EQ(counter(move.segue(), "/shadow/different"), 0);
    EXPECT_GT(counter(move.segue(), "/shadow/equal"), 0);
    move.expect_right(workload);
}

// Prepared before the percentage was set, as by a pool; and a worker's connection has the named
// statements of the session it came from and of earlier reads.
TEST(Shadow, ComparesNamedPreparedStatements) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql one{move.through()}, two{move.through()};
    one.prepare("p", "SELECT v FROM app.audited WHERE id = $1");
    two.prepare("p", "SELECT body FROM app.keyed WHERE id = $1");
    move.segue().expect_done({"shadow", "100"});
    EXPECT_TRUE(eventually(30s, [&] {
        for (Sql* reader : {&one, &two}) EXPECT_TRUE(reader->execute_prepared("p", {"3"}).ok);
        return counter(move.segue(), "/shadow/equal") > 10;
    }));
    EXPECT_EQ(counter(move.segue(), "/shadow/unconfirmed"), 0);
    EXPECT_EQ(counter(move.segue(), "/shadow/different"), 0);
}

TEST(Shadow, ConfirmsARealDifference) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql rogue{move.as_mover(move.target())};
    rogue.query("UPDATE app.keyed SET body = 'damaged' WHERE id = 3");
    move.segue().expect_done({"shadow", "100"});
    Sql reader{move.through()};
    EXPECT_TRUE(eventually(30s, [&] {
        EXPECT_EQ(reader.value("SELECT body FROM app.keyed WHERE id = 3"), "row 3");
        return counter(move.segue(), "/shadow/different") > 0;
    }));
}

// The trap of a migration: nobody has felt it yet. And then the limits of a shift.
TEST(Statements, AMissingIndexIsSeenBeforeAnyReadIsShifted) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    Sql{move.direct(move.source())}.query(
        "CREATE TABLE big AS SELECT g AS id, g % 1000 AS k, repeat('x', 100) AS pad"
        " FROM generate_series(1, 100000) AS g;"
        "ALTER TABLE big ADD PRIMARY KEY (id); CREATE INDEX big_k ON big (k);"
        "ANALYZE big");
    ASSERT_TRUE(move.copy());
    Sql{move.as_mover(move.target())}.query("DROP INDEX app.big_k");
    // A cutover, or a rollback, would be refused: nobody is told that the way is open.
    const auto missing = [&] {
        const auto status = move.segue().status();
        return status && (*status)["rollback_ready"] == false &&
               (*status)["rollback_blockers"].dump().find(
                   "index big_k is missing on the target: CREATE INDEX big_k") != std::string::npos;
    };
    EXPECT_TRUE(eventually(60s, missing)) << move.segue().status().value_or(nullptr);
    move.segue().expect_done({"shadow", "100"});
    Sql web{move.through() + "?application_name=web"};
    Sql reports{move.through() + "?application_name=reports"};
    int value = 0;
    const auto read = [&](Sql& reader) {
        const auto where = " WHERE k = " + std::to_string(++value % 1000);
        EXPECT_EQ(reader.value("SELECT count(pad) FROM big" + where), "100");
    };
    ASSERT_TRUE(eventually(120s, [&] {
        read(web);
        return counter(move.segue(), "/shadow/slower_count") == 1;
    }));
    EXPECT_EQ(counter(move.segue(), "/shift/served_by_follower"), 0);
    const auto listed =
        nlohmann::json::parse(move.segue().expect_done({"statements", "--slower", "--json"}).out);
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0]["statement"], "SELECT count(pad) FROM big WHERE k = $1");
    const std::string fingerprint = listed[0]["fingerprint"];
    const auto both = nlohmann::json::parse(
        move.segue().expect_done({"statements", "--explain", fingerprint, "--json"}).out);
    EXPECT_NE(both["plans"]["source"]["lines"].dump().find("big_k"), std::string::npos) << both;
    EXPECT_NE(both["plans"]["target"]["lines"].dump().find("Seq Scan on big"), std::string::npos)
        << both;
    EXPECT_EQ(both["plans"]["source"]["lines"].dump().find("pad = "), std::string::npos);

    const std::string told =
        move.segue().expect_done({"shift", "100", "--application", "reports"}).out;
    EXPECT_NE(told.find("only those of application reports"), std::string::npos) << told;
    EXPECT_NE(told.find("1 statement takes longer on the follower"), std::string::npos) << told;
    EXPECT_TRUE(eventually(60s, [&] {
        read(reports);
        return counter(move.segue(), "/shift/served_by_follower") > 0;
    }));
    const auto before = counter(move.segue(), "/shift/served_by_follower");
    for (int i = 0; i < 50; ++i) read(web);
    EXPECT_EQ(counter(move.segue(), "/shift/served_by_follower"), before);
    move.segue().expect_done({"shift", "100", "--user", "nobody"});
    for (int i = 0; i < 10; ++i) read(reports);
    EXPECT_EQ(counter(move.segue(), "/shift/served_by_follower"), before);
    Sql{move.as_mover(move.target())}.query("CREATE INDEX big_k ON app.big USING btree (k)");
    EXPECT_TRUE(move.segue().wait_status("/rollback_ready", true));
}

TEST(Shift, EveryoneReadsWhatTheyAndOthersWrote) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    move.segue().expect_done({"shift", "100"});
    Workload workload{{move.through()}};
    workload.start();
    Sql writer{move.through()}, reader{move.through()};
    writer.query("INSERT INTO app.keyed VALUES (-1, 'count', 0)");
    for (int i = 1; i <= 300; ++i) {
        writer.query("UPDATE app.keyed SET revision = " + std::to_string(i) + " WHERE id = -1");
        ASSERT_EQ(reader.value("SELECT revision FROM app.keyed WHERE id = -1"), std::to_string(i));
        ASSERT_EQ(writer.value("SELECT revision FROM app.keyed WHERE id = -1"), std::to_string(i));
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    EXPECT_TRUE(eventually(30s, [&] {
        reader.query("SELECT count(*) FROM app.hard");
        return counter(move.segue(), "/shift/served_by_follower") > 50;
    }));
    move.expect_right(workload);
}

TEST(Shift, AnswersStatementsThatWerePreparedBefore) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql reader{move.through()};
    reader.prepare("p", "SELECT body FROM app.keyed WHERE id = $1");
    move.segue().expect_done({"shift", "100"});
    EXPECT_TRUE(eventually(30s, [&] {
        EXPECT_EQ(reader.execute_prepared("p", {"3"}).value(), "row 3");
        return counter(move.segue(), "/shift/served_by_follower") > 10;
    }));
}

// A commit that waits for a standby which never answers is in the log, and comes out of the stream,
// but no snapshot of its own server shows it (law 4).
TEST(Shift, NobodyReadsACommitThatTheAuthorityDoesNotShowYet) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    move.segue().expect_done({"shift", "100"});
    Sql reader{move.through()}, truth{move.direct(move.source())};
    const char* const read = "SELECT count(*) FROM app.keyed WHERE id = -77";
    const auto served = [&] {
        const long long before = counter(move.segue(), "/shift/served_by_follower");
        EXPECT_EQ(reader.value(read), truth.value(read));
        return counter(move.segue(), "/shift/served_by_follower") > before;
    };
    ASSERT_TRUE(eventually(30s, served));
    const auto set_standby = [&](const char* names) {
        move.source().run(std::string{"ALTER SYSTEM SET synchronous_standby_names = "} + names);
        move.source().run("SELECT pg_reload_conf()");
    };
    const auto in_the_gap = [&] {
        return truth.value(
                   "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                   " AND query LIKE 'INSERT INTO app.keyed%'") == "1";
    };
    set_standby("'nobody'");
    std::thread writing{[&] {
        Sql{move.direct(move.source())}.query("INSERT INTO app.keyed VALUES (-77, 'early')");
    }};
    EXPECT_TRUE(eventually(30s, in_the_gap));
    Sql follower{move.superuser(move.target())};
    EXPECT_TRUE(eventually(30s, [&] {
        EXPECT_EQ(reader.value(read), "0");
        return follower.value(read) == "1";  // Applying goes on; readers do not see it.
    }));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(reader.value(read), "0");
    EXPECT_TRUE(in_the_gap());
    set_standby("''");
    writing.join();
    EXPECT_TRUE(eventually(30s, served));
    EXPECT_EQ(reader.value(read), "1");
    move.expect_equal_soon();
}

TEST(Shift, NothingThatWritesRunsOnTheFollower) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.source().run(
        "CREATE SEQUENCE app.visits; ALTER SEQUENCE app.visits OWNER TO app; "
        "CREATE FUNCTION app.sly() RETURNS int LANGUAGE sql STABLE AS $$ SELECT "
        "nextval('app.visits')::int $$; "
        "CREATE FUNCTION app.writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO app.loose VALUES (1); RETURN 1; END $$; "
        "CREATE VIEW app.sly_view AS SELECT app.writes() AS w; GRANT SELECT ON app.sly_view TO app",
        "shop");
    ASSERT_TRUE(move.copy());
    move.segue().expect_done({"shift", "100"});
    move.segue().expect_done({"shadow", "0"});
    Sql client{move.through()};
    for (int i = 0; i < 20; ++i) {
        client.query("SELECT app.sly()");
        client.query("SELECT app.writes()");
        client.query("SELECT * FROM app.sly_view");
        client.query("SELECT nextval('app.visits')");
        client.query("WITH w AS (INSERT INTO app.loose VALUES (2) RETURNING a) SELECT * FROM w");
        client.query("SELECT * FROM app.account WHERE id = 1 FOR UPDATE");
    }
    EXPECT_EQ(move.source().value("SELECT last_value FROM app.visits", "shop"), "40");
    move.expect_equal_soon();
}

}  // namespace
}  // namespace segue::test
