#include "backfill/postgres/statement_plan.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;
using test::Sql;

struct StatementPlan : testing::Test {
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<Databases>();
        run("CREATE ROLE " + role + "; CREATE SCHEMA own AUTHORIZATION " + role +
            "; GRANT TEMPORARY ON DATABASE \"" + databases->database() + "\" TO " + role);
        run("CREATE TABLE own.t (id bigint PRIMARY KEY, at timestamptz, name text);"
            "INSERT INTO own.t SELECT g, now(), 'n' FROM generate_series(1, 10000) AS g;"
            "ANALYZE own.t; ALTER TABLE own.t OWNER TO " +
            role);
    }
    void TearDown() override {
        if (!databases) return;
        run("DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
    }
    void run(const std::string& sql) { databases->run(Side::source, sql); }

    // All lines; or "error: ...".
    std::string plan(const std::string& statement,
                     std::vector<std::pair<std::string, std::string>> settings = {},
                     std::vector<std::uint32_t> types = {}) {
        PlanContext context{role, std::move(settings)};
        auto connection = Connection::open(
            databases->url(Side::source),
            {.application_name = "plans", .settings = {}, .normalised = false});
        if (!connection) return "error: " + connection.error().detail;
        const auto lines = plan_of(
            *connection,
            {statement, std::move(types), std::make_shared<const PlanContext>(std::move(context))});
        if (!lines) return "error: " + lines.error().sqlstate + " " + lines.error().detail;
        std::string all;
        for (const std::string& line : *lines) all += line + "\n";
        return all;
    }

    const std::string role = "segue_planner";
    std::unique_ptr<Databases> databases;
};

TEST_F(StatementPlan, IsTheOneForEveryValue) {
    const std::string by_key = plan("SELECT name FROM own.t WHERE id = $1");
    EXPECT_NE(by_key.find("Index Scan using t_pkey"), std::string::npos) << by_key;
    EXPECT_NE(by_key.find("(id = $1)"), std::string::npos) << by_key;
    EXPECT_NE(plan("SELECT count(*) FROM own.t").find("Seq Scan on t"), std::string::npos);
    // Compared as the client says that its parameter is: no index is of use then.
    const std::string as_numeric = plan("SELECT name FROM own.t WHERE id = $1", {}, {1700});
    EXPECT_NE(as_numeric.find("Seq Scan"), std::string::npos) << as_numeric;
}

TEST_F(StatementPlan, IsMadeUnderTheSettingsOfTheSessionAndOfItsRole) {
    EXPECT_NE(plan("SELECT 1 FROM t").find("42P01"), std::string::npos);
    EXPECT_NE(plan("SELECT 1 FROM t", {{"search_path", "own"}}).find("Seq Scan on t"),
              std::string::npos);
    // As most roles are: nobody has set anything.
    run("CREATE TABLE public.by_default (id bigint); GRANT SELECT ON public.by_default TO " + role);
    EXPECT_NE(plan("SELECT 1 FROM by_default").find("Seq Scan on by_default"), std::string::npos);
    run("ALTER ROLE " + role + " SET search_path = nowhere, own");
    EXPECT_NE(plan("SELECT 1 FROM t").find("Seq Scan on t"), std::string::npos);
    const std::string without = plan("SELECT name FROM t WHERE id = $1",
                                     {{"enable_indexscan", "off"},
                                      {"enable_bitmapscan", "off"},
                                      {"of_another_version", "on"},
                                      {"app.tenant", "7"}});
    EXPECT_NE(without.find("Seq Scan"), std::string::npos) << without;
}

TEST_F(StatementPlan, ShowsNoStringAndChangesNothing) {
    run("CREATE VIEW own.recent AS SELECT * FROM own.t WHERE at > now() - interval '3 days';"
        "GRANT SELECT ON own.recent TO " +
        role);
    const std::string since = plan("SELECT 1 FROM own.recent WHERE at > CAST($1 AS timestamptz)");
    EXPECT_NE(since.find("'?'::interval"), std::string::npos) << since;
    EXPECT_EQ(since.find("3 days"), std::string::npos) << since;
    EXPECT_TRUE(plan("DELETE FROM own.t").starts_with("error"));
    EXPECT_TRUE(plan("SELECT 1; DELETE FROM own.t").starts_with("error"));
    run("CREATE SEQUENCE own.s; GRANT ALL ON SEQUENCE own.s TO " + role +
        "; CREATE FUNCTION own.f() RETURNS bigint IMMUTABLE LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN nextval('own.s'); END $$");
    EXPECT_NE(plan("SELECT own.f()").find("25006"), std::string::npos);
    // As the application's role.
    run("CREATE FUNCTION own.who() RETURNS text IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN IF current_user = 'segue_planner' THEN RAISE 'x' USING ERRCODE = '28000'; END "
        "IF;"
        " RETURN 'somebody else'; END $$");
    EXPECT_NE(plan("SELECT own.who()").find("28000"), std::string::npos);
}

// A function that calls itself immutable is run while its statement is planned. It must not come
// back to the rights of Segue's own role, nor to its settings.
TEST_F(StatementPlan, GivesNoRoleMoreRightsThanItHas) {
    run("CREATE FUNCTION own.escape() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION own.f() RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN own.escape(); END $$");
    for (const std::string escape : {"RESET ROLE",
                                     "RESET SESSION AUTHORIZATION",
                                     "SET SESSION AUTHORIZATION postgres",
                                     "PERFORM set_config('role', 'none', false)",
                                     "RESET ALL"}) {
        run("CREATE OR REPLACE FUNCTION own.escape() RETURNS int LANGUAGE plpgsql AS $$ BEGIN " +
            escape + "; RETURN pg_catalog.length(pg_read_file('PG_VERSION')); END $$");
        const std::string told = plan("SELECT own.f()");
        EXPECT_TRUE(told.starts_with("error: 42501")) << escape << ": " << told;
    }
}

TEST_F(StatementPlan, WaitsForNoLockForLong) {
    Sql locking{databases->url(Side::source)};
    locking.query("BEGIN; LOCK TABLE own.t IN ACCESS EXCLUSIVE MODE");
    EXPECT_TRUE(plan("SELECT 1 FROM own.t").starts_with("error"));
}

}  // namespace
}  // namespace segue::backfill::postgres
