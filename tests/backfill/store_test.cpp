#include "backfill/postgres/store.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "backfill/event_log.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

TEST(Store, ArraysOfTextsComeBackAsTheyWent) {
    const std::vector<std::vector<std::string>> lists = {
        {}, {""}, {"a"}, {"a", "b c"}, {"quo\"te", "back\\slash", "{brace}", "com,ma", "NULL"}};
    for (const auto& list : lists) EXPECT_EQ(parse_text_array(text_array(list)), list);
    EXPECT_EQ(parse_text_array("{0/1,AB/CD}"), (std::vector<std::string>{"0/1", "AB/CD"}));
}

class StrayRows : public ::testing::Test {
protected:
    static constexpr std::uint64_t since = 77;

    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<test::Databases>();
        databases->run(Side::target, segue_schema_ddl);
        connection.emplace(databases->open(Side::target));
    }
    // As many rows as strays, as an earlier build has left them.
    void write(std::size_t count, const std::string& table) {
        databases->run(Side::target,
                       "INSERT INTO segue.event (kind, detail) SELECT 'stray write source 77', '{" +
                           table + "}' FROM generate_series(1, " + std::to_string(count) + ")");
    }
    void add_up() {
        auto pipeline = StatementPipeline::enter(*connection);
        ASSERT_TRUE(pipeline);
        ASSERT_TRUE(send_stray_sum(*pipeline, Side::source, since));
        const Status sent = pipeline->finish();
        ASSERT_TRUE(sent) << sent.error().detail;
    }
    StoredStrays strays() {
        const auto found = read_strays(*connection, Side::source, since);
        EXPECT_TRUE(found) << found.error().detail;
        return found ? *found : StoredStrays{};
    }
    std::size_t rows() const {
        return std::stoul(databases->value(
            Side::target, "SELECT count(*) FROM segue.event WHERE kind LIKE 'stray%'"));
    }

    std::unique_ptr<test::Databases> databases;
    std::optional<Connection> connection;
};

// Their number refuses a change of authority: none is forgotten when they become few rows.
TEST_F(StrayRows, AreFewAndTellOfAllStrayWrites) {
    write(3, R"(public.first,"a \"b")");
    write(events_kept_max + 40, "public.t");
    for (int again = 0; again < 2; ++again) {
        ASSERT_NO_FATAL_FAILURE(add_up());
        EXPECT_EQ(rows(), events_kept_max + 1);
        EXPECT_EQ(strays().count, events_kept_max + 43);
    }
    EXPECT_EQ(strays().tables, (std::vector<std::string>{"a \"b", "public.first", "public.t"}));
    EXPECT_EQ(databases->value(Side::target, "SELECT detail FROM segue.event ORDER BY id LIMIT 1"),
              "43 transactions: {\"a \\\"b\",public.first,public.t}");
    write(100, "public.u");
    ASSERT_NO_FATAL_FAILURE(add_up());
    EXPECT_EQ(rows(), events_kept_max + 1);
    EXPECT_EQ(strays().count, events_kept_max + 143);
}

TEST_F(StrayRows, AreForgottenByTheirNumberHoweverTheyAreKept) {
    write(events_kept_max + 100, "public.t");
    ASSERT_NO_FATAL_FAILURE(add_up());
    std::uint64_t left = events_kept_max + 100;
    for (const std::uint64_t mended : {30u, 70u, 5u, 0u}) {
        SCOPED_TRACE(mended);
        ASSERT_TRUE(forget_strays(*connection, Side::source, since, mended));
        left -= mended;
        EXPECT_EQ(strays().count, left);
    }
    EXPECT_EQ(rows(), left);
    ASSERT_TRUE(forget_strays(*connection, Side::source, since, left));
    EXPECT_EQ(rows(), 0u);
}

}  // namespace
}  // namespace segue::backfill::postgres
