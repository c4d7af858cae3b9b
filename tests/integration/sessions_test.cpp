// A client's session is the same before and after a change of authority; what cannot move refuses
// the change.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

std::string server_port(Sql& client) { return client.value("SELECT inet_server_port()"); }

// Everything a session was given, asked for in every way it could be lost.
struct GivenSession {
    explicit GivenSession(const std::string& url) : sql(url) {
        EXPECT_TRUE(sql.connected()) << sql.error();
        sql.query("SET work_mem = '7MB'");
        sql.query("SET app.tenant = 'number nine'");
        // Of a name that no statement of this session has told: the function's body does.
        sql.query("SELECT app.enter('the back door')");
        sql.query("SET search_path = app, public");
        sql.query("SET TimeZone = 'Asia/Tokyo'");
        sql.query("SET default_transaction_isolation = 'repeatable read'");
        sql.query("SET ROLE app_reader");
        sql.query(
            "SELECT ';'; PREPARE by_sql (int) AS SELECT $1 + 1; PREPARE \"By sql; too\" AS SELECT "
            "$$a;b$$;");
        EXPECT_TRUE(sql.prepare("by_protocol", "SELECT count(*) FROM keyed WHERE id < $1").ok);
        sql.query("LISTEN news");
    }

    void expect_kept() {
        EXPECT_EQ(sql.value("SHOW work_mem"), "7MB");
        EXPECT_EQ(sql.value("SHOW app.tenant"), "number nine");
        EXPECT_EQ(sql.value("SHOW app.door"), "the back door");
        EXPECT_EQ(sql.value("SHOW search_path"), "app, public");
        EXPECT_EQ(sql.value("SHOW TimeZone"), "Asia/Tokyo");
        EXPECT_EQ(sql.value("SHOW transaction_isolation"), "repeatable read");
        EXPECT_EQ(sql.value("SELECT current_user"), "app_reader");
        EXPECT_EQ(sql.value("EXECUTE by_sql(4)"), "5");
        EXPECT_EQ(sql.value("EXECUTE \"By sql; too\""), "a;b");
        EXPECT_EQ(sql.execute_prepared("by_protocol", {"11"}).value(), "10");
        EXPECT_EQ(sql.value("SELECT count(*) FROM pg_prepared_statements"), "3");
        EXPECT_EQ(sql.value("SELECT string_agg(c, ',') FROM pg_listening_channels() c"), "news");
    }

    // Payloads heard until now.
    std::string heard() {
        std::string payloads;
        sql.query("SELECT 1");  // Reads what has arrived.
        while (PGnotify* notice = PQnotifies(sql.raw())) {
            payloads += notice->extra;
            PQfreemem(notice);
        }
        return payloads;
    }

    Sql sql;
};

TEST(Sessions, KeepSettingsRolePreparedStatementsAndListens) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.source().run("CREATE ROLE app_reader; GRANT app_reader TO app", "shop");
    move.source().run(
        "CREATE FUNCTION app.enter(by text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "set_config('app.door', by, false); END $$",
        "shop");
    move.source().run(
        "GRANT USAGE ON SCHEMA app TO app_reader; GRANT SELECT ON app.keyed TO app_reader", "shop");
    ASSERT_TRUE(move.copy());
    GivenSession session{move.through()};
    session.expect_kept();
    Sql other{move.through()};
    const int ports[] = {move.target().port(), move.source().port()};
    const char* verbs[] = {"cutover", "rollback"};
    for (int change = 0; change < 2; ++change) {
        SCOPED_TRACE(verbs[change]);
        other.query(std::string{"NOTIFY news, 'before "} + verbs[change] + ";'");
        ASSERT_TRUE(move.segue().change(verbs[change]));
        EXPECT_EQ(server_port(session.sql), std::to_string(ports[change]));
        session.expect_kept();
        other.query(std::string{"NOTIFY news, 'after "} + verbs[change] + ";'");
        std::string all;
        eventually(5s, [&] { return (all += session.heard()).find("after") != std::string::npos; });
        EXPECT_EQ(all, std::string{"before "} + verbs[change] + ";after " + verbs[change] + ";");
    }
}

TEST(Sessions, SettingsOfTheStartupPacketAndThePassTlsStay) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.source.tls = options.target.tls = true;
    PostgresServer certificates{options.source};  // Lends Segue its certificate.
    options.lines = {
        {"listen", "tls_certificate = \"" + (certificates.folder() / "server.crt").string() + "\""},
        {"listen", "tls_key = \"" + (certificates.folder() / "server.key").string() + "\""}};
    Migration move{options};
    ASSERT_TRUE(move.copy());
    Sql client{move.through() +
               "?sslmode=require&application_name=startup&options=-c%20statement_timeout%3D77s"};
    ASSERT_TRUE(client.connected()) << client.error();
    for (const char* verb : {"", "cutover", "rollback"}) {
        SCOPED_TRACE(verb);
        if (*verb != '\0') {
            ASSERT_TRUE(move.segue().change(verb));
        }
        EXPECT_EQ(client.value("SHOW application_name"), "startup");
        EXPECT_EQ(client.value("SHOW statement_timeout"), "77s");
        EXPECT_EQ(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t");
    }
}

TEST(Sessions, KeepTheStatementWithoutAName) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    ASSERT_TRUE(client.prepare("", "SELECT inet_server_port() || ',' || $1::int").ok);
    const std::string source = std::to_string(move.source().port()),
                      target = std::to_string(move.target().port());
    EXPECT_EQ(client.execute_prepared("", {"1"}).value(), source + ",1");
    for (const auto& [verb, port] : {std::pair{"cutover", target}, std::pair{"rollback", source}}) {
        SCOPED_TRACE(verb);
        ASSERT_TRUE(move.segue().change(verb));
        EXPECT_EQ(client.execute_prepared("", {"2"}).value(), port + ",2");
    }
}

TEST(Sessions, AreToldWhatTheOtherServerIsConfiguredWith) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.source.settings = {"timezone=UTC", "intervalstyle=postgres"};
    options.target.settings = {"timezone=Asia/Tokyo", "intervalstyle=iso_8601"};
    Migration move{options};
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    client.query("SET IntervalStyle = 'sql_standard'");
    for (const auto& [verb, zone] :
         {std::pair{"cutover", "Asia/Tokyo"}, std::pair{"rollback", "UTC"}}) {
        SCOPED_TRACE(verb);
        ASSERT_TRUE(move.segue().change(verb));
        EXPECT_EQ(client.value("SHOW TimeZone"), zone);
        EXPECT_STREQ(PQparameterStatus(client.raw(), "TimeZone"), zone);
        EXPECT_EQ(client.value("SHOW IntervalStyle"), "sql_standard");
        EXPECT_STREQ(PQparameterStatus(client.raw(), "IntervalStyle"), "sql_standard");
    }
}

// Its temporary table goes with it, also while it is being written.
TEST(Sessions, TakeSmallTemporaryTablesWithThem) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.lines = {{"sessions", "carry_temporary_kb = 4096"}};
    Migration move{options};
    ASSERT_TRUE(move.copy());
    Sql quiet{move.through()}, busy{move.through()};
    quiet.query(
        "CREATE TEMPORARY TABLE forgetful (i int) ON COMMIT DELETE ROWS; CREATE TEMPORARY TABLE "
        "keyed (id int, value text);"
        "INSERT INTO keyed VALUES (1, 'hides the permanent one'); PREPARE mine AS SELECT value "
        "FROM keyed");
    busy.query("CREATE TEMPORARY TABLE basket (id serial PRIMARY KEY, what text UNIQUE)");
    // More than may be in memory at once.
    constexpr int crowd_size = 24;
    std::vector<std::unique_ptr<Sql>> crowd;
    for (int i = 0; i < crowd_size; ++i) {
        crowd.push_back(std::make_unique<Sql>(move.through()));
        crowd.back()->query("CREATE TEMPORARY TABLE seat AS SELECT " + std::to_string(i) +
                            " AS number");
    }
    std::atomic<bool> stopping{false};
    int taken = 0;
    std::thread writing{[&] {
        while (!stopping) {
            const std::string next = std::to_string(++taken);
            EXPECT_EQ(
                busy.value("INSERT INTO basket (what) VALUES ('thing " + next + "') RETURNING id"),
                next);
        }
    }};
    const int ports[] = {move.target().port(), move.source().port(), move.target().port()};
    const char* verbs[] = {"cutover", "rollback", "cutover"};
    for (int change = 0; change < 3; ++change) {
        SCOPED_TRACE(verbs[change]);
        EXPECT_TRUE(move.segue().change(verbs[change]));
        EXPECT_EQ(server_port(quiet), std::to_string(ports[change]));
        EXPECT_EQ(quiet.value("EXECUTE mine"), "hides the permanent one");
        quiet.query("BEGIN; INSERT INTO forgetful VALUES (1); COMMIT");
        EXPECT_EQ(quiet.value("SELECT count(*) FROM forgetful"), "0");
        for (int i = 0; i < crowd_size; ++i) {
            EXPECT_EQ(crowd[static_cast<std::size_t>(i)]->value(
                          "UPDATE seat SET number = number RETURNING number"),
                      std::to_string(i));
        }
    }
    stopping = true;
    writing.join();
    EXPECT_EQ(busy.value("SELECT count(*) || ',' || max(id) FROM basket"),
              std::to_string(taken) + "," + std::to_string(taken));
    EXPECT_FALSE(busy.attempt("INSERT INTO basket (what) VALUES ('thing 1')").ok)
        << "its constraints went with it";
}

TEST(Sessions, PinnedOnesRefuseTheCutoverAndAreNamed) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    struct Pin {
        const char* make;
        const char* undo;
        const char* word;
    };
    const Pin pins[] = {
        {"CREATE TEMPORARY VIEW mine AS SELECT 1", "DROP VIEW mine", "temporary view mine"},
        {"CREATE TEMPORARY TABLE mine (i int) PARTITION BY LIST (i)",
         "DROP TABLE mine",
         "temporary table mine, which is partitioned"},
        {"CREATE TEMPORARY TABLE large AS SELECT g, md5(g::text) FROM generate_series(1, 50000) g",
         "DROP TABLE large",
         "carry_temporary_kb = 1024"},
        {"BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT", "CLOSE held", "cursor"},
        {"SELECT pg_advisory_lock(42)", "SELECT pg_advisory_unlock(42)", "advisory"},
    };
    Sql client{move.through()};
    for (const Pin& pin : pins) {
        SCOPED_TRACE(pin.make);
        client.query(pin.make);
        const std::string pid = client.value("SELECT pg_backend_pid()");
        const CommandResult refused = move.segue().verb({"cutover"});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE(refused.err.find(pin.word), std::string::npos) << refused.err;
        EXPECT_NE(refused.err.find(pid), std::string::npos) << refused.err;
        EXPECT_TRUE(move.segue().wait_status("/sessions/pinned", 1, 10s));
        client.query(pin.undo);
        EXPECT_EQ(server_port(client), std::to_string(move.source().port()));
    }
    {
        SCOPED_TRACE("a password that was changed after the login");
        const std::string verifier =
            move.source().value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
        move.target().run("ALTER ROLE app PASSWORD 'another'");
        Sql late{move.through()};
        const std::string pid = late.value("SELECT pg_backend_pid()");
        const CommandResult refused = move.segue().verb({"cutover"});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE(refused.err.find("pid " + pid), std::string::npos) << refused.err;
        EXPECT_EQ(server_port(late), std::to_string(move.source().port()));
        move.target().run("ALTER ROLE app PASSWORD '" + verifier + "'");
    }
    EXPECT_TRUE(move.segue().change("cutover"));
    EXPECT_EQ(server_port(client), std::to_string(move.target().port()));
}

TEST(Sessions, AnOpenTransactionPastTheDrainDeadlineLeavesNoTraceOfTheCutover) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.lines = {{"cutover", "drain_ms = 400"}};
    Migration move{options};
    ASSERT_TRUE(move.copy());
    Sql slow{move.through()}, other{move.through()};
    slow.query("BEGIN; UPDATE app.account SET balance = balance + 5 WHERE id = 1");
    const CommandResult refused = move.segue().verb({"cutover"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_FALSE(refused.err.empty());
    slow.query("UPDATE app.account SET balance = balance - 5 WHERE id = 2");
    slow.query("COMMIT");
    other.query("INSERT INTO app.keyed VALUES (-5, 'goes on')");
    EXPECT_TRUE(move.segue().wait_status("/authority", "source"));
    EXPECT_TRUE(move.segue().wait_status("/last_change/kind", "abort"));
    EXPECT_TRUE(move.segue().wait_status("/sessions/held", 0));
    EXPECT_EQ(move.source().value("SELECT phase FROM segue.control", "shop"), "steady");
    Sql direct{move.direct(move.source())};
    direct.query("INSERT INTO app.keyed VALUES (-6, 'the fence is open')");
    move.expect_equal_soon();
    EXPECT_TRUE(move.segue().change("cutover"));
}

TEST(Sessions, RehearsalChangesNothing) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    CommandResult rehearsed;
    ASSERT_TRUE(eventually(60s, [&] {
        rehearsed = move.segue().verb({"rehearse"});
        return rehearsed.exit_code == 0;
    })) << rehearsed.err;
    EXPECT_NE(rehearsed.out.find("ms"), std::string::npos);
    ASSERT_TRUE(workload.wait_for_more(50));
    workload.stop();
    expect_no_client_noticed(workload.report());
    EXPECT_TRUE(move.segue().wait_status("/authority", "source", 5s));
    EXPECT_TRUE(move.segue().wait_status("/last_change/kind", "rehearsal", 5s));
    move.expect_right(workload);
}

TEST(Sessions, OtherDatabasesPassThroughAndStay) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.source().run("CREATE DATABASE elsewhere");
    ASSERT_TRUE(move.copy());
    Sql client{move.segue().url("elsewhere", "app", "app")};
    ASSERT_TRUE(client.connected()) << client.error();
    ASSERT_TRUE(move.segue().change("cutover"));
    EXPECT_EQ(server_port(client), std::to_string(move.source().port()));
}

TEST(Sessions, CancelReachesTheStatement) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    for (const char* verb :
         {"", "cutover"}) {  // The key the client was given also works after a move.
        SCOPED_TRACE(verb);
        Sql client{move.through()};
        if (*verb != '\0') {
            ASSERT_TRUE(move.segue().change(verb));
        }
        ASSERT_EQ(PQsendQuery(client.raw(), "SELECT pg_sleep(60)"), 1);
        PQflush(client.raw());
        PostgresServer& server = *verb == '\0' ? move.source() : move.target();
        ASSERT_TRUE(eventually(10s, [&] {
            return server.value(
                       "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query "
                       "LIKE '%pg_sleep(60)' "
                       "AND usename = 'app'") == "1";
        }));
        PGcancel* cancel = PQgetCancel(client.raw());
        char error[256];
        EXPECT_EQ(PQcancel(cancel, error, sizeof error), 1) << error;
        PQfreeCancel(cancel);
        PGresult* result = PQgetResult(client.raw());
        EXPECT_STREQ(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
        PQclear(result);
    }
}

}  // namespace
}  // namespace segue::test
