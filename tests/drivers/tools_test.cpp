// PostgreSQL's own tools through Segue: they must not notice changes of authority.

#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

constexpr auto tool_limit = 60s;

std::string tool(const char* name) { return PostgresServer::binaries() / name; }

// pgbench's own transaction, sent at once.
const char* const pipeline_script = R"(
\set aid random(1, 100000)
\set tid random(1, 10)
\set delta random(-5000, 5000)
\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, 1, :aid, :delta, CURRENT_TIMESTAMP);
END;
\endpipeline
)";

// The schema as pg_dump says it, with all rows.
std::string dump(const std::string& url) {
    CommandResult dumped =
        run_command({{tool("pg_dump"), "--no-owner", "--schema=app", url}, {}, tool_limit});
    EXPECT_EQ(dumped.exit_code, 0) << dumped.err;
    // Newer minor versions guard dumps with a random key.
    std::string lines;
    std::istringstream text{dumped.out};
    for (std::string line; std::getline(text, line);) {
        if (!line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            lines += line + "\n";
    }
    return lines;
}

void expect_done(const std::vector<std::string>& arguments) {
    const CommandResult result = run_command({arguments, {}, tool_limit});
    EXPECT_EQ(result.exit_code, 0) << arguments[0] << ":\n" << result.err;
}

TEST(Tools, PgbenchInEveryMode) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    expect_done({tool("pgbench"), "-i", "-q", "-s", "1", move.direct(move.source())});
    ASSERT_TRUE(move.copy());
    const std::filesystem::path script = move.segue().folder() / "pipeline.sql";
    write_file(script, pipeline_script);
    const std::vector<std::vector<std::string>> modes = {{"-M", "simple"},
                                                         {"-M", "extended"},
                                                         {"-M", "prepared"},
                                                         {"-M", "simple", "--connect", "-j", "4"},
                                                         {"-M", "prepared", "-f", script}};
    for (const auto& mode : modes) {
        SCOPED_TRACE(mode[1] + " " + mode.back());
        const std::filesystem::path log =
            move.segue().folder() / ("pgbench_" + std::to_string(&mode - modes.data()) + ".log");
        std::vector<std::string> command = {
            tool("pgbench"), "-n", "-c", "4", "-T", "600", "-P", "1"};
        command.insert(command.end(), mode.begin(), mode.end());
        command.push_back(move.through());
        Child pgbench{{command}, log, SIGKILL};
        ASSERT_TRUE(eventually(20s, [&] {
            return read_file(log).find("progress: 1") != std::string::npos;
        })) << read_file(log);
        EXPECT_TRUE(move.segue().change("cutover"));
        EXPECT_TRUE(move.segue().change("rollback"));
        pgbench.signal(SIGALRM);  // As if its time were over: it sums up.
        EXPECT_EQ(pgbench.wait(20s), 0) << read_file(log);
        const std::string said = read_file(log);
        EXPECT_NE(said.find("number of failed transactions: 0 "), std::string::npos) << said;
        EXPECT_EQ(said.find("aborted"), std::string::npos) << said;
    }
    EXPECT_EQ(
        move.source().value(
            "SELECT (SELECT sum(abalance) FROM app.pgbench_accounts) = (SELECT "
            "coalesce(sum(delta), "
            "0) FROM app.pgbench_history) AND (SELECT sum(tbalance) FROM app.pgbench_tellers) = "
            "(SELECT sum(bbalance) FROM app.pgbench_branches)",
            "shop"),
        "t");
    move.expect_equal_soon();
}

TEST(Tools, PgDumpAndPgRestoreSeeAndMakeTheSameAsDirectly) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    const std::string directly = dump(move.direct(move.source()));
    EXPECT_GT(directly.size(), 100000u);

    move.segue().run();
    EXPECT_EQ(dump(move.through()), directly);
    const std::filesystem::path folder = move.segue().folder() / "dump";
    const std::string jobs = "--jobs=2";
    expect_done(
        {tool("pg_dump"), "-Fd", jobs, "--schema=app", "-f", folder.string(), move.through()});
    expect_done({tool("psql"), "-Xqc", "DROP SCHEMA app CASCADE", move.through()});
    expect_done({tool("pg_restore"), "-e", jobs, "-d", move.through(), folder.string()});
    EXPECT_EQ(dump(move.direct(move.source())), directly);

    move.segue().expect_done({"start"});
    ASSERT_TRUE(move.segue().wait_consistent());
    EXPECT_EQ(dump(move.through()), dump(move.direct(move.source())));
    ASSERT_TRUE(move.segue().change("cutover"));
    EXPECT_EQ(dump(move.through()), dump(move.direct(move.target())));
}

}  // namespace
}  // namespace segue::test
