#include "proxy/statement_figures.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using std::chrono::microseconds;
using namespace std::chrono_literals;

MeasuredRead read_of(std::string_view text,
                     Comparison outcome,
                     microseconds authority,
                     microseconds follower) {
    return {text, outcome, {{{authority, 1}, {follower, 3}}}};
}

struct FiguresTest : testing::Test {
    StatementFigures figures{router::SlowerLimits{20, 1.5, 2000us}};

    void add(std::string_view text,
             Comparison outcome,
             microseconds authority,
             microseconds follower,
             std::uint32_t times = 1) {
        for (std::uint32_t i = 0; i < times; ++i)
            figures.add(read_of(text, outcome, authority, follower));
    }
    ShadowReport report() const {
        ShadowReport report;
        figures.report(report);
        return report;
    }
};

TEST_F(FiguresTest, GathersAStatementsExecutionsWhateverTheirValues) {
    add("SELECT a FROM t WHERE b = 1", Comparison::equal, 100us, 300us);
    add("SELECT a FROM t WHERE b = 2", Comparison::different, 200us, 500us);
    add("SELECT a FROM t WHERE b = 3", Comparison::impossible, 300us, 100us);
    add("SELECT FROM FROM", Comparison::different, 1us, 1us);
    MeasuredRead failed = read_of("SELECT a FROM t WHERE b = 4", Comparison::different, 1us, 1us);
    failed.answers.reset();
    figures.add(failed);
    ASSERT_EQ(report().statements.size(), 1u);
    const StatementReport one = report().statements.front();
    EXPECT_EQ(one.statement, "SELECT a FROM t WHERE b = $1");
    EXPECT_NE(one.fingerprint, 0u);
    EXPECT_EQ(one.compared, 3u);
    EXPECT_EQ(one.different, 2u);
    EXPECT_EQ(one.timed, 1u);
    EXPECT_EQ(one.authority.count, 3u) << "that a failed one was quick says nothing";
    EXPECT_EQ(one.authority.mean, 200us);
    EXPECT_EQ(one.follower.mean, 300us);
    EXPECT_EQ(one.authority_rows, 1.0);
    EXPECT_EQ(one.follower_rows, 3.0);
    EXPECT_FALSE(one.slower);
}

TEST_F(FiguresTest, TellsWhatHasComeOfTheTablesOfAReadThatDiffers) {
    std::vector<backfill::Suspect> suspects;
    StatementFigures followed{{}, [&] { return suspects; }};
    const backfill::WallTime noon{1'000'000s};
    const auto add_read = [&](const char* table, backfill::WallTime seen_at) {
        MeasuredRead read = read_of("SELECT a FROM t", Comparison::different, 1us, 1us);
        backfill::ReadTables tables{{{"one", table}}, {"one.f"}};
        read.suspected =
            SuspectedRead{std::make_shared<const backfill::ReadTables>(std::move(tables)), seen_at};
        followed.add(read);
    };
    const auto rows = [&] { return followed.all().at(0).rows; };
    followed.add(read_of("SELECT a FROM t", Comparison::equal, 1us, 1us));
    EXPECT_FALSE(rows());
    add_read("t", noon);
    ASSERT_TRUE(rows());
    EXPECT_EQ(rows()->state, RowsState::waiting);
    backfill::Suspect t;
    t.name = {"one", "t"};
    t.verdict = backfill::TableVerdict::equal;
    t.begun_at = t.ended_at = noon + 1s;
    suspects = {t};
    EXPECT_EQ(rows()->state, RowsState::equal);
    add_read("t", noon + 2s);
    EXPECT_EQ(rows()->state, RowsState::equal) << "it was compared since it has differed first";
    add_read("other", noon + 3s);  // Under another search path.
    EXPECT_EQ(rows()->state, RowsState::waiting);
    EXPECT_EQ(rows()->tables, (std::vector<std::string>{"one.t", "one.other"}));
    EXPECT_EQ(rows()->functions, std::vector<std::string>{"one.f"});
    ShadowReport told;
    followed.report(told);
    EXPECT_EQ(told.suspects.size(), 1u);
    followed.forget();
    add_read("t", noon + 9s);
    EXPECT_EQ(rows()->state, RowsState::waiting) << "that was before";
}

TEST_F(FiguresTest, CountsAllStatementsOfWhichItIsNotKnownWhetherRowsDiffer) {
    std::vector<backfill::Suspect> suspects;
    StatementFigures followed{{}, [&] { return suspects; }};
    const backfill::WallTime noon{1'000'000s};
    const auto told = [&] {
        ShadowReport report;
        followed.report(report);
        return report;
    };
    for (std::size_t i = 0; i <= statements_reported_max; ++i) {
        const std::string text = "SELECT " + std::string(i + 1, 'a');
        MeasuredRead read = read_of(text, Comparison::different, 1us, 1us);
        read.found_at = noon + std::chrono::seconds{i};
        followed.add(read);  // It is not followed up, as with name_rows = false.
        read.suspected = SuspectedRead{
            std::make_shared<const backfill::ReadTables>(backfill::ReadTables{{{"one", "t"}}, {}}),
            noon};
        if (i == 0) followed.add(read);
    }
    EXPECT_EQ(told().rows_unknown, statements_reported_max + 1);
    EXPECT_EQ(told().rows_unknown_at, noon + std::chrono::seconds{statements_reported_max});
    backfill::Suspect t;
    t.name = {"one", "t"};
    t.begun_at = t.ended_at = noon + 1s;
    t.verdict = backfill::TableVerdict::equal;
    suspects = {t};
    EXPECT_EQ(told().rows_unknown, statements_reported_max);
    EXPECT_EQ(told().rows_different, 0u);
    suspects[0].differences = 1;
    EXPECT_EQ(told().rows_unknown, statements_reported_max);
    EXPECT_EQ(told().rows_different, 1u);
}

TEST_F(FiguresTest, ReportsWhatDiffersThenWhatIsInDoubtThenWhatTheFollowerIsSlowAt) {
    add("SELECT faster", Comparison::equal, 50us, 10us);
    add("SELECT slower", Comparison::equal, 50us, 900us);
    add("SELECT doubtful", Comparison::unconfirmed, 50us, 10us);
    add("SELECT different", Comparison::different, 50us, 10us);
    std::vector<std::string> order;
    for (const StatementReport& one : report().statements) order.push_back(one.statement);
    EXPECT_EQ(order,
              (std::vector<std::string>{
                  "SELECT different", "SELECT doubtful", "SELECT slower", "SELECT faster"}));
}

TEST_F(FiguresTest, TellsWhatIsSlowerOnTheFollowerUntilItIsMended) {
    add("SELECT a", Comparison::equal, 300us, 400us, 40);
    add("SELECT b", Comparison::equal, 1ms, 30ms, 20);
    add("SELECT c", Comparison::equal, 1ms, 90ms, 40);
    ShadowReport found = report();
    EXPECT_EQ(found.slower_count, 2u);
    ASSERT_EQ(found.slower.size(), 2u);
    EXPECT_EQ(found.slower[0].statement, "SELECT c");
    EXPECT_EQ(found.slower[1].statement, "SELECT b");
    EXPECT_GE(found.slower[1].follower.p50, 30ms);
    EXPECT_EQ(figures.all().front().statement, "SELECT c");
    // The index is there now: what was before is forgotten after two windows.
    add("SELECT c", Comparison::equal, 1ms, 1ms, 2 * router::latency_window);
    found = report();
    ASSERT_EQ(found.slower.size(), 1u);
    EXPECT_EQ(found.slower[0].statement, "SELECT b");
    figures.forget();
    EXPECT_EQ(report().slower_count, 0u);
    EXPECT_TRUE(figures.all().empty());
}

TEST_F(FiguresTest, RemembersAndReportsNoMoreThanItsLimits) {
    for (std::size_t i = 0; i < statements_measured_max; ++i) {
        add("SELECT c" + std::to_string(i), Comparison::equal, 1us, 1us);
        add("SELECT c" + std::to_string(i), Comparison::equal, 1us, 1s, i < 30 ? 20 : 0);
    }
    add("SELECT late", Comparison::different, 1us, 1us);
    add("SELECT c700", Comparison::different, 1us, 1us);
    const ShadowReport all = report();
    EXPECT_EQ(all.statements.size(), statements_reported_max);
    EXPECT_EQ(all.statements.front().statement, "SELECT c700");
    EXPECT_EQ(all.slower.size(), slower_reported_max);
    EXPECT_EQ(all.slower_count, 30u);
    EXPECT_EQ(all.unmeasured, 1u);
    for (const StatementReport& one : figures.all()) EXPECT_NE(one.statement, "SELECT late");
    // To begin anew makes room, and nobody takes new sums for more of the old ones.
    const auto before = figures.sums();
    figures.forget();
    EXPECT_TRUE(figures.sums().empty());
    add("SELECT late", Comparison::different, 1us, 1us);
    add("SELECT c1", Comparison::equal, 1us, 1us);
    EXPECT_EQ(report().statements.size(), 2u);
    EXPECT_EQ(report().unmeasured, 0u);
    for (const StatementSums& one : figures.sums()) {
        for (const StatementSums& old : before) EXPECT_NE(one.fingerprint, old.fingerprint);
    }
}

TEST_F(FiguresTest, KeepsWhatIsNeededForAPlanAndNoValue) {
    MeasuredRead read =
        read_of("SELECT a FROM t WHERE b = $1 AND c = 'secret'", Comparison::equal, 1us, 1us);
    auto context = std::make_shared<backfill::postgres::PlanContext>();
    context->role = "ann";
    read.context = context;
    read.parameter_types = {23};
    figures.add(read);
    const auto question = figures.question(report().statements.front().fingerprint);
    ASSERT_TRUE(question);
    EXPECT_EQ(question->statement, "SELECT a FROM t WHERE b = $1 AND c = $2");
    EXPECT_EQ(question->parameter_types, std::vector<std::uint32_t>{23});
    EXPECT_EQ(question->context, context);
    EXPECT_FALSE(figures.question(1));
    // A session with a large setting lends its statements none: those of before count.
    auto large = std::make_shared<backfill::postgres::PlanContext>();
    large->settings = {{"app.list", std::string(plan_context_bytes_max, 'x')}};
    read.context = large;
    figures.add(read);
    EXPECT_EQ(figures.question(report().statements.front().fingerprint)->context, context);
}

}  // namespace
}  // namespace segue::proxy
