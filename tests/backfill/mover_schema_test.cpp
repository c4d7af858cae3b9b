// Changes of the schema that are carried by the mover as it is, between real servers.

#include <gmock/gmock.h>

#include <sstream>

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

// Few commands say whose rows are others after them.
TEST_F(MoverSchemaTest, RowsFitTheirTableBehindWhateverCommandHasChangedIt) {
    carry_ddl = true;
    databases->run(Side::source, R"sql(
        CREATE TYPE public.mood AS ENUM ('glad', 'sad'); CREATE DOMAIN public.small AS int;
        CREATE SCHEMA kinds; CREATE TYPE kinds.hue AS ENUM ('red', 'blue');
        CREATE TABLE public.feels (id int PRIMARY KEY, v text, mood public.mood DEFAULT 'sad');
        CREATE TABLE public.holds (id int PRIMARY KEY, v text, held public.small DEFAULT 3);
        CREATE TABLE public.coloured (id int PRIMARY KEY, v text, hue kinds.hue DEFAULT 'blue');
        CREATE TABLE public.parent (id int PRIMARY KEY, v text);
        CREATE TABLE public.child (PRIMARY KEY (id)) INHERITS (public.parent);
        CREATE TABLE public.split (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE public.split_low PARTITION OF public.split FOR VALUES FROM (0) TO (100000);
        CREATE TABLE public.meant (id int PRIMARY KEY, v text, code int UNIQUE);
        CREATE TABLE public.means (id int PRIMARY KEY, v text, code int);
        CREATE TABLE public.named (id int NOT NULL, v text); CREATE UNIQUE INDEX named_id ON public.named (id);
        ALTER TABLE public.named REPLICA IDENTITY USING INDEX named_id)sql");
    prepare();
    start();
    wait_consistent();
    const char* const commands[] = {
        "ALTER TYPE public.mood RENAME TO humour",
        "ALTER TYPE public.humour ADD VALUE 'calm'",
        "ALTER TYPE kinds.hue SET SCHEMA public",
        "ALTER TYPE public.hue SET SCHEMA kinds",
        "DROP TYPE public.humour CASCADE",
        "DROP DOMAIN public.small CASCADE",
        "DROP SCHEMA kinds CASCADE",
        "ALTER TABLE public.parent ADD COLUMN extra int DEFAULT 3",
        "CREATE TABLE public.grandchild (own int DEFAULT 4, PRIMARY KEY (id)) INHERITS "
        "(public.child)",
        "ALTER TABLE public.parent ALTER COLUMN extra TYPE bigint",
        "ALTER TABLE public.means ADD FOREIGN KEY (code) REFERENCES public.meant (code)",
        "ALTER TABLE public.meant DROP COLUMN code CASCADE",
        "CREATE TABLE public.split_high (id int PRIMARY KEY, v text)",
        "ALTER TABLE public.split ATTACH PARTITION public.split_high FOR VALUES FROM (100000) TO "
        "(200000)",
        "ALTER TABLE public.split ADD COLUMN extra text DEFAULT 'more'",
        "ALTER TABLE public.split DETACH PARTITION public.split_high",
        "DROP INDEX public.named_id",
        "ALTER TABLE public.named ADD PRIMARY KEY (id)",
        "CREATE INDEX ON public.named (v)",
        "DROP TABLE public.meant CASCADE; CREATE TABLE public.meant (v text, id bigint PRIMARY "
        "KEY)"};
    int next = 1;
    // Of each table alone and of several together, as they are applied in different ways.
    const auto write = [&] {
        const std::string tables = databases->value(
            Side::source,
            "SELECT string_agg(oid::regclass::text, ' ') FROM pg_class WHERE relnamespace ="
            " 'public'::regnamespace AND relkind = 'r'");
        std::string sql;
        std::istringstream names{tables};
        for (std::string table; names >> table;) {
            const std::string from = table.ends_with("_high") ? "100000 + " : "";
            const auto id = [&](int i) { return from + std::to_string(i); };
            sql += "INSERT INTO " + table + " (id, v) VALUES (" + id(next) + ", 'a'), (" +
                   id(next + 1) + ", 'b'), (" + id(next + 2) + ", 'c'); UPDATE " + table +
                   " SET v = v || 'd' WHERE id IN (" + id(next) + ", " + id(next + 1) +
                   "); DELETE FROM " + table + " WHERE id = " + id(next + 2) + "; ";
        }
        databases->run(Side::source, sql);
        databases->run(Side::source,
                       "UPDATE public.feels SET v = 'last' WHERE id = " + std::to_string(next));
        next += 3;
    };
    write();
    for (const char* const command : commands) {
        SCOPED_TRACE(command);
        databases->run(Side::source, command);
        write();
    }
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
