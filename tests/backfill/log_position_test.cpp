#include "backfill/postgres/log_position.hpp"

#include <gtest/gtest.h>

#include "tests/support/postgres_server.hpp"

namespace segue::backfill::postgres {
namespace {

TEST(LogPosition, ItsMarkMovesWithEveryTransactionThatWritesAndNoOther) {
    SEGUE_NEEDS_POSTGRES();
    const test::PostgresServer server;
    server.run(
        "CREATE SCHEMA segue; CREATE TABLE segue.ticket (number bigint); INSERT INTO segue.ticket "
        "VALUES (0)");
    server.run("CREATE TABLE t (i int); CREATE SEQUENCE s");
    LogPosition log{server.url(), {}};
    const auto mark = [&log] {
        const auto end = log.read();
        EXPECT_TRUE(end);
        return end ? end->written : WriteMark{};
    };
    const auto wrote = [&](const std::string& statement) {
        const WriteMark before = mark();
        server.run(statement);
        return !nothing_written_between(before, mark());
    };
    EXPECT_FALSE(wrote("SELECT count(*) FROM t"));
    EXPECT_FALSE(wrote("BEGIN; SELECT 1; ROLLBACK"));
    EXPECT_TRUE(wrote("INSERT INTO t VALUES (1)"));
    EXPECT_TRUE(wrote("SELECT nextval('s')"));
    EXPECT_TRUE(wrote("SELECT pg_notify('c', 'p')"));
    EXPECT_TRUE(wrote("BEGIN; SAVEPOINT a; DELETE FROM t; COMMIT"));
    const WriteMark before = mark();
    EXPECT_TRUE(log.commit_ticket());
    EXPECT_FALSE(nothing_written_between(before, mark()));
}

TEST(LogPosition, MarksOfTwoConnectionsAreNotCompared) {
    SEGUE_NEEDS_POSTGRES();
    const test::PostgresServer server;
    LogPosition log{server.url(), {}};
    const auto before = log.read();
    ASSERT_TRUE(before);
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'segue "
        "positions'");
    auto after = log.read();
    if (!after) after = log.read();  // The first one learns of the end.
    ASSERT_TRUE(after);
    EXPECT_FALSE(nothing_written_between(before->written, after->written));
}

}  // namespace
}  // namespace segue::backfill::postgres
