// The tools of the tests can fail themselves: what they promise is shown here.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/support/compare.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/workload.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

TEST(RunCommand, TellsExitCodeOutputAndTimeout) {
    const CommandResult told = run_command({{"sh", "-c", "echo out; echo err >&2; exit 3"}});
    EXPECT_EQ(told.exit_code, 3);
    EXPECT_EQ(told.out, "out\n");
    EXPECT_EQ(told.err, "err\n");
    Command endless{{"sleep", "1000"}};
    endless.timeout = 50ms;
    const CommandResult killed = run_command(endless);
    EXPECT_TRUE(killed.timed_out);
    EXPECT_EQ(killed.exit_code, 137);
}

// A server listens a second after its port was chosen, and others choose at the same time.
TEST(FreePort, IsNobodyElsesWhileThisProcessLives) {
    const std::string taken = std::to_string(free_port());
    const std::string other = std::to_string(std::stoi(taken) + 40000);
    const char* take =
        "import fcntl, sys\n"
        "book = open('" P_tmpdir "/segue-test-ports', 'r+b')\n"
        "fcntl.lockf(book, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(sys.argv[1]))";
    EXPECT_EQ(run_command({{"python3", "-c", take, other}}).exit_code, 0);
    EXPECT_EQ(run_command({{"python3", "-c", take, taken}}).exit_code, 1);
}

// No test: tests/run.sh makes by it what all servers of its run begin as.
TEST(ServerTemplate, DISABLED_Make) {
    if (PostgresServer::binaries().empty()) return;
    const char* const folder = std::getenv("SEGUE_SERVER_TEMPLATE");
    ASSERT_NE(folder, nullptr);
    make_server_template(folder);
}

TEST(PostgresServer, HasItsOwnIdentityAndKeepsItsDataOverRestarts) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer a, b;
    const char* identity = "SELECT system_identifier FROM pg_control_system()";
    EXPECT_NE(a.value(identity), b.value(identity));
    EXPECT_EQ(a.value("SHOW wal_level"), "logical");
    a.run("CREATE TABLE kept (v int); INSERT INTO kept VALUES (7)");
    a.restart(Stop::fast);
    a.run("INSERT INTO kept VALUES (8)");
    a.restart(Stop::immediate);
    EXPECT_EQ(a.value("SELECT sum(v) FROM kept"), "15");
    b.stop();
    EXPECT_FALSE(b.running());
}

TEST(PostgresServer, ChecksPasswordsAndSpeaksTls) {
    SEGUE_NEEDS_POSTGRES();
    for (const ServerAuth auth : {ServerAuth::scram, ServerAuth::md5, ServerAuth::password}) {
        ServerOptions options;
        options.auth = auth;
        options.tls = true;
        PostgresServer server{options};
        server.run("CREATE ROLE app LOGIN PASSWORD 'secret'");
        Sql good{server.url("postgres", "app", "secret") + "?sslmode=require"};
        EXPECT_TRUE(good.connected()) << good.error();
        EXPECT_EQ(good.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t");
        EXPECT_FALSE(Sql{server.url("postgres", "app", "wrong")}.connected());
    }
}

TEST(Comparison, FindsOneChangedMissingDoubledRowAndAMissingTable) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer server;
    for (const char* database : {"a", "b"}) {
        server.run(std::string{"CREATE DATABASE "} + database);
        server.run(
            "CREATE TABLE t (id int, v text); INSERT INTO t SELECT i, i::text FROM "
            "generate_series(1, 100) i",
            database);
    }
    const auto differences = [&] {
        return compare_databases(server.socket_url("a"), server.socket_url("b")).differences.size();
    };
    EXPECT_EQ(differences(), 0u);
    server.run("UPDATE t SET v = NULL WHERE id = 5", "b");
    EXPECT_EQ(differences(), 2u);
    server.run("UPDATE t SET v = '5' WHERE id = 5; INSERT INTO t VALUES (7, '7')", "b");
    EXPECT_EQ(differences(), 1u);
    server.run(
        "DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (7, '7'); CREATE TABLE more (i int)",
        "b");
    EXPECT_EQ(differences(), 1u);
    server.run("CREATE INDEX ON t (v)", "b");
    EXPECT_FALSE(compare_catalogs(server.socket_url("a"), server.socket_url("b")).empty());
}

// Straight against one server, which must be right; then each way in which a mover could be wrong
// is shown to be seen.
TEST(Workload, AgreesWithAServerAndSeesLostDoubledRevivedAndReorderedTransactions) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer server;
    create_workload_schema(server.socket_url());
    WorkloadOptions options{server.socket_url()};
    options.two_phase = true;
    Workload workload{options};
    workload.start();
    EXPECT_TRUE(workload.wait_for_more(500));
    server.restart(Stop::immediate);
    EXPECT_TRUE(workload.wait_for_more(500));
    workload.stop();
    const WorkloadReport report = workload.report();
    for (const std::string& error : report.errors) ADD_FAILURE() << error;
    EXPECT_GT(report.connections_lost, 0);
    EXPECT_GT(report.aborted, 0);
    expect_journal(server.socket_url(), workload.journal());

    const auto problems_after = [&](const std::string& damage) {
        server.run("CREATE DATABASE damaged TEMPLATE postgres");
        server.run(damage, "damaged");
        const auto problems = check_journal(server.socket_url("damaged"), workload.journal());
        server.run("DROP DATABASE damaged");
        return problems;
    };
    const std::string last = "(SELECT max(number) FROM app.journal WHERE worker = 1)";
    const char* damages[] = {
        "DELETE FROM app.journal WHERE worker = 1 AND number = ",
        "INSERT INTO app.journal_loose SELECT 1, ",
        "UPDATE app.worker_state SET last = last - 1 WHERE worker = 1 AND last = ",
        "UPDATE app.journal SET previous = previous - 1 WHERE worker = 1 AND number = ",
    };
    for (const char* damage : damages)
        EXPECT_FALSE(problems_after(damage + last).empty()) << damage;
    EXPECT_FALSE(
        problems_after("UPDATE app.account SET balance = balance + 1 WHERE id = 1").empty());
    for (const Attempt& attempt : workload.journal()) {
        if (attempt.outcome != Outcome::aborted) continue;
        const auto problems =
            problems_after("INSERT INTO app.journal VALUES (" + std::to_string(attempt.worker) +
                           ", " + std::to_string(attempt.number) + ", 0, '')");
        ASSERT_FALSE(problems.empty());
        EXPECT_EQ(problems[0].substr(0, 7), "REVIVED");
        break;
    }
}

}  // namespace
}  // namespace segue::test
