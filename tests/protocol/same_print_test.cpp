#include "protocol/postgres/same_print.hpp"

#include <gtest/gtest.h>

#include <string>

#include "protocol/postgres/classify.hpp"

namespace segue::protocol::postgres {
namespace {

// What PostgreSQL 13 and 17 print of the same text.
TEST(SamePrint, WordsOfTheStandardAreTheFunctionsThatTheyCall) {
    struct Case {
        const char *older, *newer;
    };
    const Case cases[] = {
        {"SELECT timezone('utc'::text, now())", "SELECT (now() AT TIME ZONE 'utc'::text)"},
        {"SELECT \"position\"('abc'::text, 'b'::text)",
         "SELECT POSITION(('b'::text) IN ('abc'::text))"},
        {"SELECT btrim(' x '::text, ' '::text)", "SELECT TRIM(BOTH ' '::text FROM ' x '::text)"},
        {"ALTER TABLE t ADD CHECK ((\"substring\"(name, 1, 2) <> 'zz'::text))",
         "ALTER TABLE t ADD CHECK ((SUBSTRING(name FROM 1 FOR 2) <> 'zz'::text))"},
        {"ALTER TABLE t ADD CHECK (((date_part('month'::text, made) >= (1)::double precision) AND"
         " (date_part('month'::text, made) < (1.5)::double precision)))",
         "ALTER TABLE t ADD CHECK (((EXTRACT(month FROM made) >= (1)::numeric) AND"
         " (EXTRACT(month FROM made) < 1.5)))"},
        {"CREATE INDEX i ON public.t USING btree (timezone('utc'::text, made), ((id % 3))) WHERE"
         " (timezone('utc'::text, made) IS NOT NULL)",
         "CREATE INDEX i ON public.t USING btree (((made AT TIME ZONE 'utc'::text)), ((id % 3)))"
         " WHERE ((made AT TIME ZONE 'utc'::text) IS NOT NULL)"},
        {"CREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW WHEN ((\"overlay\"(new.a, "
         "'x'::text,"
         " 1) = 'x'::text)) EXECUTE FUNCTION public.f('it''s')",
         "CREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW WHEN ((OVERLAY(new.a PLACING"
         " 'x'::text FROM 1) = 'x'::text)) EXECUTE FUNCTION public.f('it''s')"},
        {"ALTER TABLE t ADD EXCLUDE USING gist (timezone('utc'::text, made) WITH =)",
         "ALTER TABLE t ADD EXCLUDE USING gist (((made AT TIME ZONE 'utc'::text)) WITH =)"}};
    for (const Case& each : cases) {
        EXPECT_TRUE(same_print(each.older, each.newer)) << each.older;
        EXPECT_TRUE(same_print(each.newer, each.older)) << each.older;
        EXPECT_TRUE(same_print(each.older, each.older));
    }
}

TEST(SamePrint, WhatIsOtherwiseDifferentIsNotTheSame) {
    struct Case {
        const char *one, *other;
    };
    const Case cases[] = {
        {"SELECT timezone('utc'::text, now())", "SELECT (now() AT TIME ZONE 'cet'::text)"},
        {"SELECT own.timezone('utc'::text, now())", "SELECT (now() AT TIME ZONE 'utc'::text)"},
        {"SELECT date_part('year'::text, d)", "SELECT EXTRACT(month FROM d)"},
        {"SELECT (1)::double precision", "SELECT (1)::numeric"},
        {"CREATE INDEX i ON t USING btree (a)", "CREATE INDEX i ON ONLY t USING btree (a)"},
        {"CREATE INDEX i ON t USING btree (a)", "CREATE INDEX i ON t USING btree (a DESC)"},
        {"CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f('a')",
         "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f('b')"},
        {"ALTER TABLE t ADD CHECK ((a > 0))", "ALTER TABLE t ADD CHECK ((a > 0)) NOT VALID"},
        {"no statement", "SELECT 1"},
        {"SELECT 1; SELECT 2", "SELECT 1; SELECT  2"},
        {"VACUUM", "VACUUM "},
        {"", " "}};
    for (const Case& each : cases) {
        EXPECT_FALSE(same_print(each.one, each.other)) << each.one;
        EXPECT_FALSE(same_print(each.other, each.one)) << each.one;
    }
    std::string deep{"1"};
    for (int i = 0; i < 2 * statement_depth_max; ++i) deep = "(" + deep + " + 1)";
    EXPECT_FALSE(same_print("SELECT " + deep, "SELECT  " + deep));
    const std::string zero{"SELECT\0 1", 9};
    EXPECT_FALSE(same_print(zero, "SELECT 1"));
}

}  // namespace
}  // namespace segue::protocol::postgres
