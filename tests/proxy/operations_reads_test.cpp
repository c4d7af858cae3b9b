// The verbs about reads, over databases, a mover and sessions in memory.

#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/status.hpp"
#include "tests/proxy/desk.hpp"

namespace segue::proxy::test {
namespace {

TEST(OperationsOfReads, LimitsOfAShiftStayUntilOthersAreGivenOrItEnds) {
    World world = consistent_world();
    Desk desk{world};
    desk.config.source.database = "shop";
    ASSERT_TRUE(desk.operations.recover());
    const auto scope = [&] { return world.records[0]->knobs.shift_scope; };
    const auto in_force = [&] { return desk.program.traffic.shift_rules.current()->scope; };
    VerbResult result = desk.run(
        "shift",
        {{"percent", 5}, {"by", "sessions"}, {"users", {"app"}}, {"applications", {"web", ""}}});
    EXPECT_EQ(result.exit_code, 0) << result.text;
    EXPECT_NE(result.text.find("5 percent of sessions, only those of user app and of applications"),
              std::string::npos)
        << result.text;
    EXPECT_NE(result.text.find("WARNING"), std::string::npos) << "nothing was timed yet";
    const router::ShiftScope first{router::ShareOf::sessions, {"app"}, {"web", ""}, {}, {}};
    EXPECT_EQ(scope(), first);
    EXPECT_EQ(in_force(), first);
    EXPECT_EQ(desk.run("shift", {{"percent", 25}}).exit_code, 0);
    EXPECT_EQ(scope(), first);
    Desk next{world};
    ASSERT_TRUE(next.operations.recover());
    EXPECT_EQ(next.program.traffic.shift_rules.current()->scope, first) << "after a restart";

    EXPECT_EQ(desk.run("shift", {{"percent", 25}, {"databases", {"shop"}}}).exit_code, 0);
    EXPECT_EQ(scope(), (router::ShiftScope{router::ShareOf::sessions, {}, {}, {"shop"}, {}}));
    for (const nlohmann::json& wrong : {nlohmann::json{{"percent", 5}, {"users", "app"}},
                                        {{"percent", 5}, {"by", "minutes"}},
                                        {{"percent", 5}, {"users", {1}}},
                                        {{"percent", 5}, {"users", {"a\nb"}}},
                                        {{"percent", 5}, {"users", {"a"}}, {"everything", true}}}) {
        EXPECT_EQ(desk.run("shift", wrong).exit_code, 2) << wrong;
    }
    EXPECT_EQ(desk.run("shift", {{"percent", 5}, {"databases", {"other"}}}).exit_code, 1);
    EXPECT_EQ(scope().databases, std::vector<std::string>{"shop"});
    EXPECT_EQ(desk.run("shift", {{"percent", 25}, {"everything", true}}).exit_code, 0);
    EXPECT_EQ(scope(), (router::ShiftScope{router::ShareOf::sessions, {}, {}, {}, {}}));
    EXPECT_EQ(desk.run("shift", {{"percent", 0}}).exit_code, 0);
    EXPECT_EQ(scope(), router::ShiftScope{});
    EXPECT_EQ(in_force(), router::ShiftScope{});
}

// After a step back to this build.
TEST(OperationsOfReads, ShiftNothingWithinLimitsThatAreNotUnderstoodAndSaySo) {
    World world = consistent_world();
    for (auto& record : world.records) record->shift_not_understood = true;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.program.traffic.shift_percent, 0);
    const auto& lines = desk.program.journal.lines;
    EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const std::string& one) {
        return one.find("shift is 0 percent instead") != one.npos;
    }));
    StatusInputs inputs;
    inputs.board = desk.board.read();
    const auto warned = [&] {
        inputs.board = desk.board.read();
        const auto all = warnings(inputs);
        return std::any_of(all.begin(), all.end(), [](const Warning& one) {
            return one.code == "shift_not_understood";
        });
    };
    EXPECT_TRUE(warned());
    EXPECT_EQ(desk.run("shift", {{"percent", 5}}).exit_code, 0);
    EXPECT_FALSE(warned());
}

TEST(OperationsOfReads, TellWhenAStatementHasBecomeSlower) {
    World world = consistent_world();
    Desk desk{world};
    StatementReport slow;
    slow.fingerprint = 0xab;
    slow.statement = "SELECT secret";
    slow.follower.p50 = std::chrono::milliseconds{31};
    world.shadow.compared = 30;
    world.shadow.slower_count = 1;
    world.shadow.slower = world.shadow.statements = {slow};
    ASSERT_TRUE(desk.operations.recover());
    const auto told = [&] {
        return std::count_if(
            desk.program.journal.lines.begin(),
            desk.program.journal.lines.end(),
            [](const std::string& one) { return one.find("00000000000000ab") != one.npos; });
    };
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(told(), 1);
    const std::string text = desk.run("shift", {{"percent", 1}}).text;
    EXPECT_NE(text.find("1 statement takes longer on the follower"), std::string::npos) << text;
    world.shadow = {};
    EXPECT_TRUE(desk.operations.tick());
    world.shadow.slower = world.shadow.statements = {slow};
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_EQ(told(), 2) << "the figures had begun anew";
    for (const std::string& one : desk.program.journal.lines)
        EXPECT_EQ(one.find("secret"), std::string::npos);
}

TEST(OperationsOfReads, TellOnceWhenAStatementIsAnsweredDifferently) {
    World world = consistent_world();
    Desk desk{world};
    StatementReport one;
    one.fingerprint = 0xab;
    one.statement = "SELECT secret";
    one.compared = one.different = 1;
    world.shadow.statements = {one};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_TRUE(desk.operations.tick());
    EXPECT_TRUE(desk.operations.tick());
    const auto& lines = desk.program.journal.lines;
    EXPECT_EQ(std::count_if(lines.begin(),
                            lines.end(),
                            [](const std::string& line) {
                                return line.find("00000000000000ab is answered differently") !=
                                           line.npos &&
                                       line.find("secret") == line.npos;
                            }),
              1);
}

TEST(OperationsOfReads, ShowBothPlansOfAStatementAndForgetTheFigures) {
    World world = consistent_world();
    Desk desk{world};
    StatementFigures figures;
    OperationParts parts{
        desk.config,
        {desk.program.steps,
         desk.program.mover,
         desk.program.sessions,
         desk.program.traffic,
         desk.program.journal,
         desk.program.stopping},
        desk.board,
        {},
        nullptr,
        &figures,
        [](Side side,
           const backfill::postgres::PlanQuestion& question) -> Result<std::vector<std::string>> {
            EXPECT_EQ(question.statement, "SELECT a FROM t WHERE b = $1");
            if (side == Side::source) return std::vector<std::string>{"Index Scan"};
            return Error{Errc::refused, "no such table"};
        }};
    Operations operations{parts};
    ASSERT_TRUE(operations.recover());
    EXPECT_EQ(operations.run("statements", {{"explain", "xyz"}}).exit_code, 2);
    EXPECT_EQ(operations.run("statements", {{"explain", "00000000000000ab"}}).exit_code, 1);
    auto context = std::make_shared<backfill::postgres::PlanContext>();
    context->role = "ann";
    figures.add({"SELECT a FROM t WHERE b = 'secret'", Comparison::equal, {}, context});
    const VerbResult list = operations.run("statements", nlohmann::json::object());
    const std::string fingerprint = list.details["statements"][0]["fingerprint"];
    EXPECT_NE(list.text.find(fingerprint), std::string::npos);
    const VerbResult plans = operations.run("statements", {{"explain", fingerprint}});
    EXPECT_EQ(plans.exit_code, 0);
    EXPECT_EQ(plans.details["plans"]["source"]["lines"][0], "Index Scan");
    EXPECT_EQ(plans.details["plans"]["target"]["problem"], "no such table");
    EXPECT_NE(plans.text.find("The source's plan (authority):\n  Index Scan"), std::string::npos)
        << plans.text;
    EXPECT_NE(plans.text.find("as role ann"), std::string::npos);
    EXPECT_EQ(plans.text.find("secret"), std::string::npos);
    EXPECT_EQ(operations.run("statements", {{"forget", true}}).exit_code, 0);
    EXPECT_EQ(operations.run("statements", {{"explain", fingerprint}}).exit_code, 1);
}

}  // namespace
}  // namespace segue::proxy::test
