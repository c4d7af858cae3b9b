// A client's session is the same before and after a change of authority; what cannot move refuses
// the change.

#include <gtest/gtest.h>

#include <functional>

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
        sql.query("SET search_path = app, public");
        sql.query("SET TimeZone = 'Asia/Tokyo'");
        sql.query("SET default_transaction_isolation = 'repeatable read'");
        sql.query("SET ROLE app_reader");
        sql.query("PREPARE by_sql (int) AS SELECT $1 + 1");
        EXPECT_TRUE(sql.prepare("by_protocol", "SELECT count(*) FROM keyed WHERE id < $1").ok);
        sql.query("LISTEN news");
    }

    void expect_kept() {
        EXPECT_EQ(sql.value("SHOW work_mem"), "7MB");
        EXPECT_EQ(sql.value("SHOW app.tenant"), "number nine");
        EXPECT_EQ(sql.value("SHOW search_path"), "app, public");
        EXPECT_EQ(sql.value("SHOW TimeZone"), "Asia/Tokyo");
        EXPECT_EQ(sql.value("SHOW transaction_isolation"), "repeatable read");
        EXPECT_EQ(sql.value("SELECT current_user"), "app_reader");
        EXPECT_EQ(sql.value("EXECUTE by_sql(4)"), "5");
        EXPECT_EQ(sql.execute_prepared("by_protocol", {"11"}).value(), "10");
        EXPECT_EQ(sql.value("SELECT count(*) FROM pg_prepared_statements"), "2");
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
        ASSERT_EQ(move.segue().expect_done({verbs[change]}).exit_code, 0);
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
        if (*verb != '\0') move.segue().expect_done({verb});
        EXPECT_EQ(client.value("SHOW application_name"), "startup");
        EXPECT_EQ(client.value("SHOW statement_timeout"), "77s");
        EXPECT_EQ(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t");
    }
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
        {"CREATE TEMPORARY TABLE mine (i int)", "DROP TABLE mine", "temporary"},
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
    EXPECT_EQ(move.segue().expect_done({"cutover"}).exit_code, 0);
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
    const auto status = move.segue().status();
    ASSERT_TRUE(status);
    EXPECT_EQ((*status)["authority"], "source");
    EXPECT_EQ((*status)["last_change"]["kind"], "abort");
    EXPECT_EQ((*status)["sessions"]["held"], 0);
    EXPECT_EQ(move.source().value("SELECT phase FROM segue.control", "shop"), "steady");
    Sql direct{move.direct(move.source())};
    direct.query("INSERT INTO app.keyed VALUES (-6, 'the fence is open')");
    move.expect_equal_soon();
    EXPECT_EQ(move.segue().expect_done({"cutover"}).exit_code, 0);
}

TEST(Sessions, RehearsalChangesNothing) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    const CommandResult rehearsed = move.segue().expect_done({"rehearse"});
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
    ASSERT_EQ(move.segue().expect_done({"cutover"}).exit_code, 0);
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
        if (*verb != '\0') move.segue().expect_done({verb});
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
