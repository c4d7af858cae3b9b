#include "proxy/auto_view.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace segue::proxy {
namespace {

const WallTime now{std::chrono::hours{1000}};

StatusInputs healthy() {
    StatusInputs inputs;
    inputs.board.authority_known = true;
    backfill::ControlRecord record;
    record.backfill = router::Backfill::consistent;
    record.knobs = {router::Mirror::sync, 100, 25, false};
    record.knobs.shift_scope.users = {"app"};
    inputs.board.record = record;
    inputs.board.verify = {VerifyOutcome::equal, 10, 0, now - std::chrono::hours{1}, now};
    inputs.mover.running = true;
    inputs.mover.streams[0].connected = true;
    inputs.mover.streams[0].lag_seconds = 0.5;
    inputs.shadow.compared = 9;
    inputs.shift = {7, 3};
    inputs.sessions.transactions = 100;
    inputs.sessions.requests = 300;
    inputs.sessions.errors = 2;
    return inputs;
}

TEST(AutoView, ShowsWhereTheMigrationStandsAndItsFigures) {
    const AutoView view = auto_view(
        healthy(), {{"SELECT $1", 4, std::chrono::seconds{1}, std::chrono::seconds{2}}}, now);
    EXPECT_EQ(view.closed, "");
    router::Course course{Side::source, 100, 25, false, false};
    course.shift_scope.users = {"app"};
    EXPECT_EQ(view.where.course, course);
    EXPECT_TRUE(view.where.begun && view.where.consistent && view.where.mirror_sync);
    EXPECT_TRUE(view.where.verified_equal);
    EXPECT_EQ(view.figures.counters, (router::Counters{9, 0, 7, 3, 100, 2, 0.5, true, 307}));
    EXPECT_EQ(view.figures.statements.at("SELECT $1").follower.count(), 2);
}

TEST(AutoView, KnowsNoLagOfAFollowerThatIsAway) {
    StatusInputs inputs = healthy();
    inputs.mover.streams[0].connected = false;
    router::Counters counters = auto_view(inputs, {}, now).figures.counters;
    EXPECT_EQ(counters.follower_there, false);
    EXPECT_FALSE(counters.lag_seconds);
    inputs = healthy();
    inputs.mover.running = false;
    EXPECT_EQ(auto_view(inputs, {}, now).figures.counters.follower_there, false);
    inputs = healthy();
    inputs.mover.streams[0].lag_seconds.reset();
    counters = auto_view(inputs, {}, now).figures.counters;
    EXPECT_EQ(counters.follower_there, true);
    EXPECT_FALSE(counters.lag_seconds);
    inputs.board.record.reset();
    EXPECT_FALSE(auto_view(inputs, {}, now).figures.counters.follower_there);
}

TEST(AutoView, TrustsNoVerdictOfLastWeek) {
    StatusInputs inputs = healthy();
    inputs.board.verify.at = now - std::chrono::hours{25};
    EXPECT_FALSE(auto_view(inputs, {}, now).where.verified_equal);
    inputs.board.verify.outcome = VerifyOutcome::different;
    EXPECT_TRUE(auto_view(inputs, {}, now).where.verified_different);
}

TEST(AutoView, AsksWhetherRowsDifferUntilAllWereComparedSince) {
    StatusInputs inputs = healthy();
    inputs.shadow.rows_unknown = 2;
    inputs.shadow.rows_unknown_at = now - std::chrono::hours{1};
    EXPECT_EQ(auto_view(inputs, {}, now).where.rows_in_question, "") << "verified since";
    inputs.shadow.rows_unknown_at = now;
    EXPECT_NE(auto_view(inputs, {}, now).where.rows_in_question, "");
    inputs.board.verify.every_row_since.reset();
    inputs.shadow.rows_unknown_at = {};
    EXPECT_NE(auto_view(inputs, {}, now).where.rows_in_question, "");
    inputs.shadow.rows_unknown = 0;
    EXPECT_EQ(auto_view(inputs, {}, now).where.rows_in_question, "");
}

TEST(AutoView, IsClosedWhereAnotherMovesOrTheAuthorityIsNotKnown) {
    StatusInputs inputs = healthy();
    inputs.board.authority_known = false;
    EXPECT_NE(auto_view(inputs, {}, now).closed, "");
    inputs = healthy();
    inputs.mover.moved_by_another = true;
    EXPECT_NE(auto_view(inputs, {}, now).closed, "");
}

TEST(AutoState, IsReadAsItWasWritten) {
    router::AutopilotState state;
    state.step = 3;
    state.stance = router::Stance::going_back;
    state.pause = router::Pause::went_back;
    state.why = "a \"reason\"";
    state.course = {Side::target, 12.5, 100, true, false};
    state.course.shift_scope.by = router::ShareOf::sessions;
    state.course.shift_scope.applications = {"", "a b"};
    state.progress = {router::Seconds{12.25}, 7, 2};
    EXPECT_EQ(parse_state(state_text(state)), state);
    for (const char* damaged : {"", "{}", "[]", "{\"step\":1,\"stance\":9}", "null"})
        EXPECT_FALSE(parse_state(damaged)) << damaged;
}

TEST(AutoState, OfAnEarlierBuildIsReadAsWell) {
    const auto state = parse_state(
        R"({"step":3,"stance":1,"pause":"","why":"","authority":"target","shadow_percent":5,)"
        R"("shift_percent":0,"paused":false,"finished":false})");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->stance, router::Stance::watching);
    EXPECT_EQ(state->progress, router::WatchProgress{});
}

TEST(AutoReport, SaysInALineWhereThePlanIs) {
    EXPECT_EQ(auto_line(nullptr), "no plan is under way");
    AutoReport report;
    report.plan = "move";
    report.step = "shift 5 %";
    report.reason = "3 of 5";
    EXPECT_EQ(auto_line(auto_json(report)), "move: running, shift 5 %: hold: 3 of 5");
    report.standing = Standing::paused;
    report.reason = "paused by ann";
    EXPECT_EQ(auto_line(auto_json(report)), "move: paused, shift 5 %: paused by ann");
    report.standing = Standing::done;
    report.step = "";
    report.reason = "the plan is through";
    EXPECT_EQ(auto_line(auto_json(report)), "move: the plan is through");
    report.standing = Standing::unknown;
    report.reason = "unknown until the target answers";
    EXPECT_EQ(auto_line(auto_json(report)), report.reason);
}

}  // namespace
}  // namespace segue::proxy
