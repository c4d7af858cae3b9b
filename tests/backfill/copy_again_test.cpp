#include "backfill/postgres/copy_again.hpp"

#include <gtest/gtest.h>

#include <future>

#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/store.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;

constexpr std::int64_t generation = 5;

class CopyAgain : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        databases_->run(Side::target, segue_schema_ddl);
        databases_->run(Side::target,
                        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
                        " UPDATE segue.lease SET generation = " +
                            std::to_string(generation));
        shared_.identity.migration_id = "id";
        shared_.identity.url[index(Side::target)] = databases_->url(Side::target);
        shared_.leases[index(Side::target)] = generation;
        shared_.tables[table_].loaded = shared_.tables[table_].started = true;
        shared_.tables[table_].stopped_because = "a change hit 0 rows";
    }

    std::string value(const std::string& sql) { return databases_->value(Side::target, sql); }

    // What a chunk's worker of the run with that generation commits.
    static Status claim_chunk(Connection& writer) {
        auto pipeline = StatementPipeline::enter(writer);
        if (!pipeline) return pipeline.error();
        Status sent = send_mark(*pipeline, Side::source, 1, generation);
        if (sent) sent = send_chunk(*pipeline, {{"public", "t"}, 1, {}, Position{7}, 1, 1});
        if (sent) sent = pipeline->query("INSERT INTO public.t VALUES (2)", {}, {1, "t"});
        const Status finished = pipeline->finish();
        return sent ? finished : sent;
    }

    std::unique_ptr<Databases> databases_;
    MoverShared shared_;
    const TableName table_{"public", "t"};
};

TEST_F(CopyAgain, WaitsForWhatTheRunBeforeHasBegunAndLetsItCommitNothingMore) {
    Connection worker = databases_->open(Side::target, "id");
    ASSERT_TRUE(worker.execute("BEGIN"));
    const Status claimed = claim_chunk(worker);
    ASSERT_TRUE(claimed) << claimed.error().detail;
    auto emptied = std::async(std::launch::async, [&] {
        return empty_for_copy(shared_, {table_}, std::chrono::steady_clock::now() + 120s);
    });
    EXPECT_TRUE(test::eventually(60s, [&] {
        return value(
                   "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                   " AND query LIKE 'UPDATE segue.lease%'") == "1";
    }));
    ASSERT_TRUE(worker.execute("COMMIT"));
    const Status done = emptied.get();
    ASSERT_TRUE(done) << done.error().detail;
    EXPECT_EQ(value("SELECT count(*) FROM t"), "0");
    EXPECT_EQ(value("SELECT count(*) FROM segue.chunk"), "0");
    EXPECT_FALSE(shared_.tables[table_].loaded);
    EXPECT_EQ(shared_.tables[table_].stopped_because, "");
    // The same run goes on for a while, and is refused.
    ASSERT_TRUE(worker.execute("BEGIN"));
    EXPECT_FALSE(claim_chunk(worker)) << "it fills the table beside the copy that comes";
}

TEST_F(CopyAgain, ChangesNothingWhereAnotherRunHasBegun) {
    databases_->run(Side::target, "UPDATE segue.lease SET generation = generation + 1");
    const Status done = empty_for_copy(shared_, {table_}, std::chrono::steady_clock::now());
    EXPECT_FALSE(done);
    EXPECT_EQ(value("SELECT count(*) FROM t"), "1");
    EXPECT_NE(shared_.tables[table_].stopped_because, "");
    shared_.leases[index(Side::target)] = std::nullopt;
    EXPECT_FALSE(empty_for_copy(shared_, {table_}, std::chrono::steady_clock::now()));
    EXPECT_EQ(value("SELECT count(*) FROM t"), "1") << "nobody has the lease";
}

}  // namespace
}  // namespace segue::backfill::postgres
