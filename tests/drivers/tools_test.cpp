// PostgreSQL's own tools through Segue: they must not notice changes of authority.

#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

TEST(Tools, PgbenchInEveryMode) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    const std::string bin = PostgresServer::binaries();
    ASSERT_EQ(run_command({{bin + "/pgbench", "-i", "-q", "-s", "1", move.direct(move.source())}}).exit_code, 0);
    ASSERT_TRUE(move.copy());
    for (const char* mode : {"simple", "extended", "prepared"}) {
        SCOPED_TRACE(mode);
        const std::filesystem::path log = move.segue().folder() / (std::string{"pgbench_"} + mode + ".log");
        Child pgbench{{{bin + "/pgbench", "-n", "-c", "4", "-T", "600", "-P", "1", "-M", mode, move.through()}}, log, SIGKILL};
        ASSERT_TRUE(eventually(20s, [&] { return read_file(log).find("progress: 1") != std::string::npos; })) << read_file(log);
        EXPECT_EQ(move.segue().expect_done({"cutover"}).exit_code, 0);
        EXPECT_EQ(move.segue().expect_done({"rollback"}).exit_code, 0);
        pgbench.signal(SIGALRM);  // As if its time were over: it sums up.
        EXPECT_EQ(pgbench.wait(20s), 0) << read_file(log);
        const std::string said = read_file(log);
        EXPECT_NE(said.find("number of failed transactions: 0 "), std::string::npos) << said;
        EXPECT_EQ(said.find("aborted"), std::string::npos) << said;
    }
    EXPECT_EQ(move.source().value("SELECT (SELECT sum(abalance) FROM app.pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM "
                                  "app.pgbench_history) AND (SELECT sum(tbalance) FROM app.pgbench_tellers) = (SELECT sum(bbalance) "
                                  "FROM app.pgbench_branches)", "shop"), "t");
    move.expect_equal_soon();
}

TEST(Tools, PgDumpAndPsqlSeeTheSameAsDirectly) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    const std::string bin = PostgresServer::binaries();
    const auto dump = [&](const std::string& url) {
        CommandResult dumped = run_command({{bin + "/pg_dump", "--no-owner", "--schema=app", url}});
        EXPECT_EQ(dumped.exit_code, 0) << dumped.err;
        // Newer minor versions guard dumps with a random key.
        std::string lines;
        std::istringstream text{dumped.out};
        for (std::string line; std::getline(text, line);) {
            if (!line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")) lines += line + "\n";
        }
        return lines;
    };
    const std::string directly = dump(move.direct(move.source()));
    EXPECT_GT(directly.size(), 100000u);
    EXPECT_EQ(dump(move.through()), directly);
    ASSERT_EQ(move.segue().expect_done({"cutover"}).exit_code, 0);
    EXPECT_EQ(dump(move.through()), dump(move.direct(move.target())));

    const CommandResult psql = run_command(
        {{bin + "/psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", move.through(), "-c", "\\d app.hard", "-c",
          "SELECT 1; SELECT 2; SELECT 3", "-c", "\\copy (SELECT id FROM app.account WHERE id < 4) TO STDOUT", "-c",
          "SELECT count(*) FROM app.hard"}});
    EXPECT_EQ(psql.exit_code, 0) << psql.err;
    EXPECT_NE(psql.out.find("1\n2\n3\n80\n"), std::string::npos) << psql.out;
}

}  // namespace
}  // namespace segue::test
