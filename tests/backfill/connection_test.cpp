#include "backfill/postgres/connection.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

TEST(PostgresConnection, ShowsNoValuesOfWhatTheServerSays) {
    struct Case {
        const char* message;
        const char* sqlstate;
        bool raised;
        const char* shown;
    };
    const Case cases[] = {
        {"relation \"a\" does not exist", "42P01", false, "relation \"a\" does not exist"},
        {"invalid input syntax for type integer: \"4711\"",
         "22P02",
         false,
         "invalid input syntax for type integer: \"...\""},
        {"value \"9\"9\" is out of range for type integer",
         "22003",
         false,
         "value \"...\" is out of range for type integer"},
        {"invalid byte sequence for encoding \"UTF8\": 0xff",
         "22021",
         false,
         "invalid byte sequence for encoding \"...\""},
        {"one \"quote", "22000", false, "one \"...\""},
        {"division by zero", "22012", false, "division by zero"},
        {"ung\u00fcltige Eingabesyntax f\u00fcr Typ integer: \u00bb4711\u00ab",
         "22P02",
         false,
         "a data exception (its text may hold values of rows and is in that server's log)"},
    };
    for (const Case& one : cases)
        EXPECT_EQ(without_values(one.message, one.sqlstate, one.raised), one.shown);
    const std::string raised = without_values("no account of bob@example.org", "23505", true);
    EXPECT_EQ(raised.find("bob"), std::string::npos) << raised;
}

TEST(PostgresConnection, KeepsValuesOutOfTheErrorsOfARealServer) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE t (i int PRIMARY KEY, s varchar(3), CHECK (s <> 'secret'));
        CREATE TYPE mood AS ENUM ('glad'); INSERT INTO t VALUES (4711, 'x');
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'row % is secret', NEW; END $$;
        CREATE TABLE u (i int); CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION f())sql");
    Connection connection = databases.open(Side::source);
    for (const char* sql : {"INSERT INTO public.t VALUES (4711, 'y')",
                            "INSERT INTO public.t VALUES (1, '4711')",
                            "SELECT 'x4711'::int",
                            "SELECT '4711'::public.mood",
                            "SELECT '4711-4711-4711'::date",
                            "SELECT '{\"a\": 4711'::jsonb",
                            "INSERT INTO public.u VALUES (4711)",
                            "SELECT convert_from('\\x4711ff', 'UTF8')"}) {
        const auto done = connection.execute(sql);
        ASSERT_FALSE(done) << sql;
        EXPECT_EQ(done.error().detail.find("4711"), std::string::npos) << done.error().detail;
        EXPECT_EQ(done.error().detail.find("secret"), std::string::npos) << done.error().detail;
    }
}

TEST(PostgresConnection, ShowsWhatSeguesOwnFunctionsSay) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source,
                  "CREATE SCHEMA segue; CREATE FUNCTION segue.f() RETURNS int LANGUAGE plpgsql AS "
                  "$$ BEGIN RAISE "
                  "'only ours'; END $$");
    Connection connection = databases.open(Side::source);
    const auto done = connection.execute("SELECT segue.f()");
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().detail.find("only ours"), std::string::npos) << done.error().detail;
}

// Money is a number that each locale writes in its own way.
// libpq tells each attempt on lines of its own, and hints behind a tab; a log has one line.
TEST(PostgresConnection, TellsInOneLineWhyItCannotBeMade) {
    const auto nobody = Connection::open("postgresql://a@127.0.0.1:1,127.0.0.1:2/d", {});
    ASSERT_FALSE(nobody);
    const std::string& told = nobody.error().detail;
    EXPECT_EQ(told.find_first_of("\n\t"), std::string::npos) << told;
    EXPECT_FALSE(told.ends_with(' ')) << told;
    for (const char* what : {"port 1 failed: Connection refused Is the server running on that host",
                             "port 2 failed: Connection refused"})
        EXPECT_NE(told.find(what), std::string::npos) << told;
}

TEST(PostgresConnection, WritesMoneyTheSameForEveryDatabase) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    Connection connection = databases.open(Side::source);
    const auto shown = connection.execute("SHOW lc_monetary");
    ASSERT_TRUE(shown);
    EXPECT_EQ(shown->at(0, 0), "C");
}

// Whatever the application's database, role or server say: a null in an array stays one, names are
// written as they are, a backslash in a pattern is one, and nobody's transactions are of another
// kind than they were written for.
TEST(PostgresConnection, IsNotLedByTheSettingsOfTheDatabase) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    const std::string alter = "ALTER DATABASE " + databases.database() + " SET ";
    databases.run(Side::source, alter + "array_nulls = off");
    databases.run(Side::source, alter + "quote_all_identifiers = on");
    databases.run(Side::source, alter + "standard_conforming_strings = off");
    databases.run(Side::source, alter + "default_transaction_isolation = 'serializable'");
    databases.run(Side::source, alter + "default_transaction_deferrable = on");
    Connection connection = databases.open(Side::source);
    const auto shown = connection.execute(
        "SELECT '{NULL}'::text[] = ARRAY[NULL::text], quote_ident('plain'),"
        " current_setting('transaction_isolation'), current_setting('transaction_deferrable'),"
        " 'pgboss' LIKE 'pg\\_%'");
    ASSERT_TRUE(shown) << shown.error().detail;
    EXPECT_TRUE(shown->truth(0, 0));
    EXPECT_EQ(shown->at(0, 1), "plain");
    EXPECT_EQ(shown->at(0, 2), "read committed");
    EXPECT_EQ(shown->at(0, 3), "off");
    EXPECT_FALSE(shown->truth(0, 4));
}

// What a certificate says to set, so that its queries give the same again.
TEST(PostgresConnection, TellsTheSettingsOfItsSessionsAsSql) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    Connection ours = databases.open(Side::source);
    const std::string shown =
        "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_catalog.pg_settings"
        " WHERE source IN ('client', 'session') AND name !~ 'timeout|application_name'";
    const auto wanted = ours.execute(shown);
    ASSERT_TRUE(wanted);
    EXPECT_NE(wanted->text(0, 0).find("lc_monetary=C"), std::string::npos);
    test::Sql theirs{databases.url(Side::source)};
    theirs.query(normalised_settings_sql());
    EXPECT_EQ(theirs.value(shown), wanted->text(0, 0));
}

}  // namespace
}  // namespace segue::backfill::postgres
