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

}  // namespace
}  // namespace segue::protocol::postgres
