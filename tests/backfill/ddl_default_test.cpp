#include "backfill/postgres/ddl_default.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::ElementsAre;

std::optional<WithConstants> with(const std::string& command, const std::string& column = "c") {
    DdlRecord record;
    record.tag = "ALTER TABLE";
    record.objects = {"table app.t"};
    return with_constants(command, record, {{"app", "t", column, "'v'::text"}});
}

TEST(WithConstantsOf, PutsTheValueWhereTheDefaultStands) {
    const char* const ends[] = {"",
                                " NOT NULL",
                                ", ADD d int DEFAULT now()",
                                "\nCONSTRAINT x CHECK (c > 0)",
                                " unique -- DEFAULT 3"};
    const std::string begin =
        "ALTER TABLE app.t ADD a int DEFAULT 1, ADD COLUMN IF NOT EXISTS c text DEFAULT ";
    for (const std::string end : ends) {
        const auto found = with(begin + "f(now(), 'a, b') || x" + end);
        ASSERT_TRUE(found) << end;
        EXPECT_EQ(found->command, begin + "'v'::text" + end);
        EXPECT_THAT(
            found->then,
            ElementsAre("ALTER TABLE app.t ALTER COLUMN \"c\" SET DEFAULT f(now(), 'a, b') || x"));
    }
}

TEST(WithConstantsOf, FindsTheColumnHoweverItIsWritten) {
    EXPECT_TRUE(with("ALTER TABLE t ADD C text DEFAULT now()"));
    EXPECT_TRUE(with("ALTER TABLE t ADD \"c\" text DEFAULT now()"));
    EXPECT_TRUE(with("ALTER TABLE t ADD \"A \"\"c\" text DEFAULT now()", "A \"c"));
    EXPECT_FALSE(with("ALTER TABLE t ADD \"C\" text DEFAULT now()"));
    EXPECT_FALSE(with("ALTER TABLE t ADD c text, ADD d text DEFAULT now()"));
    EXPECT_FALSE(with("ALTER TABLE t ALTER c SET DEFAULT now()"));
    EXPECT_FALSE(with("ALTER TABLE t ADD c text DEFAULT"));
    EXPECT_FALSE(with(""));
}

class DdlDefault : public test::DdlTest {};

TEST_F(DdlDefault, TakesTheValueOfANewColumnFromTheAuthority) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    app("INSERT INTO app.t VALUES (1)");
    databases_->run(Side::target, "INSERT INTO app.t VALUES (1)");
    EXPECT_EQ(both("ALTER TABLE app.t ADD COLUMN at timestamptz NOT NULL DEFAULT now()"), "");
    EXPECT_EQ(on_target("SELECT extract(epoch FROM at) FROM app.t"),
              app_->value("SELECT extract(epoch FROM at) FROM app.t"));
}

// Kept beside the table, as there: no row is written.
TEST_F(DdlDefault, TakesTheValueOfANewColumnWithoutWritingARow) {
    const char* const columns[] = {
        "ADD COLUMN a timestamptz NOT NULL DEFAULT now()",
        ("ADD b text DEFAULT 'it''s, ' || now()::text CHECK (b <> ''),"
         " ADD \"C\" date DEFAULT (current_date + 7), ALTER i SET DEFAULT 5"),
        "ADD COLUMN IF NOT EXISTS d timestamp DEFAULT /* , */ CURRENT_TIMESTAMP(0)"};
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY) PARTITION BY RANGE (i); CREATE TABLE"
                   " app.t1 PARTITION OF app.t FOR VALUES FROM (0) TO (9)"),
              "");
    EXPECT_EQ(both("CREATE TABLE app.u (i int PRIMARY KEY)"), "");
    for (const std::string table : {"app.u", "app.t"}) {
        const std::string fill = "INSERT INTO " + table + " VALUES (1), (2)";
        app(fill);
        databases_->run(Side::target, fill);
        const std::string rows = "SELECT string_agg(ctid::text, ' ') FROM " + table;
        const std::string all = "SELECT string_agg(x::text, ' ' ORDER BY i) FROM " + table + " x";
        const std::string before = on_target(rows);
        for (const char* const column : columns) {
            SCOPED_TRACE(table + " " + column);
            EXPECT_EQ(both("ALTER TABLE " + table + " " + column), "");
            EXPECT_EQ(on_target(rows), before);
            EXPECT_EQ(on_target(all), on_source(all));
        }
    }
}

// What is not understood is written into the rows.
TEST_F(DdlDefault, TakesTheValueOfANewColumnWhateverItsDefaultLooksLike) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY)"), "");
    app("INSERT INTO app.t VALUES (1)");
    databases_->run(Side::target, "INSERT INTO app.t VALUES (1)");
    EXPECT_EQ(both("ALTER TABLE app.t ADD b text DEFAULT CASE WHEN now() IS NOT NULL THEN"
                   " now()::text ELSE '' END"),
              "");
    EXPECT_EQ(on_target("SELECT b FROM app.t"), on_source("SELECT b FROM app.t"));
    // Its values are written by the rewrite for another column, on each side its own.
    EXPECT_EQ(both("ALTER TABLE app.t ADD c timestamptz DEFAULT now(), ALTER i TYPE bigint"), "");
    EXPECT_EQ(on_source("SELECT ctid FROM app.t"), "(0,2)") << "the stream has no row of it";
}

}  // namespace
}  // namespace segue::backfill::postgres
