#include "backfill/postgres/verify_store.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

class VerifyStore : public ::testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<test::Databases>();
        connection.emplace(databases->open(Side::source));
        ASSERT_TRUE(connection->execute("CREATE SCHEMA segue"));
        // As the mover's writers are: triggers, and with them foreign keys, do not fire.
        ASSERT_TRUE(connection->execute("SET session_replication_role = replica"));
        ASSERT_TRUE(make_verify_tables(*connection));
        ASSERT_TRUE(make_verify_tables(*connection));
    }
    static WallTime at(long long seconds) { return WallTime{std::chrono::seconds{seconds}}; }
    static Verification some(const std::string& id, long long begun_at) {
        Verification one;
        one.id = id;
        one.asked_by = "o'hara@host";
        one.build = "a build";
        one.authority = Side::target;
        one.since = Position{77};
        one.strays = 3;
        one.begun_at = at(begun_at);
        VerifiedTable& table = one.tables[{"a \"b", "c,d\\"}];
        table.verdict = TableVerdict::comparing;
        table.sums[0] = {5, 0xffff'ffff'ffff'ffffull, 1};
        table.sums[1] = {4, 2, 0x8000'0000'0000'0000ull};
        table.differences = 2;
        table.listed = {{"a \"b.c,d\\", "(1,\"x,{}\")", "missing"},
                        {"a \"b.c,d\\", "#-1:2", "extra"}};
        table.from[0] = table.from[1] = Position{10};
        table.to[0] = Position{1ull << 40};
        table.begun_at = at(begun_at + 1);
        table.low = std::vector<std::string>{"a,b", "", "{\"NULL\"}"};
        table.sql = "SELECT 'it''s'";
        one.tables[{"public", "waiting"}];
        one.excluded[{"public", "left"}] = "[tables] exclude";
        return one;
    }
    Status write(const Verification& verification) {
        TableNames names;
        for (const auto& [name, table] : verification.tables) names.insert(name);
        for (const auto& [name, why] : verification.excluded) names.insert(name);
        return write_verification(*connection, verification, names);
    }
    std::vector<Verification> read() {
        auto all = read_verifications(*connection);
        EXPECT_TRUE(all) << all.error().detail;
        for (Verification& one : *all) EXPECT_TRUE(read_verified_tables(*connection, one));
        return all ? *all : std::vector<Verification>{};
    }

    std::unique_ptr<test::Databases> databases;
    std::optional<Connection> connection;
};

TEST_F(VerifyStore, GivesBackWhatItWasGiven) {
    const Verification written = some("1", 1000);
    const Status done = write(written);
    ASSERT_TRUE(done) << done.error().detail;
    const auto all = read();
    ASSERT_EQ(all.size(), 1u);
    const Verification& found = all.front();
    EXPECT_EQ(found.asked_by, written.asked_by);
    EXPECT_EQ(found.authority, Side::target);
    EXPECT_EQ(found.since, written.since);
    EXPECT_EQ(found.strays, 3u);
    EXPECT_EQ(found.begun_at, written.begun_at);
    EXPECT_FALSE(found.ended_at);
    EXPECT_EQ(found.verdict, Verdict::running);
    EXPECT_EQ(found.excluded, written.excluded);
    ASSERT_EQ(found.tables.size(), 2u);
    const VerifiedTable& table = found.tables.begin()->second;
    const VerifiedTable& original = written.tables.begin()->second;
    EXPECT_EQ(table.verdict, TableVerdict::comparing);
    for (const int side : {0, 1}) {
        EXPECT_EQ(table.sums[side], original.sums[side]);
        EXPECT_EQ(table.from[side], original.from[side]);
        EXPECT_EQ(table.to[side], original.to[side]);
    }
    EXPECT_EQ(table.low, original.low);
    EXPECT_EQ(table.begun_at, original.begun_at);
    EXPECT_EQ(table.sql, original.sql);
    ASSERT_EQ(table.listed.size(), 2u);
    EXPECT_EQ(table.listed[0].key, "(1,\"x,{}\")");
    EXPECT_EQ(table.listed[1].kind, "extra");
    EXPECT_EQ(table.listed[1].table, "a \"b.c,d\\");
}

TEST_F(VerifyStore, ReplacesWhatHasChangedAndKeepsTheLastOnes) {
    Verification one = some("1", 1000);
    ASSERT_TRUE(write(one));
    VerifiedTable& table = one.tables.begin()->second;
    table.listed.erase(table.listed.begin());
    table.low.reset();
    table.verdict = TableVerdict::different;
    one.verdict = Verdict::different;
    one.ended_at = at(1100);
    ASSERT_TRUE(write(one));
    auto all = read();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].listed().size(), 1u);
    EXPECT_EQ(all[0].verdict, Verdict::different);
    EXPECT_EQ(all[0].ended_at, one.ended_at);
    EXPECT_FALSE(all[0].tables.begin()->second.low);
    for (int i = 2; i < 2 + 2 * verifications_kept_max; ++i) {
        Verification next = some(std::to_string(i), 1000 + i);
        if (i % 2 == 0) next.ended_at = at(2000 + i);  // The others were never ended.
        ASSERT_TRUE(write(next));
    }
    all = read();
    EXPECT_LE(all.size(), static_cast<std::size_t>(verifications_kept_max) + 1);
    EXPECT_EQ(all.front().id, std::to_string(1 + 2 * verifications_kept_max));
    EXPECT_EQ(
        databases->value(Side::source,
                         "SELECT (SELECT count(DISTINCT verification) FROM segue.difference) = "
                         "(SELECT count(*) FROM segue.verification)"),
        "t");
}

// What was found refuses a change of authority; it may not be gone before somebody has looked
// again.
TEST_F(VerifyStore, KeepsAnUnfinishedOneWithDifferencesUntilTheNextHasEnded) {
    ASSERT_TRUE(write(some("1", 1000)));
    Verification next = some("2", 2000);
    next.tables.begin()->second.differences = 0;
    next.tables.begin()->second.listed.clear();
    ASSERT_TRUE(write(next));
    EXPECT_EQ(read().size(), 2u);
    next.verdict = Verdict::equal;
    next.ended_at = at(2100);
    ASSERT_TRUE(write(next));
    const auto all = read();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all.front().id, "2");
}

TEST_F(VerifyStore, TellsOfARepairOnceHoweverOftenItIsTold) {
    const RepairNote note{.id = "9",
                          .verification = "1",
                          .asked_by = "o'hara",
                          .authority = Side::source,
                          .schema = "s",
                          .table = "t",
                          .missing = 1,
                          .extra = 2,
                          .changed = 3};
    for (const RepairState state : {RepairState::begun, RepairState::done, RepairState::done})
        ASSERT_TRUE(connection->execute(repair_sql(note, state)));
    const auto repairs = read_repairs(*connection, "1");
    ASSERT_TRUE(repairs);
    ASSERT_EQ(repairs->size(), 1u);
    EXPECT_EQ(repairs->front().state, "done");
    EXPECT_EQ(repairs->front().note.asked_by, "o'hara");
    EXPECT_EQ(repairs->front().note.changed, 3u);
    EXPECT_EQ(repairs->front().role, "postgres");
}

}  // namespace
}  // namespace segue::backfill::postgres
