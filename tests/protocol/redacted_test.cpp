#include "protocol/postgres/redacted.hpp"

#include <gtest/gtest.h>

namespace segue::protocol::postgres {
namespace {

TEST(Redacted, ShowsNoValueAndIsTheSameForEveryValue) {
    const std::string shown =
        redacted("SELECT name FROM t WHERE id = 42 AND mail = 'ann@example.org'");
    EXPECT_EQ(shown, "SELECT name FROM t WHERE id = $1 AND mail = $2");
    EXPECT_EQ(redacted("SELECT name FROM t WHERE id = 7 AND mail = E'o\\'hara'"), shown);
    EXPECT_EQ(redacted("SELECT a FROM t WHERE b = $1 LIMIT 5"),
              "SELECT a FROM t WHERE b = $1 LIMIT $2");
    for (const char* text : {"SELECT interval '3 days secret'",
                             "SELECT date 'secret'",
                             "SELECT x'5ec', B'101', $$secret$$",
                             "SELECT a FROM t WHERE b IN ('secret', 'other')",
                             "VALUES ('secret')",
                             "SELECT U&'secret', N'secret', 'sec' \n 'ret'"}) {
        const std::string without = redacted(text);
        EXPECT_FALSE(without.empty()) << text;
        EXPECT_EQ(without.find("sec"), std::string::npos) << without;
        EXPECT_EQ(without.find("other"), std::string::npos) << without;
    }
}

TEST(Redacted, IsOneLineWithoutComments) {
    EXPECT_EQ(redacted("/* user=ann /* nested */ id=3 */ SELECT\n\t a -- the secret\n  FROM \"odd "
                       "-- name\"\r\n"),
              "SELECT a FROM \"odd -- name\"");
    EXPECT_EQ(redacted("SELECT a/**/FROM t"), "SELECT a FROM t");
}

TEST(Redacted, GivesNothingForWhatIsNotUnderstoodAndNoMoreThanItsLimit) {
    EXPECT_EQ(redacted("SELECT 'secret' FROM FROM"), "");
    EXPECT_EQ(redacted(std::string_view{"SELECT 1\0 'secret'", 18}), "");
    std::string many = "SELECT ä";
    for (int i = 0; i < 300; ++i) many += ",ää";
    const std::string shown = redacted(many);
    EXPECT_LE(shown.size(), redacted_size_max);
    EXPECT_GE(shown.size(), redacted_size_max - 3);
    EXPECT_TRUE(many.starts_with(shown));
}

TEST(Fingerprint, IsTheSameForEveryValueAndNumberOfThem) {
    const auto one = fingerprint("SELECT a FROM t WHERE b = 1 AND c IN ('x')");
    ASSERT_TRUE(one);
    EXPECT_EQ(fingerprint("select a  /* c */ from t where b = 22 AND c in ('y', 'z')"), one);
    EXPECT_NE(fingerprint("SELECT a FROM t WHERE b = 1"), one);
    EXPECT_NE(fingerprint("SELECT a FROM u WHERE b = 1 AND c IN ('x')"), one);
    EXPECT_FALSE(fingerprint("SELECT FROM FROM"));
    EXPECT_FALSE(fingerprint(std::string_view{"SELECT 1\0", 9}));
}

TEST(Plannable, HasParametersWhereTheGrammarTakesThem) {
    EXPECT_EQ(plannable("SELECT a -- x\n FROM t WHERE b = 'secret' AND c = $1 LIMIT 5"),
              "SELECT a FROM t WHERE b = $2 AND c = $1 LIMIT $3");
    EXPECT_EQ(plannable("SELECT a FROM t WHERE at > now() - Interval '3 days' AND b = 1"),
              "SELECT a FROM t WHERE at > now() - CAST($1 AS interval) AND b = $2");
    EXPECT_EQ(plannable("SELECT TIMESTAMP WITH TIME ZONE '2020-01-01', DATE '2020-01-01', at AT "
                        "TIME ZONE 'UTC', my_date FROM t"),
              "SELECT CAST($1 AS timestamp with time zone), CAST($2 AS date), at AT TIME ZONE $3, "
              "my_date FROM t");
    EXPECT_EQ(plannable("SELECT extract(year FROM at), \"date $1\" FROM t"),
              "SELECT date_part($1, at), \"date $1\" FROM t");
    EXPECT_EQ(plannable("SELECT a FROM t ORDER BY 1"), "SELECT a FROM t ORDER BY 1");
    EXPECT_EQ(plannable("SELECT FROM FROM"), "");
    EXPECT_EQ(plannable("SELECT " + std::string(plannable_size_max, 'a')), "");
}

TEST(WithoutStrings, LeavesALineOfAPlanAsItIsElse) {
    EXPECT_EQ(without_strings("Filter: (at > (now() - '3 days'::interval))"),
              "Filter: (at > (now() - '?'::interval))");
    EXPECT_EQ(without_strings("  ->  Seq Scan on \"it's\" (cost=0.00..1.05 rows=5)"),
              "  ->  Seq Scan on \"it's\" (cost=0.00..1.05 rows=5)");
    EXPECT_EQ(without_strings("(a = 'o''hara'::text)"), "(a = '?'::text)");
    EXPECT_EQ(without_strings("(a = 'open"), "(a = '?'");
}

}  // namespace
}  // namespace segue::protocol::postgres
