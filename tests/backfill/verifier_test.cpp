#include "backfill/postgres/verifier.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;
using Found = std::multiset<std::tuple<std::string, std::string, std::string>>;  // table, key, kind

// On databases that nobody writes to, two plain snapshots are a twin.
class QuietTwin : public TableTwin {
public:
    explicit QuietTwin(const Databases& databases)
        : connections_{databases.open(Side::source), databases.open(Side::target)} {}
    Status renew(const std::vector<Table>&, Clock::time_point) override {
        for (Connection& connection : connections_) {
            EXPECT_TRUE(
                connection.execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        }
        return Done{};
    }
    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const std::vector<std::optional<std::string>>& parameters,
                                   std::size_t rows_max) override {
        const auto rows = connections_[index(side)].execute(sql, parameters);
        if (!rows) return rows.error();
        EXPECT_LE(static_cast<std::size_t>(rows->size()), rows_max);
        std::vector<Row> result(static_cast<std::size_t>(rows->size()));
        for (int row = 0; row < rows->size(); ++row) {
            for (int column = 0; column < PQnfields(rows->raw()); ++column) {
                result[static_cast<std::size_t>(row)].push_back(
                    rows->null(row, column) ? std::nullopt
                                            : std::optional{rows->text(row, column)});
            }
        }
        return result;
    }

private:
    Connection connections_[2];
};

class Verifier : public testing::Test {
protected:
    void SetUp() override { SEGUE_NEEDS_POSTGRES(); }

    // On both sides the same.
    void both(const std::string& sql) {
        databases().run(Side::source, sql);
        databases().run(Side::target, sql);
    }
    Result<VerifyResult> verify() {
        Connection source = databases().open(Side::source);
        const auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        const OpenTwin open = [this]() -> Result<std::unique_ptr<TableTwin>> {
            if (twins_to_fail-- > 0) return Error{Errc::timed_out, "no twin"};
            return std::unique_ptr<TableTwin>{std::make_unique<QuietTwin>(databases())};
        };
        return verify_tables(*tables, open, rows_so_far, stopping, pauses);
    }
    Found differences() {
        const auto result = verify();
        EXPECT_TRUE(result) << result.error().detail;
        Found found;
        if (!result) return found;
        for (const auto& [table, key, kind] : result->first_differences)
            found.emplace(table, key, kind);
        EXPECT_EQ(found.size(), result->differences);
        return found;
    }
    const Databases& databases() {
        if (!databases_) databases_ = std::make_unique<Databases>();
        return *databases_;
    }

    int twins_to_fail = 0;
    VerifyPauses pauses{std::chrono::milliseconds{1}, std::chrono::milliseconds{4}};
    std::atomic<std::uint64_t> rows_so_far{0};
    std::atomic<bool> stopping{false};

private:
    std::unique_ptr<Databases> databases_;
};

TEST_F(Verifier, FindsEveryPlantedDifferenceAndNothingElse) {
    both(R"sql(
        CREATE TABLE plain (i int PRIMARY KEY, t text, n numeric, d int GENERATED ALWAYS AS (i + 1) STORED);
        INSERT INTO plain SELECT g, 't' || g, g FROM generate_series(1, 1000) g;
        CREATE TABLE pair (a int, b uuid, PRIMARY KEY (a, b));
        INSERT INTO pair SELECT g % 5, md5(g::text)::uuid FROM generate_series(1, 500) g;
        CREATE TABLE named (k text PRIMARY KEY, v jsonb); INSERT INTO named VALUES ('a', '{}'), ('B', NULL);
        CREATE TABLE keyless (a int, b text);
        INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, NULL), (3, ''))sql");
    EXPECT_EQ(differences(), Found{});
    databases().run(Side::target, R"sql(
        DELETE FROM plain WHERE i = 7;                          -- missing
        INSERT INTO plain VALUES (2000, 'more', 1);             -- extra, beyond the last key
        UPDATE plain SET t = NULL WHERE i = 8;                  -- NULL for text
        UPDATE plain SET t = '' WHERE i = 9;
        UPDATE plain SET n = 10.0 WHERE i = 10;                 -- only the scale
        UPDATE plain SET t = CASE i WHEN 11 THEN 't12' ELSE 't11' END WHERE i IN (11, 12);  -- swapped
        DELETE FROM pair WHERE (a, b) = (0, md5('5')::uuid);
        UPDATE named SET v = 'null' WHERE k = 'B';              -- JSON null for NULL
        DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE a = 1 LIMIT 1);
        UPDATE keyless SET b = '' WHERE a = 2)sql");
    EXPECT_EQ(differences(),
              (Found{{"public.plain", "(7)", "missing"},
                     {"public.plain", "(2000)", "extra"},
                     {"public.plain", "(8)", "different"},
                     {"public.plain", "(9)", "different"},
                     {"public.plain", "(10)", "different"},
                     {"public.plain", "(11)", "different"},
                     {"public.plain", "(12)", "different"},
                     {"public.pair", "(0,e4da3b7f-bbce-2345-d777-2b0674a318d5)", "missing"},
                     {"public.named", "(B)", "different"},
                     {"public.keyless", "", "missing"},
                     {"public.keyless", "", "missing"},
                     {"public.keyless", "", "extra"}}));
}

TEST_F(Verifier, CoversEveryRowOfTablesLargerThanOneRange) {
    both(R"sql(
        CREATE TABLE large (a int, b int, PRIMARY KEY (a, b));
        INSERT INTO large SELECT g / 7, g FROM generate_series(1, 120000) g)sql");
    auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->rows_compared, 120000u);
    EXPECT_EQ(rows_so_far.load(), 120000u);
    EXPECT_EQ(result->differences, 0u);
    // The row at the end of the first range and the one behind it.
    databases().run(Side::target, "DELETE FROM large WHERE b IN (50000, 50001)");
    EXPECT_EQ(differences(),
              (Found{{"public.large", "(7142,50000)", "missing"},
                     {"public.large", "(7143,50001)", "missing"}}));
}

// Ranges of the key then hold other rows on each side, which must not be taken for differences.
TEST_F(Verifier, RaisesNoAlarmWhereTheSidesOrderTheirKeysDifferently) {
    const std::string rows =
        " INSERT INTO named SELECT chr(65 + g % 2 * 32) || g, g FROM generate_series(1, 45000) g";
    databases().run(Side::source,
                    "CREATE TABLE named (k text COLLATE \"en-x-icu\" PRIMARY KEY, v int);" + rows);
    databases().run(Side::target,
                    "CREATE TABLE named (k text COLLATE \"C\" PRIMARY KEY, v int);" + rows);
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->rows_compared, 45000u);
    EXPECT_EQ(rows_so_far.load(), 45000u);
    EXPECT_EQ(result->differences, 0u);
    databases().run(Side::target, "UPDATE named SET v = 0 WHERE k = 'A44000'");
    EXPECT_EQ(differences(), (Found{{"public.named", "(A44000)", "different"}}));
}

TEST_F(Verifier, ComparesAgainUnderANewTwinAndGivesUpInWords) {
    both("CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    twins_to_fail = verify_attempts_max - 1;
    EXPECT_TRUE(verify());
    twins_to_fail = verify_attempts_max;
    const auto begun_at = Clock::now();
    const auto given_up = verify();
    ASSERT_FALSE(given_up);
    // 1 and 2, then 4 before each further attempt: they are not burnt at once.
    EXPECT_GE(Clock::now() - begun_at,
              std::chrono::milliseconds{3 + 4 * (verify_attempts_max - 3)});
    EXPECT_EQ(given_up.error().detail,
              "public.t: given up after 20 attempts, of which the last one said: no twin");
    stopping = true;
    EXPECT_EQ(verify().error().code, Errc::closed);
}

}  // namespace
}  // namespace segue::backfill::postgres
