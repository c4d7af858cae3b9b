#include "backfill/postgres/ddl_text.hpp"

#include <gtest/gtest.h>

#include <cctype>

namespace segue::backfill::postgres {
namespace {

using Texts = std::vector<std::string_view>;

std::string upper_word(std::string_view text) {
    std::string word{text.substr(0, text.find(' '))};
    for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return word;
}

TEST(DdlText, IsSplitOutsideOfQuotesCommentsAndBodies) {
    EXPECT_EQ(statements_of("a; b ;\n"), (Texts{"a", "b "}));
    EXPECT_EQ(statements_of(";; -- only; this\n"), Texts{});
    EXPECT_EQ(statements_of("/* a; /* b; */ c; */ x 'it''s; one' \"a;b\" -- ;\n; y"),
              (Texts{"x 'it''s; one' \"a;b\" -- ;\n", "y"}));
    EXPECT_EQ(statements_of("f $$ a; b $$ $t$ c; $$ d $t$; g"),
              (Texts{"f $$ a; b $$ $t$ c; $$ d $t$", "g"}));
    EXPECT_EQ(statements_of("x E'a\\'; b'; y 'a\\'; z"), (Texts{"x E'a\\'; b'", "y 'a\\'", "z"}));
    EXPECT_EQ(statements_of("CREATE RULE r AS ON INSERT TO t DO (a; b); c"),
              (Texts{"CREATE RULE r AS ON INSERT TO t DO (a; b)", "c"}));
    EXPECT_EQ(statements_of("x begin atomic a; b; end; c"), (Texts{"x begin atomic a; b; end; c"}));
    EXPECT_EQ(statements_of("a -- x\r; b"), (Texts{"a -- x\r", "b"})) << "as the server does";
    for (const char* const open : {"'a;", "\"a;", "$$ a;", "/* a;", "E'\\", "$", "$1", "("}) {
        EXPECT_LE(statements_of(open).size(), 1u) << open;
    }
}

TEST(DdlText, IsComparedWithATag) {
    EXPECT_TRUE(may_be("create unique index concurrently i on t (a)", "CREATE INDEX"));
    EXPECT_TRUE(may_be("CREATE OR REPLACE /* x */ FUNCTION f()", "CREATE FUNCTION"));
    EXPECT_TRUE(may_be("CREATE TABLE t AS SELECT 1", "CREATE TABLE AS"));
    EXPECT_TRUE(may_be("ALTER DEFAULT PRIVILEGES GRANT", "ALTER DEFAULT PRIVILEGES"));
    EXPECT_TRUE(may_be("GRANT SELECT ON t TO a", "GRANT"));
    EXPECT_FALSE(may_be("SELECT f()", "ALTER TABLE"));
    EXPECT_FALSE(may_be("DO $$ ALTER TABLE t ADD i int $$", "ALTER TABLE"));
    EXPECT_FALSE(may_be("CREATE VIEW v AS SELECT 1", "CREATE TABLE"));
    EXPECT_FALSE(may_be("", "ALTER TABLE"));
}

TEST(DdlText, IsTheCommandOfItsPlaceAmongThoseOfItsKind) {
    std::string why;
    const Texts texts = {
        "CREATE TABLE a (i int)", "GRANT x", "CREATE TABLE b AS SELECT 1", "GRANT y"};
    EXPECT_EQ(statement_at(texts, "CREATE TABLE", 1, why), texts[0]);
    EXPECT_EQ(statement_at(texts, "CREATE TABLE AS", 2, why), texts[2]);
    EXPECT_EQ(statement_at(texts, "GRANT", 2, why), texts[3]);
    EXPECT_EQ(statement_at(texts, "GRANT", 3, why), std::nullopt);
    EXPECT_EQ(statement_at(texts, "GRANT", 0, why), std::nullopt);
    EXPECT_EQ(statement_at(texts, "ALTER TABLE", 1, why), std::nullopt);
    EXPECT_EQ(why, "its text is not such a command");
    EXPECT_EQ(statement_at({"SAVEPOINT a", "GRANT x", "rollback to a"}, "GRANT", 1, why),
              "GRANT x");
    EXPECT_EQ(statement_at({"GRANT x", "/* */ rollback to a", "GRANT y"}, "GRANT", 1, why),
              std::nullopt);
}

// No event tells of commands on what belongs to the whole server.
TEST(DdlText, CountsNoCommandThatTheServerDoesNotTellOf) {
    const char* const untold[] = {"GRANT a TO b",
                                  "grant \"on\", a to b WITH ADMIN OPTION",
                                  "REVOKE ADMIN OPTION FOR a FROM b",
                                  "GRANT CONNECT ON /* x */ DATABASE d TO a",
                                  "REVOKE GRANT OPTION FOR CREATE ON TABLESPACE \"t\" FROM a",
                                  "GRANT SET ON PARAMETER work_mem TO a",
                                  "COMMENT ON DATABASE d IS 'x'",
                                  "COMMENT ON ROLE r IS 'x'",
                                  "COMMENT ON TABLESPACE t IS 'x'",
                                  "COMMENT ON EVENT TRIGGER t IS 'x'"};
    for (const char* const text : untold) {
        const std::string tag = upper_word(text);
        std::string why;
        EXPECT_EQ(statement_at({text}, tag, 1, why), std::nullopt) << text;
    }
    const char* const told[] = {"GRANT SELECT ON t TO a",
                                "GRANT SELECT (a, b) ON database TO a",
                                "GRANT SELECT ON tablespace, t TO a",
                                "REVOKE ALL ON parameter.t FROM a",
                                "GRANT USAGE ON SCHEMA s TO a",
                                "COMMENT ON TABLE t IS 'x'"};
    for (const char* const text : told) {
        const std::string tag = upper_word(text);
        std::string why;
        EXPECT_EQ(
            statement_at(
                {"GRANT a TO b", "REVOKE a FROM b", "COMMENT ON ROLE r IS ''", text}, tag, 1, why),
            text);
    }
}

TEST(DdlText, IsCarriedByItsTagOnly) {
    for (const char* const tag : {"CREATE TABLE", "ALTER INDEX", "DROP MATERIALIZED VIEW", "GRANT"})
        EXPECT_TRUE(is_carried_tag(tag)) << tag;
    for (const char* const tag : {"",
                                  "CREATE",
                                  "CREATE EXTENSION",
                                  "ALTER EXTENSION",
                                  "ALTER DOMAIN",
                                  "ALTER SCHEMA",
                                  "CREATE RULE",
                                  "CREATE CAST",
                                  "SELECT INTO",
                                  "DROP OWNED",
                                  "IMPORT FOREIGN SCHEMA",
                                  "a TABLE"})
        EXPECT_FALSE(is_carried_tag(tag)) << tag;
}

TEST(DdlText, ReadsNoRowWhateverItSaysOfThem) {
    EXPECT_EQ(with_no_data("CREATE TABLE t AS SELECT 1"),
              "CREATE TABLE t AS SELECT 1\nWITH NO DATA");
    EXPECT_EQ(with_no_data("CREATE TABLE t AS SELECT 1 with /* */ no data -- x"),
              "CREATE TABLE t AS SELECT 1 with /* */ no data -- x");
    EXPECT_EQ(with_no_data("CREATE TABLE t AS SELECT 1 WITH DATA"),
              "CREATE TABLE t AS SELECT 1 \nWITH NO DATA");
    EXPECT_EQ(with_no_data("CREATE TABLE t AS SELECT 'WITH NO DATA'"),
              "CREATE TABLE t AS SELECT 'WITH NO DATA'\nWITH NO DATA");
    EXPECT_EQ(with_no_data("x -- WITH NO DATA"), "x -- WITH NO DATA\nWITH NO DATA");
}

TEST(DdlText, LosesOnlyTheWordsThatATransactionDoesNotTake) {
    const std::pair<const char*, const char*> forms[] = {
        {"CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX  i ON t (a)"},
        {"drop index concurrently \"concurrently\"", "drop index  \"concurrently\""},
        {"COMMENT ON TABLE t IS 'concurrently'", "COMMENT ON TABLE t IS 'concurrently'"},
        {"alter table p detach partition a.b finalize -- now",
         "alter table p detach partition a.b "},
        {"ALTER TABLE p DETACH PARTITION \"FINALIZE\" FINALIZE",
         "ALTER TABLE p DETACH PARTITION \"FINALIZE\" "},
        {"ALTER TABLE p DETACH PARTITION finalize", "ALTER TABLE p DETACH PARTITION finalize"},
        {"ALTER TABLE p DETACH PARTITION a.finalize", "ALTER TABLE p DETACH PARTITION a.finalize"},
        {"ALTER TABLE p DETACH PARTITION finalize CONCURRENTLY",
         "ALTER TABLE p DETACH PARTITION finalize "},
        {"ALTER TABLE t RENAME detach TO finalize", "ALTER TABLE t RENAME detach TO finalize"}};
    for (const auto& [statement, plain] : forms) EXPECT_EQ(plain_form(statement), plain);
}

}  // namespace
}  // namespace segue::backfill::postgres
