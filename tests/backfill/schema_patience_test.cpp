// Needs a server.

#include "backfill/postgres/schema_patience.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class SchemaPatienceTest : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<test::Databases>();
        databases_->run(Side::target,
                        "CREATE TABLE public.one (i int); CREATE TABLE public.two (i int)");
        follower_ = std::make_unique<Connection>(databases_->open(Side::target, "id-1"));
        reader_ = std::make_unique<test::Sql>(databases_->url(Side::target));
    }
    Status run(const std::string& sql) {
        const auto done = follower_->execute(sql);
        return done ? Status{Done{}} : Status{done.error()};
    }

    std::unique_ptr<test::Databases> databases_;
    std::unique_ptr<Connection> follower_;
    std::unique_ptr<test::Sql> reader_;
    const SchemaPatience quick_{20ms, 40ms, 1ms, 3};
};

TEST_F(SchemaPatienceTest, WaitsForAReaderHoweverLongAndLetsOthersByMeanwhile) {
    reader_->query("BEGIN; SELECT * FROM public.one");
    const std::string pid = reader_->value("SELECT pg_backend_pid()");
    ASSERT_TRUE(run("BEGIN; INSERT INTO public.two VALUES (1)"));
    int times = 0;
    std::string who;
    const Status changed = change_patiently(
        *follower_,
        quick_,
        [&] { return run("INSERT INTO public.two VALUES (2); ALTER TABLE public.one ADD j int"); },
        [&] {
            who = who_holds_locks(*follower_, {"public.one"});
            test::Sql other{databases_->url(Side::target)};
            other.query("SET lock_timeout = '60s'; SELECT * FROM public.one");
            if (++times == 4) reader_->query("COMMIT");
        });
    ASSERT_TRUE(changed) << changed.error().detail;
    EXPECT_GE(times, 4);
    EXPECT_THAT(who, HasSubstr("pg_terminate_backend(" + pid + ")"));
    EXPECT_EQ(follower_->execute("SHOW lock_timeout")->text(0, 0), "0");
    EXPECT_TRUE(follower_
                    ->execute("SELECT setting = reset_val FROM pg_settings WHERE name ="
                              " 'deadlock_timeout'")
                    ->truth(0, 0));
    ASSERT_TRUE(run("SAVEPOINT looked"));
    EXPECT_FALSE(run("RELEASE SAVEPOINT segue_patience")) << "each attempt has left one";
    ASSERT_TRUE(run("ROLLBACK TO SAVEPOINT looked"));
    ASSERT_TRUE(run("COMMIT"));
    EXPECT_EQ(databases_->value(Side::target, "SELECT string_agg(i::text, ' ') FROM public.two"),
              "1 2")
        << "each attempt begins from the same";
}

TEST_F(SchemaPatienceTest, TellsAtOnceOfWhatIsNoLock) {
    ASSERT_TRUE(run("BEGIN"));
    int times = 0;
    const Status changed = change_patiently(
        *follower_,
        quick_,
        [&] { return run("ALTER TABLE public.none ADD j int"); },
        [&] { ++times; });
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().sqlstate, "42P01");
    EXPECT_EQ(times, 0);
}

// Somebody waits for what the transaction has done before, and has what it needs now.
TEST_F(SchemaPatienceTest, GivesUpWhatOnlyItsOwnEndCanMend) {
    reader_->query("SET deadlock_timeout = '1h'; BEGIN; SELECT * FROM public.two");
    ASSERT_TRUE(run("BEGIN; ALTER TABLE public.one ADD j int"));
    std::thread waiting{[&] { reader_->attempt("SELECT * FROM public.one"); }};
    EXPECT_TRUE(test::eventually(60s, [&] {
        return databases_->value(Side::target,
                                 "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation ="
                                 " 'public.one'::regclass") == "1";
    }));
    const Status changed = change_patiently(
        *follower_,
        {60s, 60s, 1ms, 3},
        [&] { return run("ALTER TABLE public.two ADD j int"); },
        [] {});
    EXPECT_FALSE(changed);
    EXPECT_EQ(changed.error().sqlstate, deadlock_detected);
    EXPECT_TRUE(run("ROLLBACK"));
    waiting.join();
}

}  // namespace
}  // namespace segue::backfill::postgres
