#include "backfill/postgres/verifier.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "backfill/postgres/table_comparison.hpp"
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
    Status release() override { return Done{}; }
    Position position(Side side) const override { return Position{side == Side::source ? 1u : 2u}; }
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
    Result<std::vector<Row>> ask(Side, const SessionRead&, std::size_t) override {
        return Error{Errc::refused, "it is of no role"};
    }
    Result<AnswerDigest> digest(Side, const SessionRead&) override {
        return Error{Errc::refused, "it is of no role"};
    }

private:
    Connection connections_[2];
};

// Keeps nothing; says what it was told.
class Notes : public VerifyBook {
public:
    Status note(const Verification& verification, const Verification::TableName& table) override {
        noted.push_back(table.second);
        last = verification;
        if (noted.size() == stop_after && stopping != nullptr) *stopping = true;
        return Done{};
    }
    Status close(const Verification&) override { return Done{}; }
    std::vector<std::string> noted;
    Verification last;
    std::size_t stop_after = 0;
    std::atomic<bool>* stopping = nullptr;
};

class Verifier : public testing::Test {
protected:
    void SetUp() override { SEGUE_NEEDS_POSTGRES(); }

    // On both sides the same.
    void both(const std::string& sql) {
        databases().run(Side::source, sql);
        databases().run(Side::target, sql);
    }
    // Goes on with `verification`.
    Result<Verification> verify(Verification verification = {}) {
        Connection source = databases().open(Side::source);
        auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        if (change_tables) change_tables(*tables);
        const OpenTwin open = [this]() -> Result<std::unique_ptr<TableTwin>> {
            if (twins_to_fail-- > 0) return Error{Errc::timed_out, "no twin"};
            return std::unique_ptr<TableTwin>{std::make_unique<QuietTwin>(databases())};
        };
        const VerifyWork work{
            open, notes, rows_so_far, rows_per_second, stopping, tables_now, pauses, {}, only};
        const Status done = verify_tables(*tables, verification, work);
        if (!done) return done.error();
        return verification;
    }
    Found differences() {
        const auto result = verify();
        EXPECT_TRUE(result) << result.error().detail;
        Found found;
        if (!result) return found;
        for (const auto& [table, key, kind] : result->listed()) {
            // The hash of a row without a key is the server's.
            found.emplace(table, key.starts_with("#") ? "#" : key, kind);
        }
        EXPECT_EQ(found.size(), result->differences());
        return found;
    }
    const Databases& databases() {
        if (!databases_) databases_ = std::make_unique<Databases>();
        return *databases_;
    }

    std::function<void(std::vector<Table>&)> change_tables;
    std::function<std::vector<Table>()> tables_now;
    std::set<Verification::TableName> only;
    int twins_to_fail = 0;
    VerifyPauses pauses{std::chrono::milliseconds{1}, std::chrono::milliseconds{4}};
    std::atomic<std::uint64_t> rows_so_far{0};
    std::atomic<std::uint64_t> rows_per_second{0};
    std::atomic<bool> stopping{false};
    Notes notes;

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
        INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, NULL), (3, '');
        CREATE TABLE kinds (i int PRIMARY KEY, b bytea, f double precision, j jsonb, js json, a int[], c char(4), at timestamptz, z text,
                            iv interval, r int4range, x xml, m money, e text COLLATE "en-x-icu");
        INSERT INTO kinds SELECT g, '\x00ff', 1.5, '{"a": 1}', '{"a":1}', '{1,2}', 'ab', '2024-01-01 00:00:00Z', 'e', '1 day', '[1,3)', '<a/>', 1, 'ss'
            FROM generate_series(1, 20) g)sql");
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
        UPDATE keyless SET b = '' WHERE a = 2;
        UPDATE kinds SET b = '\x01ff' WHERE i = 1;             -- one bit
        UPDATE kinds SET f = '1.5000000000000002' WHERE i = 2;  -- the last one
        UPDATE kinds SET f = '-0', j = '{"a": 1.0}' WHERE i = 3;
        UPDATE kinds SET js = '{"a": 1}' WHERE i = 4;           -- JSON as it was written
        UPDATE kinds SET a = '[0:1]={1,2}' WHERE i = 5;         -- where an array begins
        UPDATE kinds SET at = at + interval '1 us' WHERE i = 6;
        UPDATE kinds SET z = U&'e\0301' WHERE i = 7;            -- another letter that looks the same
        UPDATE kinds SET iv = '24 hours' WHERE i = 8;           -- equal to a day, and not the same
        UPDATE kinds SET e = U&'\00df' WHERE i = 9;
        UPDATE kinds SET x = '<a></a>', m = 1.01 WHERE i = 10)sql");
    databases().run(Side::target,
                    "UPDATE kinds SET r = '[1,2]', c = 'ab  ' WHERE i = 11");  // Equal.
    EXPECT_EQ(differences(),
              (Found{{"public.kinds", "(1)", "changed"},
                     {"public.kinds", "(2)", "changed"},
                     {"public.kinds", "(3)", "changed"},
                     {"public.kinds", "(4)", "changed"},
                     {"public.kinds", "(5)", "changed"},
                     {"public.kinds", "(6)", "changed"},
                     {"public.kinds", "(7)", "changed"},
                     {"public.kinds", "(8)", "changed"},
                     {"public.kinds", "(9)", "changed"},
                     {"public.kinds", "(10)", "changed"},
                     {"public.plain", "(7)", "missing"},
                     {"public.plain", "(2000)", "extra"},
                     {"public.plain", "(8)", "changed"},
                     {"public.plain", "(9)", "changed"},
                     {"public.plain", "(10)", "changed"},
                     {"public.plain", "(11)", "changed"},
                     {"public.plain", "(12)", "changed"},
                     {"public.pair", "(0,e4da3b7f-bbce-2345-d777-2b0674a318d5)", "missing"},
                     {"public.named", "(B)", "changed"},
                     {"public.keyless", "#", "missing"},
                     {"public.keyless", "#", "missing"},
                     {"public.keyless", "#", "extra"}}));
}

TEST_F(Verifier, CoversEveryRowOfTablesLargerThanOneRange) {
    both(R"sql(
        CREATE TABLE large (a int, b int, PRIMARY KEY (a, b));
        INSERT INTO large SELECT g / 7, g FROM generate_series(1, 120000) g)sql");
    auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->rows(), 120000u);
    EXPECT_EQ(rows_so_far.load(), 120000u);
    EXPECT_EQ(result->differences(), 0u);
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
    EXPECT_EQ(result->rows(), 45000u);
    EXPECT_EQ(rows_so_far.load(), 45000u);
    EXPECT_EQ(result->differences(), 0u);
    databases().run(Side::target, "UPDATE named SET v = 0 WHERE k = 'A44000'");
    EXPECT_EQ(differences(), (Found{{"public.named", "(A44000)", "changed"}}));
}

// The same order on both sides, but none that Segue knows: what differs in a range is confirmed by
// key.
TEST_F(Verifier, ComparesKeysOfALinguisticOrderInRanges) {
    both(
        "CREATE TABLE named (k text COLLATE \"en-x-icu\" PRIMARY KEY, v int);"
        " INSERT INTO named SELECT 'k, \"' || g, g FROM generate_series(1, 45000) g");
    databases().run(Side::target,
                    "DELETE FROM named WHERE v = 5; UPDATE named SET v = 0 WHERE v = 44000;"
                    " INSERT INTO named VALUES ('new', 1)");
    rows_per_second = 20'000;  // No range is larger.
    EXPECT_EQ(differences(),
              (Found{{"public.named", "(\"k, \"\"5\")", "missing"},
                     {"public.named", "(\"k, \"\"44000\")", "changed"},
                     {"public.named", "(new)", "extra"}}));
    EXPECT_GE(notes.noted.size(), 3u) << "it was compared as one range";
}

TEST_F(Verifier, GoesOnWhereAnEarlierOneWasAndKeepsWhatThatFound) {
    both(
        "CREATE TABLE large (i int PRIMARY KEY, t text);"
        " INSERT INTO large SELECT g, 't' FROM generate_series(1, 70000) g;"
        " CREATE TABLE other (i int PRIMARY KEY); INSERT INTO other VALUES (1)");
    databases().run(Side::target, "DELETE FROM large WHERE i IN (3, 69999)");
    notes.stopping = &stopping;
    notes.stop_after = 1;
    EXPECT_EQ(verify().error().code, Errc::closed);
    stopping = false;
    Verification half = notes.last;
    const VerifiedTable& table = half.tables[{"public", "large"}];
    ASSERT_TRUE(table.low);
    ASSERT_EQ(table.listed.size(), 1u);
    const std::uint64_t rows = table.sums[0].rows;
    EXPECT_LT(rows, 70000u);
    // It is not looked at again.
    databases().run(Side::target, "UPDATE large SET t = 'unseen' WHERE i = 4");
    rows_so_far = 0;
    const auto ended = verify(half);
    ASSERT_TRUE(ended) << ended.error().detail;
    EXPECT_EQ(rows_so_far.load(), 70001 - rows);
    EXPECT_EQ(ended->rows(), 70001u);
    EXPECT_EQ(ended->verdict, Verdict::different);
    ASSERT_EQ(ended->listed().size(), 2u);
    EXPECT_EQ(ended->listed()[0].key, "(3)");
    EXPECT_EQ(ended->listed()[1].key, "(69999)");
}

TEST_F(Verifier, BeginsATableAnewWhoseDefinitionIsAnotherThanThatOfItsBound) {
    for (const char* change : {"ALTER TABLE large ADD COLUMN extra int",
                               "ALTER TABLE large ALTER COLUMN j TYPE numeric",
                               "ALTER TABLE large DROP CONSTRAINT large_pkey",
                               "ALTER TABLE large DROP CONSTRAINT large_pkey;"
                               " ALTER TABLE large ADD PRIMARY KEY (j)"}) {
        both(
            "DROP TABLE IF EXISTS large; CREATE TABLE large (i int PRIMARY KEY, j int NOT NULL);"
            " INSERT INTO large SELECT g, -g FROM generate_series(1, 70000) g");
        notes.stopping = &stopping;
        notes.stop_after = 1;
        notes.noted.clear();
        EXPECT_EQ(verify().error().code, Errc::closed);
        stopping = false;
        const Verification half = notes.last;
        both(change);
        databases().run(Side::target, "DELETE FROM large WHERE i = 3");
        const auto ended = verify(half);
        ASSERT_TRUE(ended) << ended.error().detail;
        EXPECT_EQ(ended->rows(), 70000u) << change;
        EXPECT_EQ(ended->differences(), 1u) << change;
    }
}

TEST_F(Verifier, ComparesLargeTablesWithoutAKeyInSlicesThatCoverEveryRow) {
    both(
        "CREATE TABLE loose (a int, b text, c numeric);"
        " INSERT INTO loose SELECT nullif(g % 1000, 7), 'b' || g % 3, g FROM generate_series(1, "
        "30000) g");
    databases().run(Side::target,
                    "DELETE FROM loose WHERE c = 7; INSERT INTO loose VALUES (NULL, NULL, NULL)");
    const auto tables_of = [](std::vector<Table>& tables) {
        tables.front().rows_estimate = 7 * verify_slice_rows;  // As if.
    };
    change_tables = tables_of;
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->rows(), 30000u);
    EXPECT_EQ(result->tables.begin()->second.sums[1].rows, 30000u);
    EXPECT_EQ(result->differences(), 2u);
    EXPECT_EQ(notes.noted.size(), 8u);
    // What the certificate's query says of the whole is the sum of the slices.
    const RowSums& sums = result->tables.begin()->second.sums[0];
    EXPECT_EQ(databases().value(
                  Side::source,
                  "SELECT rows || ' ' || hash FROM (" + result->tables.begin()->second.sql + ") q"),
              "30000 " + std::to_string(sums.first) + ":" + std::to_string(sums.second));
}

TEST_F(Verifier, ReportsTablesThatCannotBeComparedAndGoesOnWithTheOthers) {
    both(
        "CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE b (i int PRIMARY KEY, t text);"
        " CREATE TABLE c (i int PRIMARY KEY); CREATE TABLE d (i int PRIMARY KEY);"
        " INSERT INTO d VALUES (1)");
    databases().run(Side::target,
                    "DROP TABLE a; ALTER TABLE b DROP t; ALTER TABLE c ADD more int; TRUNCATE d");
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->verdict, Verdict::different);
    EXPECT_EQ(result->differences(), 4u);
    EXPECT_EQ(result->listed().size(), 1u);
    for (const char* name : {"a", "b", "c"}) {
        const VerifiedTable& table = result->tables.at({"public", name});
        EXPECT_EQ(table.verdict, TableVerdict::unlike) << name;
        EXPECT_FALSE(table.problem.empty()) << name;
    }
    EXPECT_EQ(result->tables.at({"public", "c"}).problem,
              "its columns differ: more is only on the target");
}

TEST_F(Verifier, ComparesTablesThatWereCreatedOrRenamedMeanwhileAsWell) {
    both(
        "CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE old (i int PRIMARY KEY);"
        " INSERT INTO old VALUES (1)");
    change_tables = [this](std::vector<Table>&) {
        both("ALTER TABLE old RENAME TO renamed; CREATE TABLE fresh (i int PRIMARY KEY)");
        databases().run(Side::target, "INSERT INTO fresh VALUES (7)");
    };
    tables_now = [this] {
        Connection source = databases().open(Side::source);
        auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        return *tables;
    };
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->tables.at({"public", "old"}).verdict, TableVerdict::gone);
    EXPECT_EQ(result->tables.at({"public", "renamed"}).verdict, TableVerdict::equal);
    EXPECT_EQ(result->tables.at({"public", "fresh"}).verdict, TableVerdict::different);
    ASSERT_EQ(result->listed().size(), 1u);
    EXPECT_EQ(result->listed()[0].kind, "extra");
}

// As where a table is built anew every night under another name.
TEST_F(Verifier, ComparesATableThatWasGoneAndIsBack) {
    both("CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE t (i int PRIMARY KEY)");
    change_tables = [this](std::vector<Table>& tables) {
        std::erase_if(tables, [](const Table& table) { return table.name == "t"; });
        databases().run(Side::target, "INSERT INTO t VALUES (7)");
    };
    int asked = 0;
    tables_now = [&] {
        Connection source = databases().open(Side::source);
        auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        ++asked;
        return *tables;
    };
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_GT(asked, 0);
    EXPECT_EQ(result->tables.at({"public", "t"}).verdict, TableVerdict::different);
}

// What is known of tables may be behind for a while; both sides are alike.
TEST_F(Verifier, WaitsUntilATableIsKnownAsItIsNow) {
    both("CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    std::vector<Table> known;
    change_tables = [&](std::vector<Table>& tables) {
        known = tables;
        both("ALTER TABLE t ADD fresh int DEFAULT 5");
    };
    int asked = 0;
    tables_now = [&] {
        Connection source = databases().open(Side::source);
        auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        return ++asked <= 2 * verify_unlike_attempts_max ? known : *tables;
    };
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->tables.at({"public", "t"}).verdict, TableVerdict::equal)
        << result->tables.at({"public", "t"}).problem;
}

// As where DDL is not carried, and somebody has changed both sides by hand.
TEST_F(Verifier, GoesOnWithTheOthersWhereATableIsNeverKnownAsItIsNow) {
    both("CREATE TABLE t (i int PRIMARY KEY); CREATE TABLE u (i int PRIMARY KEY)");
    std::vector<Table> known;
    change_tables = [&](std::vector<Table>& tables) {
        known = tables;
        both("ALTER TABLE t ADD fresh int DEFAULT 5");
    };
    tables_now = [&] { return known; };
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->tables.at({"public", "t"}).verdict, TableVerdict::unlike);
    EXPECT_EQ(result->tables.at({"public", "t"}).problem, "its columns have changed");
    EXPECT_EQ(result->tables.at({"public", "u"}).verdict, TableVerdict::equal);
}

// DDL that is carried to both sides while a verification goes on.
TEST_F(Verifier, TakesATableAsItIsNowWhereItsColumnsHaveChanged) {
    both(
        "CREATE TABLE t (i int PRIMARY KEY, old text); INSERT INTO t SELECT generate_series(1, 9)");
    change_tables = [this](std::vector<Table>&) {
        both("ALTER TABLE t DROP old; ALTER TABLE t ADD fresh int DEFAULT 5");
    };
    tables_now = [this] {
        Connection source = databases().open(Side::source);
        auto tables = read_tables(source, {});
        EXPECT_TRUE(tables);
        return *tables;
    };
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->verdict, Verdict::equal);
    EXPECT_EQ(result->rows(), 9u);
    change_tables = nullptr;
    databases().run(Side::target, "UPDATE t SET fresh = 6 WHERE i = 3");
    EXPECT_EQ(differences(), (Found{{"public.t", "(3)", "changed"}}));
}

TEST_F(Verifier, CountsDifferencesBeyondThoseThatItLists) {
    both("CREATE TABLE t (i int PRIMARY KEY); CREATE TABLE u (i int PRIMARY KEY)");
    databases().run(Side::target,
                    "INSERT INTO t SELECT generate_series(1, 25000); INSERT INTO u VALUES (1)");
    const auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->differences(), 25001u);
    EXPECT_EQ(result->listed().size(), verify_differences_max);
}

// The sequences are part of it, and nobody has looked at them.
TEST_F(Verifier, EndsOnlyWhereEverythingWasAskedFor) {
    both("CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    only = {{"public", "t"}};
    auto result = verify();
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ((result->tables[{"public", "t"}].verdict), TableVerdict::equal);
    EXPECT_EQ(result->verdict, Verdict::running);
    only.clear();
    result = verify(*result);
    ASSERT_TRUE(result) << result.error().detail;
    EXPECT_EQ(result->verdict, Verdict::equal);
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
