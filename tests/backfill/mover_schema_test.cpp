// Changes of the schema that are carried by the mover as it is, between real servers.

#include <gmock/gmock.h>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using ::testing::HasSubstr;

class MoverSchemaTest : public MoverTest {};

// A lock is no reason to stop: it is told what is waited for, and since when, until it is had.
TEST_F(MoverSchemaTest, ALockOnTheFollowerIsWaitedForAndTold) {
    carry_ddl = true;
    databases->run(Side::source,
                   "CREATE TABLE public.t (id int PRIMARY KEY, body text);"
                   " INSERT INTO public.t SELECT i, 'row' FROM generate_series(1, 50) i");
    prepare();
    start();
    wait_consistent();
    test::Sql reader{databases->url(Side::target)};
    reader.query("BEGIN; SELECT count(*) FROM public.t");
    const std::string pid = reader.value("SELECT pg_backend_pid()");
    databases->run(Side::source,
                   "ALTER TABLE public.t ADD COLUMN later int DEFAULT 7;"
                   " INSERT INTO public.t VALUES (51, 'behind it')");
    EXPECT_TRUE(test::eventually(60s, [&] {
        return mover->status().schema_work.find("pg_terminate_backend(" + pid) != std::string::npos;
    }));
    const MoverStatus waiting = mover->status();
    EXPECT_THAT(waiting.schema_work, HasSubstr("ALTER TABLE of public.t is being carried to the"));
    EXPECT_TRUE(waiting.schema_work_since);
    EXPECT_EQ(waiting.schema_stop, "");
    EXPECT_EQ(waiting.runs_failed, 0u);
    reader.query("COMMIT");
    catch_up();
    EXPECT_EQ(mover->status().schema_work, "");
    EXPECT_EQ(mover->status().runs_failed, 0u);
    expect_same();
}

// Each time that it begins anew it is still the same wait.
TEST_F(MoverSchemaTest, AWaitInACircleIsToldWithItsFirstMoment) {
    carry_ddl = true;
    databases->run(
        Side::source,
        "CREATE TABLE public.a (id int PRIMARY KEY, v int);"
        " CREATE TABLE public.b (id int PRIMARY KEY); INSERT INTO public.a VALUES (1, 1)");
    prepare();
    start();
    wait_consistent();
    const auto told = [&](const std::string& piece) {
        return test::eventually(
            60s, [&] { return mover->status().schema_work.find(piece) != std::string::npos; });
    };
    test::Sql reader{databases->url(Side::target)}, next{databases->url(Side::target)};
    reader.query("SET deadlock_timeout = '1h'; BEGIN; SELECT count(*) FROM public.b");
    databases->run(
        Side::source,
        "BEGIN; UPDATE public.a SET v = 2; ALTER TABLE public.b ADD COLUMN w int; COMMIT");
    ASSERT_TRUE(told("pg_terminate_backend(" + reader.value("SELECT pg_backend_pid()")));
    const auto since = mover->status().schema_work_since;
    // Had when the transaction has given up what it did before.
    reader.query("LOCK TABLE public.a IN ACCESS EXCLUSIVE MODE");
    EXPECT_TRUE(told("waits in a circle"));
    next.query("BEGIN; SELECT count(*) FROM public.b");
    reader.query("COMMIT");
    ASSERT_TRUE(told("pg_terminate_backend(" + next.value("SELECT pg_backend_pid()")));
    EXPECT_EQ(mover->status().schema_work_since, since);
    next.query("COMMIT");
    catch_up();
    EXPECT_EQ(mover->status().schema_work, "");
    EXPECT_EQ(mover->status().runs_failed, 0u);
    expect_same();
}

// Its rows are on nobody's list any more, and never come.
TEST_F(MoverSchemaTest, ATableThatWasDroppedBeforeItWasCopiedIsLeftAlone) {
    carry_ddl = true;
    databases->run(Side::source,
                   "CREATE TABLE public.t (id int PRIMARY KEY, v int);"
                   " CREATE TABLE public.gone (id int PRIMARY KEY, v int);"
                   " INSERT INTO public.t VALUES (1, 1); INSERT INTO public.gone VALUES (1, 1)");
    prepare();
    databases->run(Side::source,
                   "UPDATE public.gone SET v = 2; DELETE FROM public.gone; DROP TABLE public.gone;"
                   " UPDATE public.t SET v = 2");
    start();
    wait_consistent();
    catch_up();
    EXPECT_EQ(mover->status().runs_failed, 0u) << mover->status().last_failure;
    expect_same();
}

// A run that begins behind it knows the table as one to be copied, and so do the next ones.
TEST_F(MoverSchemaTest, ATableThatWasMadeLoggedBeforeTheCopyBeganIsCopied) {
    carry_ddl = true;
    databases->run(Side::source, "CREATE UNLOGGED TABLE public.u (id int PRIMARY KEY)");
    prepare();
    databases->run(Side::source,
                   "ALTER TABLE public.u SET LOGGED; INSERT INTO public.u VALUES (1), (2)");
    start();
    wait_consistent();
    catch_up();
    EXPECT_EQ(databases->value(Side::target, "SELECT count(*) FROM public.u"), "2");
    expect_same();
}

// Then tables are still without what they have on the authority, and nobody may miss it.
TEST_F(MoverSchemaTest, ChangesAreCarriedAlsoAfterIndexesCouldNotBeBuilt) {
    carry_ddl = true;
    const std::string function =
        "CREATE FUNCTION public.f(int) RETURNS int IMMUTABLE LANGUAGE sql RETURN $1";
    databases->run(
        Side::source,
        "CREATE TABLE public.t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
        " CREATE INDEX t_v ON public.t (v); CREATE TABLE public.a (id int PRIMARY KEY);" +
            function + "; CREATE INDEX a_f ON public.a (public.f(id))");
    prepare();
    const std::string as_mover = "SET segue.mover = '" + record.migration_id + "'; ";
    databases->run(Side::target, as_mover + "DROP FUNCTION public.f(int)");
    start();
    ASSERT_TRUE(test::eventually(60s, [&] {
        return mover->status().last_failure.find("public.f(integer) does not exist") !=
               std::string::npos;
    })) << mover->status().last_failure;
    databases->run(Side::source,
                   "CREATE TABLE public.piece PARTITION OF public.t FOR VALUES FROM (0) TO (10);"
                   " INSERT INTO public.t VALUES (1, 1)");
    EXPECT_TRUE(test::eventually(60s, [&] {
        return databases->value(Side::target, "SELECT to_regclass('public.piece')::text") ==
               "piece";
    })) << mover->status().last_failure;
    databases->run(Side::target, as_mover + function);
    wait_consistent();
    catch_up();
    expect_same();
}

}  // namespace
}  // namespace segue::backfill
