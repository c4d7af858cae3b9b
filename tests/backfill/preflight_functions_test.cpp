// What `check` does with the functions that the mover has to run for each row.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/preflight.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/backfill/preflight_support.hpp"

namespace segue::backfill {
namespace {

using test::Databases;
using test::settings_of;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// "code of object" of those that are about functions.
std::vector<std::string> told_of(const Databases& databases) {
    std::vector<std::string> told;
    const auto findings = postgres_preflight(settings_of(databases));
    if (!findings) return {findings.error().detail};
    for (const Finding& finding : *findings) {
        const std::string code{finding.code.name()};
        if (code.starts_with("function_")) told.push_back(code + " of " + finding.object);
    }
    return told;
}

// Reading only would not keep a superuser from COPY ... TO PROGRAM.
TEST(PreflightFunctions, TriesTheFunctionsOfOthersWithTheirRightsOnly) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    const std::string role = databases.database() + "_owner";
    for (const Side side : {Side::source, Side::target}) databases.run(side, "CREATE ROLE " + role);
    databases.run(Side::source, R"sql(
        CREATE FUNCTION spies(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
            BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN PERFORM acts_as_superuser(); END IF;
            RETURN true; END$$;
        CREATE FUNCTION lost(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN is_not_there(); END';
        CREATE TABLE theirs (i int PRIMARY KEY); CREATE TABLE lost (i int PRIMARY KEY); CREATE TABLE ours (i int PRIMARY KEY);
        CREATE DOMAIN kind AS int; CREATE TABLE kinds (k kind PRIMARY KEY);
        INSERT INTO theirs VALUES (1); INSERT INTO lost VALUES (1); INSERT INTO ours VALUES (1); INSERT INTO kinds VALUES (1);
        ALTER TABLE theirs ADD CHECK (spies(i)) NOT VALID; ALTER TABLE ours ADD CHECK (spies(i)) NOT VALID;
        ALTER TABLE lost ADD CHECK (lost(i)) NOT VALID; ALTER DOMAIN kind ADD CHECK (spies(VALUE)) NOT VALID)sql");
    databases.run(Side::source,
                  "ALTER TABLE theirs OWNER TO " + role + "; ALTER TABLE lost OWNER TO " + role +
                      "; ALTER FUNCTION spies OWNER TO " + role + "; ALTER DOMAIN kind OWNER TO " +
                      role);
    // Nor may the owner of a function read the tables of others.
    EXPECT_THAT(
        told_of(databases),
        UnorderedElementsAre("function_path of source: public.lost", "function_untried of source"));
    databases.run(Side::source, "GRANT SELECT ON ours, kinds TO " + role);
    EXPECT_THAT(told_of(databases), ElementsAre("function_path of source: public.lost"));
}

// The application's own commands would wait for it, and others behind them.
TEST(PreflightFunctions, HoldsNoLockOfATableThatHasBeenTried) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE z (i int PRIMARY KEY);
        INSERT INTO a VALUES (1); INSERT INTO z VALUES (1);
        CREATE FUNCTION sound(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
        CREATE FUNCTION looks(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
            IF EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass('public.a') AND pid = pg_backend_pid())
            THEN PERFORM is_held(); END IF;
            RETURN true; END$$;
        ALTER TABLE a ADD CHECK (sound(i)) NOT VALID; ALTER TABLE z ADD CHECK (looks(i)) NOT VALID)sql");
    EXPECT_THAT(told_of(databases), ElementsAre());
}

// Another remedy, and the state is that of a type which is not there.
TEST(PreflightFunctions, TellsASettingThatIsMissingFromHelpersThatAre) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TYPE public.kind AS ENUM ('a');
        CREATE FUNCTION tenant(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN current_setting('my.tenant') <> ''; END$$;
        CREATE FUNCTION typed(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN 'a'::kind IS NOT NULL; END$$;
        CREATE TABLE a (i int PRIMARY KEY); INSERT INTO a VALUES (1); ALTER TABLE a ADD CHECK (tenant(i)) NOT VALID;
        CREATE TABLE b (i int PRIMARY KEY); INSERT INTO b VALUES (1); ALTER TABLE b ADD CHECK (typed(i)))sql");
    EXPECT_THAT(told_of(databases),
                UnorderedElementsAre("function_setting of source: public.a",
                                     "function_path of source: public.b"));
    databases.run(Side::source,
                  "ALTER DATABASE " + databases.database() + " SET my.tenant = 'one'");
    EXPECT_THAT(told_of(databases), ElementsAre("function_path of source: public.b"));
}

}  // namespace
}  // namespace segue::backfill
