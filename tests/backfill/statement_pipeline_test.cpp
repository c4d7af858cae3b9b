#include "backfill/postgres/statement_pipeline.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

// What is checked only at the end of a transaction belongs to no statement of it.
TEST(StatementPipeline, NamesTheTableOfWhatFailsAtTheCommit) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::target,
                  "CREATE TABLE quiet (i int); CREATE TABLE t (i int UNIQUE DEFERRABLE INITIALLY "
                  "DEFERRED); INSERT INTO t VALUES (1)");
    Connection target = databases.open(Side::target);
    {
        auto pipeline = StatementPipeline::enter(target);
        ASSERT_TRUE(pipeline);
        ASSERT_TRUE(pipeline->query("BEGIN", {}, {{}, "BEGIN"}));
        ASSERT_TRUE(pipeline->query("INSERT INTO public.t VALUES (1)", {}, {1, "public.t"}));
        ASSERT_TRUE(
            pipeline->query("INSERT INTO public.quiet VALUES (1)", {}, {1, "public.quiet"}));
        ASSERT_TRUE(pipeline->query("COMMIT", {}, {{}, "COMMIT"}));
        const Status committed = pipeline->finish();
        ASSERT_FALSE(committed);
        EXPECT_EQ(committed.error().sqlstate, "23505");
        EXPECT_EQ(pipeline->failed_subject(), "public.t") << committed.error().detail;
        EXPECT_NE(committed.error().detail.find("public.t"), std::string::npos);
    }
    // One that fails by itself keeps the name that it was sent under.
    auto pipeline = StatementPipeline::enter(target);
    ASSERT_TRUE(pipeline);
    ASSERT_TRUE(pipeline->query("SET CONSTRAINTS ALL IMMEDIATE", {}, {{}, "SET"}));
    ASSERT_TRUE(pipeline->query("INSERT INTO public.t VALUES (1)", {}, {1, "the change"}));
    EXPECT_FALSE(pipeline->finish());
    EXPECT_EQ(pipeline->failed_subject(), "the change");
}

}  // namespace
}  // namespace segue::backfill::postgres
