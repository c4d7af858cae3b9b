// Changes of what comes with the rest (indexes, triggers, policies, statistics) while tables are
// copied: a run that failed behind it has left some of it on the follower.

#include "tests/backfill/ddl_support.hpp"
#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/schema_changes.hpp"

namespace segue::backfill {
namespace {

class DdlRest : public test::DdlTest {
protected:
    void SetUp() override {
        DdlTest::SetUp();
        if (IsSkipped()) return;
        EXPECT_EQ(both("CREATE TABLE app.t (id int CONSTRAINT t_pkey PRIMARY KEY, v int);"
                       " CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS"
                       " 'BEGIN RETURN NEW; END'"),
                  "");
    }
    std::string while_copying(const std::string& sql) {
        app(sql);
        return carry(true);
    }
    void expect_same() {
        for (const std::string& difference :
             test::compare_dumps(test::Databases::server(Side::source),
                                 test::Databases::server(Side::target),
                                 databases_->database()))
            ADD_FAILURE() << difference;
    }
};

TEST_F(DdlRest, IsChangedWhereItIsThereAlready) {
    EXPECT_EQ(both("CREATE INDEX t_v ON app.t (v); CREATE INDEX t_w ON app.t (v);"
                   " CREATE POLICY a ON app.t USING (id > 1);"
                   " CREATE POLICY b ON app.t USING (id > 2);"
                   " CREATE POLICY c ON app.t USING (id > 3);"
                   " CREATE TRIGGER a BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f();"
                   " CREATE TRIGGER b BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f();"
                   " CREATE STATISTICS app.a ON id, v FROM app.t;"
                   " CREATE STATISTICS app.b ON id, v FROM app.t"),
              "");
    for (const char* const command : {"ALTER INDEX app.t_v RENAME TO t_x",
                                      "ALTER INDEX app.t_x SET (fillfactor = 50)",
                                      "ALTER INDEX app.t_pkey RENAME TO t_key",
                                      "DROP INDEX app.t_w",
                                      "DROP POLICY a ON app.t",
                                      "ALTER POLICY b ON app.t USING (id > 20)",
                                      "ALTER POLICY c ON app.t RENAME TO d",
                                      "DROP TRIGGER a ON app.t",
                                      "ALTER TRIGGER b ON app.t RENAME TO c",
                                      "DROP STATISTICS app.a",
                                      "ALTER STATISTICS app.b SET STATISTICS 7"}) {
        EXPECT_EQ(while_copying(command), "") << command;
    }
    expect_same();
}

TEST_F(DdlRest, IsLeftForLaterWhereItIsNotThereYet) {
    EXPECT_EQ(
        while_copying("CREATE INDEX t_v ON app.t (v); CREATE POLICY a ON app.t USING (id > 1);"
                      " CREATE TRIGGER a BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION"
                      " app.f(); CREATE STATISTICS app.a ON id, v FROM app.t"),
        "");
    EXPECT_EQ(on_target("SELECT count(*) FROM pg_policy"), "0");
    for (const char* const command : {"ALTER INDEX app.t_v RENAME TO t_x",
                                      "ALTER INDEX IF EXISTS app.t_x SET (fillfactor = 50)",
                                      "DROP INDEX app.t_x",
                                      "ALTER POLICY a ON app.t USING (id > 20)",
                                      "ALTER POLICY a ON app.t RENAME TO d",
                                      "DROP POLICY d ON app.t",
                                      "ALTER TRIGGER a ON app.t RENAME TO c",
                                      "DROP TRIGGER IF EXISTS c ON app.t",
                                      "ALTER STATISTICS app.a SET STATISTICS 7",
                                      "DROP STATISTICS app.a"}) {
        EXPECT_EQ(while_copying(command), "") << command;
    }
    expect_same();
}

// The dump that brought it is younger than the stream.
TEST_F(DdlRest, IsNotMadeTwice) {
    const std::string make =
        "CREATE INDEX t_v ON app.t (v); CREATE POLICY a ON app.t USING (id > 1);"
        " CREATE TRIGGER a BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f();"
        " CREATE STATISTICS app.a ON id, v FROM app.t";
    databases_->run(Side::target, "SET segue.mover = 'id-1'; SET ROLE ddl_app; " + make);
    EXPECT_EQ(while_copying(make), "");
    EXPECT_EQ(while_copying("ALTER POLICY a ON app.t USING (id > 1)"), "");
    expect_same();
}

TEST_F(DdlRest, IsReplacedWhereItIsThereAlready) {
    if (follower_->server_version() < 140000) GTEST_SKIP() << "no OR REPLACE before 14";
    EXPECT_EQ(both("CREATE TRIGGER a BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f()"),
              "");
    EXPECT_EQ(while_copying("CREATE OR REPLACE TRIGGER a BEFORE UPDATE ON app.t FOR EACH ROW"
                            " EXECUTE FUNCTION app.f()"),
              "");
    expect_same();
    EXPECT_EQ(while_copying("CREATE OR REPLACE TRIGGER b BEFORE UPDATE ON app.t FOR EACH ROW"
                            " EXECUTE FUNCTION app.f()"),
              "");
    EXPECT_EQ(on_target("SELECT count(*) FROM pg_trigger WHERE tgname = 'b'"), "0");
}

class DdlRestMover : public MoverTest {
protected:
    void expect_same_dumps() {
        for (const std::string& difference :
             test::compare_dumps(test::Databases::server(Side::source),
                                 test::Databases::server(Side::target),
                                 databases->database()))
            ADD_FAILURE() << difference;
    }
};

// What is on record as restored is not for ever.
TEST_F(DdlRestMover, IsTheSameAfterARunThatFailedBehindIt) {
    carry_ddl = true;
    const auto function = [](const std::string& body) {
        return "CREATE OR REPLACE FUNCTION public.f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN " +
               body + " END'; ";
    };
    databases->run(
        Side::source,
        function("RETURN $1;") +
            "CREATE TABLE public.t (id int PRIMARY KEY, v int CONSTRAINT c CHECK (v > 0), w int);"
            " INSERT INTO public.t VALUES (1, 1, 1);"
            " CREATE TABLE public.u (id int PRIMARY KEY, v int); CREATE INDEX u_v ON public.u (v);"
            " CREATE INDEX t_v ON public.t (v); CREATE INDEX t_w ON public.t (v);"
            " CREATE FUNCTION public.g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW;"
            " END'; CREATE TRIGGER a BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION g();"
            " CREATE POLICY a ON public.t USING (id > 1); CREATE POLICY b ON public.t USING (id >"
            " 2); COMMENT ON POLICY a ON public.t IS 'first';"
            " CREATE STATISTICS public.a ON id, v FROM public.t;"
            " CREATE MATERIALIZED VIEW public.seen AS SELECT public.f(id) FROM public.t");
    prepare();
    const std::string as_mover = "SET segue.mover = '" + record.migration_id + "'; ";
    databases->run(Side::target, as_mover + function("RAISE EXCEPTION ''not yet'';"));
    start();
    ASSERT_TRUE(test::eventually(60s, [&] {
        return mover->status().last_failure.find("cannot refresh") != std::string::npos;
    })) << mover->status().last_failure;
    databases->run(
        Side::source,
        "DROP POLICY a ON public.t; CREATE POLICY a ON public.t USING (id > 10);"
        " COMMENT ON POLICY a ON public.t IS 'second';"
        " ALTER POLICY b ON public.t USING (id > 20); DROP TRIGGER a ON public.t;"
        " CREATE TRIGGER a BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.g();"
        " DROP STATISTICS public.a; CREATE STATISTICS public.a ON v, w FROM public.t;"
        " ALTER INDEX public.t_v RENAME TO t_x; DROP INDEX public.t_w;"
        " CREATE INDEX t_w ON public.t (w); ALTER INDEX public.t_pkey RENAME TO t_key;"
        " ALTER TABLE public.t DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (v > -1);"
        " DROP TABLE public.u; CREATE TABLE public.u (id int PRIMARY KEY, v int);"
        " CREATE INDEX u_v ON public.u (id, v)");
    EXPECT_TRUE(test::eventually(60s, [&] {
        return databases->value(Side::target, "SELECT to_regclass('public.t_key')::text") ==
               "t_key";
    })) << mover->status().last_failure;
    databases->run(Side::target, as_mover + function("RETURN $1;"));
    wait_consistent();
    catch_up();
    expect_same();
    expect_same_dumps();
}

// Until the key is there the follower has but a view of the same columns.
TEST_F(DdlRestMover, BringsViewsThatDependOnAKeyWhateverIsMadeOfThemMeanwhile) {
    carry_ddl = true;
    const auto view = [](const std::string& name, const std::string& columns) {
        return "CREATE OR REPLACE VIEW public." + name + " AS SELECT " + columns +
               " FROM public.t GROUP BY id; ";
    };
    databases->run(Side::source,
                   "CREATE TABLE public.t (id int PRIMARY KEY, v int, w int);"
                   " INSERT INTO public.t VALUES (1, 1, 1); " +
                       view("kept", "id, v") + view("replaced", "id, v") +
                       view("dropped", "id, v") + view("renamed", "id, v") + view("read", "id, v"));
    prepare();
    databases->run(Side::source,
                   view("replaced", "id, v, count(*)") + "DROP VIEW public.dropped;" +
                       " ALTER VIEW public.renamed RENAME TO other; " + view("made", "id, w") +
                       "CREATE VIEW public.reads AS SELECT * FROM public.read;"
                       " ALTER TABLE public.t RENAME COLUMN v TO value;"
                       " ALTER TABLE public.t ADD COLUMN x int");
    start();
    wait_consistent();
    catch_up();
    expect_same();
    expect_same_dumps();
}

TEST_F(DdlRestMover, CopiesATableAnewThatIsAlteredWhenAPartOfItIsThere) {
    carry_ddl = true;
    databases->run(Side::source,
                   "CREATE TABLE public.t (id int PRIMARY KEY, v text, w int); INSERT INTO public.t"
                   " SELECT i, repeat('x', 100), i FROM generate_series(1, 200000) i");
    prepare();
    start();
    EXPECT_TRUE(test::eventually(
        60s, [&] { return databases->value(Side::target, "SELECT count(*) > 0 FROM t") == "t"; }));
    databases->run(Side::source,
                   "ALTER TABLE public.t ADD COLUMN x int DEFAULT 5;"
                   " UPDATE public.t SET x = 6 WHERE id % 1000 = 0;"
                   " ALTER TABLE public.t DROP COLUMN w, ALTER v TYPE varchar(200);"
                   " DELETE FROM public.t WHERE id % 500 = 1;"
                   " ALTER TABLE public.t ADD CONSTRAINT positive CHECK (x > 0);"
                   " CREATE INDEX t_x ON public.t (x)");
    wait_consistent();
    catch_up();
    EXPECT_EQ(mover->status().runs_failed, 0u) << mover->status().last_failure;
    expect_same();
    expect_same_dumps();
}

// As `check` tells, and the operator may accept until the cutover.
TEST_F(DdlRest, CarriesCommandsOnTablesWhoseConstraintsNobodyLooksAfterOnTheSource) {
    EXPECT_EQ(
        both("CREATE TABLE app.up (i int PRIMARY KEY); CREATE TABLE app.down (i int PRIMARY KEY"
             " REFERENCES app.up)"),
        "");
    databases_->run(Side::source,
                    "SET segue.mover = 'id-1'; ALTER TABLE app.down DISABLE TRIGGER ALL");
    EXPECT_EQ(both("ALTER TABLE app.down ADD COLUMN v int"), "");
    EXPECT_EQ(
        on_target("SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.down'::regclass AND"
                  " attname = 'v'"),
        "1");
}

}  // namespace
}  // namespace segue::backfill
