#include "proxy/statement_figures.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using std::chrono::microseconds;

TEST(StatementFigures, GathersAStatementsExecutionsWhateverTheirValues) {
    StatementFigures figures;
    figures.add(
        "SELECT a FROM t WHERE b = 1", Comparison::equal, microseconds{100}, microseconds{300});
    figures.add(
        "SELECT a FROM t WHERE b = 2", Comparison::different, microseconds{200}, microseconds{500});
    figures.add("SELECT FROM FROM", Comparison::different, microseconds{1}, microseconds{1});
    const std::vector<StatementReport> expected = {
        {"SELECT a FROM t WHERE b = $1", 2, 1, 0, microseconds{150}, microseconds{400}}};
    EXPECT_EQ(figures.report(), expected);
}

TEST(StatementFigures, ReportsWhatDiffersThenWhatIsInDoubtThenWhatTheFollowerIsSlowAt) {
    StatementFigures figures;
    const auto add = [&](const char* text, Comparison outcome, int follower) {
        figures.add(text, outcome, microseconds{50}, microseconds{follower});
    };
    add("SELECT faster", Comparison::equal, 10);
    add("SELECT slower", Comparison::equal, 900);
    add("SELECT doubtful", Comparison::unconfirmed, 10);
    add("SELECT different", Comparison::different, 10);
    std::vector<std::string> order;
    for (const StatementReport& one : figures.report()) order.push_back(one.statement);
    EXPECT_EQ(order,
              (std::vector<std::string>{
                  "SELECT different", "SELECT doubtful", "SELECT slower", "SELECT faster"}));
}

TEST(StatementFigures, RemembersAndReportsNoMoreThanItsLimits) {
    StatementFigures figures;
    for (std::size_t i = 0; i < statements_measured_max; ++i) {
        figures.add(
            "SELECT c" + std::to_string(i), Comparison::equal, microseconds{1}, microseconds{1});
    }
    figures.add("SELECT late", Comparison::different, microseconds{1}, microseconds{1});
    figures.add("SELECT c7", Comparison::different, microseconds{1}, microseconds{1});
    const auto report = figures.report();
    EXPECT_EQ(report.size(), statements_reported_max);
    EXPECT_EQ(report.front(),
              (StatementReport{"SELECT c7", 2, 1, 0, microseconds{1}, microseconds{1}}));
    for (const StatementReport& one : report) EXPECT_NE(one.statement, "SELECT late");
}

}  // namespace
}  // namespace segue::proxy
