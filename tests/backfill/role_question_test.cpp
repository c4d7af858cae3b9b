#include "backfill/postgres/role_question.hpp"

#include <gtest/gtest.h>

#include "backfill/postgres/text_array.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;

struct RoleQuestionTest : testing::Test {
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<Databases>();
        run("CREATE ROLE " + role + " LOGIN PASSWORD 'x'; CREATE SCHEMA own AUTHORIZATION " + role);
        run("CREATE TABLE own.t (id bigint PRIMARY KEY, tenant text, name text);"
            "INSERT INTO own.t VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'a', NULL);"
            "GRANT SELECT ON own.t TO " +
            role);
    }
    void TearDown() override {
        if (!databases) return;
        run("DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
    }
    void run(const std::string& sql) { databases->run(Side::source, sql); }

    // In a transaction as a twin's. Rows by line, fields between bars; or "error: ...".
    std::string ask(const SessionRead& read,
                    std::size_t rows_max = 10,
                    const std::string& as = "postgres") {
        Connection connection = databases->open(Side::source, "", as);
        const Deadline deadline = std::chrono::steady_clock::now() + 60s;
        auto question = RoleQuestion::prepare(connection, role, deadline);
        if (!question) return "not prepared: " + question.error().sqlstate;
        EXPECT_EQ(connection.execute("SHOW statement_timeout")->at(0, 0), "0");
        EXPECT_TRUE(connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        const auto rows = question->ask(read, rows_max, deadline);
        const auto id = connection.execute("ROLLBACK; SELECT current_user = session_user");
        EXPECT_TRUE(id && id->truth(0, 0)) << "it stays somebody else";
        if (!rows) return "error: " + rows.error().sqlstate + " " + rows.error().detail;
        std::string all;
        for (const Twin::Row& row : *rows) {
            for (const auto& field : row) all += field.value_or("NULL") + "|";
            all += "\n";
        }
        return all;
    }
    std::string ask(const std::string& statement) {
        return ask(SessionRead{{}, statement, {}, {}});
    }
    // "rows / in order", and the rows afterwards where both are wanted.
    Result<AnswerDigest> digest(const SessionRead& read) {
        Connection connection = databases->open(Side::source);
        const Deadline deadline = std::chrono::steady_clock::now() + 60s;
        auto question = RoleQuestion::prepare(connection, role, deadline);
        if (!question) return question.error();
        EXPECT_TRUE(connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        auto found = question->digest(read, deadline);
        if (found) {
            EXPECT_TRUE(question->ask(read, 1'000'000, deadline)) << "of the rows, afterwards";
        }
        return found;
    }
    AnswerDigest digest(const std::string& statement) {
        const auto found = digest(SessionRead{{}, statement, {}, {}});
        EXPECT_TRUE(found) << found.error().detail;
        return found ? *found : AnswerDigest{};
    }

    const std::string role = "segue_asker";
    std::unique_ptr<Databases> databases;
};

TEST(TextRecord, IsReadAsTheServerWritesIt) {
    using Fields = std::vector<std::optional<std::string>>;
    EXPECT_EQ(parse_text_record("(1,,\"\",a)"), (Fields{"1", std::nullopt, "", "a"}));
    const auto quoted = parse_text_record(R"s(("a ""b"", c","\\(x)",))s");
    EXPECT_EQ(quoted, (Fields{"a \"b\", c", "\\(x)", std::nullopt}));
    EXPECT_EQ(parse_text_record("()"), Fields{std::nullopt});
}

TEST_F(RoleQuestionTest, AnswersWithTheValuesAsTheyAreAndInTheirOrder) {
    EXPECT_EQ(ask("SELECT id, name FROM own.t ORDER BY id DESC"), "3|NULL|\n2|two|\n1|one|\n");
    EXPECT_EQ(ask("SELECT 'it''s \"a\", b' || chr(92), '', NULL, ROW(1, 'x y'), 0.10, 'f'::bool"),
              "it's \"a\", b\\||NULL|(1,\"x y\")|0.10|f|\n");
    EXPECT_EQ(ask({{}, "SELECT name FROM own.t WHERE id = $1 AND tenant = $2", {}, {"1", "a"}}),
              "one|\n");
    EXPECT_EQ(ask({{}, "SELECT $1, $2", {23}, {"1", "it's\\"}}), "1|it's\\|\n");
    EXPECT_EQ(ask({{}, "SELECT $1 IS NULL", {25}, {std::nullopt}}), "t|\n");
    EXPECT_EQ(ask({{{"search_path", "own"}, {"DateStyle", "German"}, {"of_nobody", "x"}},
                   "SELECT count(*), date '2026-11-22' FROM t",
                   {},
                   {}}),
              "3|22.11.2026|\n");
    EXPECT_TRUE(ask({{}, "SELECT id FROM own.t", {}, {}}, 2).starts_with("error"));
    EXPECT_EQ(ask({{}, "SELECT id FROM own.t WHERE id < 3", {}, {}}, 2), "1|\n2|\n");
}

TEST_F(RoleQuestionTest, DigestsAnyNumberOfRowsAndKeepsNone) {
    const std::string all = "SELECT g, 'text ' || g FROM generate_series(1, 150000) AS g";
    const AnswerDigest one = digest(all), turned = digest(all + " ORDER BY g DESC");
    EXPECT_EQ(one.rows, turned.rows);
    EXPECT_NE(one.in_order, turned.in_order);
    EXPECT_TRUE(one.rows.starts_with("150000 ")) << one.rows;
    EXPECT_EQ(digest(all + " ORDER BY g").in_order, one.in_order);
    const std::string changed =
        "SELECT g, 'text ' || CASE g WHEN 777 THEN 778 ELSE g END FROM generate_series(1, 150000) "
        "AS g";
    EXPECT_NE(digest(changed).rows, one.rows);
    // What one takes from the one side must not be hidden by what another adds to the other.
    EXPECT_NE(digest("VALUES (1), (1), (2), (2)").rows, digest("VALUES (1), (1), (3), (3)").rows);
    EXPECT_NE(digest("VALUES ('')").rows, digest("VALUES (NULL)").rows);
    EXPECT_EQ(digest("SELECT 1 WHERE false").rows.substr(0, 2), "0 ");
    const SessionRead by_id{{}, "SELECT name FROM own.t WHERE id = $1", {20}, {"1"}};
    const auto found = digest(by_id);
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_EQ(found->rows, digest("SELECT 'one'").rows);
    run("CREATE TABLE own.secret AS SELECT 1 AS i");
    const auto secret = digest(SessionRead{{}, "SELECT i FROM own.secret", {}, {}});
    EXPECT_EQ(secret ? "" : secret.error().sqlstate, "42501");
}

// As the application's session has it: by the role, its user, and settings that are its own.
TEST_F(RoleQuestionTest, RowSecurityIsOfTheRole) {
    run("ALTER TABLE own.t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON own.t USING (tenant = current_setting('app.tenant')"
        " AND current_user = '" +
        role + "' AND session_user = '" + role + "')");
    EXPECT_EQ(ask({{{"app.tenant", "a"}}, "SELECT id FROM own.t ORDER BY id", {}, {}}), "1|\n3|\n");
    EXPECT_EQ(ask({{{"app.tenant", "b"}}, "SELECT id FROM own.t", {}, {}}), "2|\n");
    run("ALTER ROLE " + role + " SET app.tenant = 'b'");
    EXPECT_EQ(ask("SELECT id FROM own.t"), "2|\n");
    EXPECT_TRUE(ask({{{"row_security", "off"}}, "SELECT id FROM own.t", {}, {}})
                    .starts_with("error: 42501"));
}

// As a database has them that logs slow plans: the role could not set them, and need not.
TEST_F(RoleQuestionTest, SettingsOfLibrariesThatOnlyASuperuserMaySetAreLeftOut) {
    run("ALTER ROLE " + role + " SET plpgsql.variable_conflict = 'use_column'");
    run("ALTER ROLE " + role + " SET plpgsql.extra_warnings = 'too_many_rows'");
    EXPECT_EQ(ask("SELECT current_setting('plpgsql.extra_warnings'), count(*) FROM own.t"),
              "too_many_rows|3|\n");
    EXPECT_EQ(ask({{{"PLpgSQL.variable_conflict", "error"}}, "SELECT 1", {}, {}}), "1|\n");
}

TEST_F(RoleQuestionTest, HasNoMoreRightsThanTheRole) {
    run("CREATE TABLE own.secret AS SELECT 1 AS i");
    EXPECT_TRUE(ask("SELECT i FROM own.secret").starts_with("error: 42501"));
    EXPECT_TRUE(ask("SELECT pg_read_file('PG_VERSION')").starts_with("error: 42501"));
    run("CREATE FUNCTION own.escape() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION own.f() RETURNS int STABLE LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN own.escape(); END $$");
    for (const std::string escape : {"RESET ROLE",
                                     "RESET SESSION AUTHORIZATION",
                                     "SET SESSION AUTHORIZATION postgres",
                                     "PERFORM set_config('role', 'none', false)",
                                     "RESET ALL"}) {
        run("CREATE OR REPLACE FUNCTION own.escape() RETURNS int LANGUAGE plpgsql AS $$ BEGIN " +
            escape + "; RETURN pg_catalog.length(pg_read_file('PG_VERSION')); END $$");
        const std::string told = ask("SELECT own.f()");
        EXPECT_TRUE(told.starts_with("error: 42501")) << escape << ": " << told;
    }
}

TEST_F(RoleQuestionTest, ChangesNothingAndLeavesNothing) {
    EXPECT_TRUE(ask("DELETE FROM own.t").starts_with("error"));
    EXPECT_TRUE(ask("SELECT 1; DELETE FROM own.t").starts_with("error"));
    run("CREATE SEQUENCE own.s; GRANT ALL ON SEQUENCE own.s TO " + role +
        "; CREATE FUNCTION own.w() RETURNS bigint STABLE LANGUAGE plpgsql"
        " AS $$ BEGIN PERFORM set_config('transaction_read_only', 'off', true);"
        " RETURN nextval('own.s'); END $$");
    EXPECT_TRUE(ask("SELECT own.w()").starts_with("error: 25"));
    EXPECT_TRUE(test::eventually(20s, [&] {
        return databases->value(Side::source,
                                "SELECT count(*) FROM pg_proc WHERE proname = 'segue_ask'") == "0";
    }));
    EXPECT_TRUE(ask({{{"lc_numeric", "of_nowhere"}}, "SELECT 1", {}, {}}).starts_with("error: 57"))
        << "no answer of the read";
}

TEST_F(RoleQuestionTest, IsNotPreparedForARoleThatCannotBeUsedSo) {
    run("CREATE ROLE segue_least LOGIN PASSWORD 'postgres'");
    EXPECT_EQ(ask({{}, "SELECT 1", {}, {}}, 1, "segue_least"), "not prepared: 42501");
    run("GRANT " + role + " TO segue_least");
    EXPECT_EQ(ask({{}, "SELECT 1", {}, {}}, 1, "segue_least"), "not prepared: 42501")
        << "event triggers would fire";
    run("GRANT SET ON PARAMETER session_replication_role TO segue_least;"
        "CREATE TABLE own.seen (tag text); CREATE FUNCTION own.see() RETURNS event_trigger"
        " LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN INSERT INTO own.seen VALUES (tg_tag); END $$;"
        "CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION own.see()");
    EXPECT_EQ(ask({{}, "SELECT current_user", {}, {}}, 1, "segue_least"), role + "|\n");
    EXPECT_EQ(
        ask({{}, "SELECT current_setting('session_replication_role')", {}, {}}, 1, "segue_least"),
        "origin|\n");
    run("DROP EVENT TRIGGER see");
    EXPECT_EQ(databases->value(Side::source, "SELECT count(*) FROM own.seen"), "0");
    EXPECT_TRUE(ask({{}, "SELECT count(*) FROM pg_authid", {}, {}}, 1, "segue_least")
                    .starts_with("error: 42501"));
    run("REVOKE TEMPORARY ON DATABASE \"" + databases->database() + "\" FROM PUBLIC");
    EXPECT_EQ(ask({{}, "SELECT 1", {}, {}}, 1, "segue_least"), "not prepared: 42501");
    EXPECT_EQ(ask("SELECT session_user"), role + "|\n") << "a superuser gives it the function";
    run("REVOKE SET ON PARAMETER session_replication_role FROM segue_least;"
        "DROP ROLE segue_least; ALTER ROLE " +
        role + " RENAME TO segue_asker_gone");
    EXPECT_EQ(ask("SELECT 1"), "not prepared: 42704");
    run("ALTER ROLE segue_asker_gone RENAME TO " + role);
}

}  // namespace
}  // namespace segue::backfill::postgres
