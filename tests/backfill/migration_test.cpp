#include "backfill/postgres/migration.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;

// Fails the first time, as a server does with this SQLSTATE; sequences are not rolled back.
std::string first_time(const std::string& sqlstate, const std::string& then) {
    return "DO $$ BEGIN IF nextval('public.times') = 1 THEN RAISE EXCEPTION USING ERRCODE = '" +
           sqlstate + "'; END IF; " + then + "; END $$";
}

class TableByTable : public testing::TestWithParam<const char*> {};

TEST_P(TableByTable, AsksAgainWhatMetALock) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, "CREATE SEQUENCE times; CREATE TABLE done (what text)");
    Link link{databases.url(Side::source), {}};
    const Status ran =
        run_table_by_table(link,
                           {{"a", first_time(GetParam(), "INSERT INTO public.done VALUES ('a')")},
                            {"b", "INSERT INTO public.done VALUES ('b')"}},
                           std::chrono::steady_clock::now() + 60s);
    ASSERT_TRUE(ran) << ran.error().detail;
    EXPECT_EQ(databases.value(Side::source, "SELECT string_agg(what, '') FROM done"), "ba");
}

INSTANTIATE_TEST_SUITE_P(LockTimeoutCancelDeadlock,
                         TableByTable,
                         testing::Values("55P03", "57014", "40P01"));

TEST(TableByTableTest, SaysAtOnceWhatIsNoLock) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, "CREATE SEQUENCE times");
    Link link{databases.url(Side::source), {}};
    const Status ran = run_table_by_table(
        link, {{"app.t", first_time("42501", "NULL")}}, std::chrono::steady_clock::now() + 60s);
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().sqlstate, "42501");
    EXPECT_EQ(ran.error().detail.find("app.t: "), 0u) << ran.error().detail;
}

}  // namespace
}  // namespace segue::backfill::postgres
