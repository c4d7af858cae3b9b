#include "router/autopilot.hpp"

#include <gtest/gtest.h>

#include "tests/router/autopilot_support.hpp"

namespace segue::router {
namespace {

using test::at;
using test::Flight;
using test::plan_of;
using test::step;
using test::text;
using test::whole_plan;
using test::World;
using Orders = std::vector<std::string>;

const Orders all_orders = {"start",
                           "verify",
                           "shadow 10",
                           "shadow 100",
                           "shift 5",
                           "shift 50",
                           "shift 100",
                           "cutover",
                           "shadow 5",
                           "finish"};

TEST(Autopilot, FollowsAPlanToItsEnd) {
    Flight flight{whole_plan()};
    for (int i = 0; i < Flight::looks_max && !flight.machine.done(); ++i) flight.look();
    EXPECT_TRUE(flight.machine.done());
    EXPECT_EQ(flight.orders, all_orders);
    EXPECT_EQ(flight.look().code, "done");
}

// Whatever it is that nobody tells any more, in whichever step: the next one does not begin.
TEST(Autopilot, HoldsInEveryWatchedStepWhenAFigureGoesSilent) {
    for (const char* where : {"shadow 10 %", "shift 50 %", "soak"}) {
        for (const auto which : {&Counters::compared, &Counters::transactions, &Counters::served}) {
            const bool is_shift = std::string{where}.starts_with("shift");
            if (which == (is_shift ? &Counters::transactions : &Counters::served)) continue;
            SCOPED_TRACE(where);
            Flight flight = at(where);
            const auto frozen = flight.world.figures.counters.*which;
            for (int i = 0; i < 100; ++i) {
                flight.look();
                flight.world.figures.counters.*which = frozen;
            }
            const Decision last = flight.look();
            flight.world.figures.counters.*which = frozen;
            EXPECT_EQ(last.outcome, Direction::hold);
            EXPECT_EQ(title(*flight.machine.step()), where);
            EXPECT_EQ(flight.orders, Orders{});
        }
    }
}

TEST(Autopilot, GoesBackWhenABreachLastsAndThenWaits) {
    Flight flight = at("shift 50 %");
    flight.world.figures.counters.follower_there = false;
    flight.look();  // The watch begins.
    EXPECT_EQ(flight.look().reason.substr(0, 13), "breach 1 of 3");
    EXPECT_EQ(flight.look().outcome, Direction::hold);
    const Decision back = flight.look();
    EXPECT_EQ(back.outcome, Direction::go_back);
    EXPECT_EQ(flight.orders, Orders{"shift 0"});
    EXPECT_EQ(flight.look_for(100).code, "went_back");
    EXPECT_EQ(flight.orders, Orders{"shift 0"}) << "it tries nothing again by itself";
    EXPECT_EQ(flight.machine.state().pause, Pause::went_back);

    flight.world.figures.counters.follower_there = true;
    flight.machine.resume(flight.world.where, flight.world.now);
    EXPECT_EQ(title(*flight.machine.step()), "shadow 100 %") << "what is in force is watched again";
    ASSERT_TRUE(flight.reach("shift 50 %"));
}

TEST(Autopilot, ABreachThatComesAndGoesHolds) {
    AutoPlan plan = whole_plan();
    for (PlanStep& one : plan.steps) {
        if (one.deed == Deed::shift && one.percent == 50) one.guardrails.samples_min = 1'000'000;
    }
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("shift 50 %"));
    flight.orders.clear();
    for (int i = 0; i < 90; ++i) {
        flight.world.figures.counters.lag_seconds = i % 3 == 0 ? 0.1 : 100;
        EXPECT_EQ(flight.look().outcome, Direction::hold);
    }
    EXPECT_EQ(flight.orders, Orders{});
}

TEST(Autopilot, TakesAWatchedCutoverBack) {
    Flight flight = at("soak");
    flight.look_for(3);
    for (int i = 0; i < 4; ++i) {
        *flight.world.figures.counters.errors += 100;
        flight.look();
    }
    EXPECT_EQ(flight.orders, Orders{"rollback"});
    EXPECT_EQ(flight.world.where.course.authority, Side::source);
    EXPECT_EQ(flight.machine.state().pause, Pause::went_back);
    EXPECT_NE(flight.machine.state().why.find("errors"), std::string::npos);
}

TEST(Autopilot, ARefusedVerbHoldsWithItsReasonAndIsTriedAgainLater) {
    Flight flight = at("shift 5 %");
    World& world = flight.world;
    Decision decision;
    while (!decision.order) {
        world.pass();
        decision = flight.machine.look(world.where, world.figures, world.now);
    }
    flight.machine.ended(
        *decision.order, false, "the follower is too far behind", world.where, world.now);
    int looks = 0;
    for (decision.order.reset(); !decision.order && looks < 100; ++looks) {
        world.pass();
        decision = flight.machine.look(world.where, world.figures, world.now);
        if (!decision.order) {
            EXPECT_NE(decision.reason.find("too far behind"), std::string::npos);
        }
    }
    EXPECT_EQ(looks, 20);
    EXPECT_EQ(text(*decision.order), "shift 50");
}

// It takes the reads back before it ends anything; nobody else has done that.
TEST(Autopilot, AFinishThatBrokeOffIsTriedAgain) {
    Flight flight = at("soak");
    World& world = flight.world;
    const auto next = [&] {
        Decision decision;
        for (int i = 0; i < 100 && !decision.order; ++i) {
            world.pass();
            decision = flight.machine.look(world.where, world.figures, world.now);
        }
        return decision;
    };
    const Decision first = next();
    ASSERT_TRUE(first.order) << first.reason;
    ASSERT_EQ(world.where.course.shadow_percent, 5);
    world.where.course.shadow_percent = 0;
    flight.machine.ended(*first.order, false, "the source is away", world.where, world.now);
    const Decision second = next();
    ASSERT_TRUE(second.order) << second.reason;
    EXPECT_EQ(text(*second.order), "finish");
}

TEST(Autopilot, TriesAVerbThatHoldsClientsAFewTimesOnly) {
    Flight flight = at("shift 100 %");
    World& world = flight.world;
    int tried = 0;
    for (int i = 0; i < 300; ++i) {
        world.pass();
        const Decision decision = flight.machine.look(world.where, world.figures, world.now);
        if (!decision.order) continue;
        EXPECT_EQ(text(*decision.order), "cutover");
        ++tried;
        flight.machine.ended(
            *decision.order, false, "a transaction is open", world.where, world.now);
    }
    EXPECT_EQ(tried, 3);
    EXPECT_EQ(flight.machine.state().pause, Pause::refused);
    flight.machine.resume(world.where, world.now);
    EXPECT_EQ(flight.look().order->verb, "cutover");
}

TEST(Autopilot, DoesNotTryACutoverThatWouldBeRefused) {
    Flight flight = at("shift 100 %");
    flight.world.where.blockers = {"the stream of the target is not connected"};
    const Decision decision = flight.look_for(100);
    EXPECT_EQ(decision.reason, "the stream of the target is not connected");
    EXPECT_EQ(flight.orders, Orders{});
    flight.world.where.blockers.clear();
    EXPECT_TRUE(flight.reach("soak"));
}

TEST(Autopilot, BelievesWhatAVerbHasBroughtAboutRatherThanItsAnswer) {
    Flight flight = at("shift 100 %");
    World& world = flight.world;
    Decision decision;
    while (!decision.order) {
        world.pass();
        decision = flight.machine.look(world.where, world.figures, world.now);
    }
    world.obey(*decision.order);
    flight.machine.ended(*decision.order, false, "its answer was lost", world.where, world.now);
    EXPECT_TRUE(flight.reach("soak"));

    Flight other = at("shift 5 %");
    World& its = other.world;
    for (decision.order.reset(); !decision.order;) {
        its.pass();
        decision = other.machine.look(its.where, its.figures, its.now);
    }
    its.where.course.shift_percent = 1;  // Somebody was quicker.
    other.machine.ended(*decision.order, true, "", its.where, its.now);
    EXPECT_EQ(other.machine.state().pause, Pause::taken_over);
}

TEST(Autopilot, HoldsAtDifferencesUntilTheyAreMended) {
    Flight flight{whole_plan()};
    ASSERT_TRUE(flight.reach("start"));
    flight.orders.clear();
    World& world = flight.world;
    Decision decision;
    while (!decision.order) {
        world.pass();
        decision = flight.machine.look(world.where, world.figures, world.now);
    }
    ASSERT_EQ(decision.order->verb, "verify");
    world.where.verified_different = true;
    flight.machine.ended(*decision.order, false, "3 rows differ", world.where, world.now);
    decision = flight.look_for(100);
    EXPECT_NE(decision.reason.find("segue repair"), std::string::npos);
    EXPECT_EQ(flight.orders, Orders{}) << "reading all of it again mends nothing";
    world.where.verified_different = false;
    world.where.verified_equal = true;
    EXPECT_TRUE(flight.reach("shadow 10 %"));
    EXPECT_EQ(flight.orders, Orders{"shadow 10"});
}

TEST(Autopilot, AsksForAWordAndBeginsThatVeryStep) {
    AutoPlan plan = whole_plan();
    plan.steps.back().confirm = true;
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("soak"));
    EXPECT_EQ(flight.look_for(100).code, "confirm");
    EXPECT_FALSE(flight.world.where.course.finished);
    flight.machine.resume(flight.world.where, flight.world.now);
    flight.look_for(2);
    EXPECT_TRUE(flight.machine.done());
}

TEST(Autopilot, PausesAndGoesOnWhereItWas) {
    Flight flight = at("shift 50 %");
    flight.look_for(8);
    flight.machine.pause("ann@desk");
    EXPECT_EQ(flight.look_for(100).reason, "paused by ann@desk");
    EXPECT_EQ(flight.orders, Orders{});
    flight.machine.resume(flight.world.where, flight.world.now);
    EXPECT_EQ(title(*flight.machine.step()), "shift 50 %");
    flight.look_for(8);
    EXPECT_EQ(title(*flight.machine.step()), "shift 50 %") << "it is watched anew";
    EXPECT_TRUE(flight.reach("shift 100 %"));
}

// Killed after every look, and between an order and its end, once with its effect and once without.
TEST(Autopilot, GoesOnAfterARestartAtAnyMoment) {
    Flight flight{whole_plan()};
    int restarts = 0;
    Orders orders;
    for (int i = 0; i < 1000 && !flight.machine.done(); ++i) {
        World& world = flight.world;
        world.pass();
        const Decision decision = flight.machine.look(world.where, world.figures, world.now);
        const bool lost = decision.order && restarts % 2 == 0;
        if (decision.order && !lost) {
            orders.push_back(text(*decision.order));
            world.obey(*decision.order);
        }
        const bool restart = decision.order || i % 12 == 0;
        if (restart) {
            ++restarts;
            flight.machine =
                Autopilot{whole_plan(), flight.machine.state(), world.where, world.now};
        }
        EXPECT_NE(flight.machine.state().pause, Pause::taken_over) << flight.machine.state().why;
    }
    EXPECT_TRUE(flight.machine.done());
    EXPECT_EQ(orders, all_orders);
}

// Limits that an operator has given stay as the plan shifts more, and end with the cutover.
TEST(Autopilot, GoesOnWithinTheLimitsOfAShiftThatItFinds) {
    World world;
    world.where.begun = world.where.consistent = world.where.verified_equal = true;
    world.where.course.shadow_percent = 100;
    world.where.course.shift_percent = 5;
    world.where.course.shift_scope.tables = {"public.orders"};
    Flight flight{whole_plan(), world};
    EXPECT_TRUE(flight.reach("soak"));
    EXPECT_EQ(flight.orders, (Orders{"shift 50", "shift 100", "cutover", "shadow 5"}));
}

// A day of soaking does not begin anew because Segue was restarted in it, and an hour in which
// Segue was down is none of it.
TEST(Autopilot, ARestartGoesOnWithTheWatchThatIsOnRecord) {
    AutoPlan plan = whole_plan();
    for (PlanStep& one : plan.steps) {
        if (one.deed == Deed::soak) one.watch = Seconds{1000};
    }
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("soak"));
    flight.look_for(700);
    flight.world.now += std::chrono::hours{1};
    flight.world.figures.counters = {0, 0, 0, 0, 0, 0, 0.1, true, 0};
    flight.machine = Autopilot{plan, flight.machine.state(), flight.world.where, flight.world.now};
    EXPECT_EQ(flight.look().reason, "the watch goes on after a restart");
    const Decision next = flight.look();
    EXPECT_EQ(next.code, "watching") << next.reason;
    EXPECT_GE(flight.machine.progress().watched, Seconds{660});
    EXPECT_LE(flight.machine.progress().watched, Seconds{701});
    int looks = 0;
    while (!flight.machine.done() && looks < 1000) {
        flight.look();
        ++looks;
    }
    EXPECT_GE(looks, 298);
    EXPECT_LE(looks, 340);
}

// Nearly at its end, and then the figures stop together with the old process.
TEST(Autopilot, ASoakThatWentSilentIsNotOverBecauseOfARestart) {
    AutoPlan plan = whole_plan();
    for (PlanStep& one : plan.steps) {
        if (one.deed == Deed::soak) one.watch = Seconds{100};
    }
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("soak"));
    flight.look_for(95);
    World& world = flight.world;
    flight.machine = Autopilot{plan, flight.machine.state(), world.where, world.now};
    const Counters frozen = world.figures.counters;
    const auto silently = [&] {
        world.now += std::chrono::seconds{1};
        world.figures.counters = frozen;
        return flight.machine.look(world.where, world.figures, world.now);
    };
    silently();
    EXPECT_EQ(silently().code, "transactions") << "at the first look that could tell";
    for (int i = 0; i < 200; ++i) silently();
    ASSERT_NE(flight.machine.step(), nullptr);
    EXPECT_EQ(title(*flight.machine.step()), "soak");
    flight.look_for(110);
    EXPECT_TRUE(flight.machine.done());
}

TEST(Autopilot, SilenceIsNoTimeThatWasWatched) {
    AutoPlan plan = whole_plan();
    for (PlanStep& one : plan.steps) {
        if (one.deed == Deed::soak) one.watch = Seconds{20};
    }
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("soak"));
    flight.look_for(5);
    const auto frozen = flight.world.figures.counters.transactions;
    for (int i = 0; i < 100; ++i) {
        flight.look();
        flight.world.figures.counters.transactions = frozen;
    }
    EXPECT_EQ(flight.look_for(5).code, "watching");
    EXPECT_EQ(title(*flight.machine.step()), "soak");
    flight.look_for(20);
    EXPECT_TRUE(flight.machine.done());
}

TEST(Autopilot, ARestartForgetsNoDifference) {
    AutoPlan plan = whole_plan();
    Flight flight{plan};
    ASSERT_TRUE(flight.reach("soak"));
    flight.look_for(2);
    flight.world.figures.counters.different = 1;
    EXPECT_EQ(flight.look().reason.substr(0, 13), "breach 1 of 3");
    flight.world.figures.counters = {0, 0, 0, 0, 0, 0, 0.1, true, 0};
    flight.machine = Autopilot{plan, flight.machine.state(), flight.world.where, flight.world.now};
    flight.orders.clear();
    flight.look_for(4);
    EXPECT_EQ(flight.orders, Orders{"rollback"});
}

TEST(Autopilot, ARestartFindsWhatSomebodyElseHasDone) {
    Flight flight = at("shift 50 %");
    flight.world.where.course.shift_percent = 0;
    Autopilot again{whole_plan(), flight.machine.state(), flight.world.where, flight.world.now};
    EXPECT_EQ(again.look(flight.world.where, flight.world.figures, flight.world.now).code,
              "taken_over");
}

TEST(Autopilot, ARestartGoesOnGoingBack) {
    Flight flight = at("soak");
    World& world = flight.world;
    world.figures.counters.different = 3;
    Decision decision = flight.look_for(1);
    *world.figures.counters.different = 9;
    while (decision.outcome != Direction::go_back) {
        world.pass();
        decision = flight.machine.look(world.where, world.figures, world.now);
    }
    Autopilot undone{whole_plan(), flight.machine.state(), world.where, world.now};
    EXPECT_EQ(undone.look(world.where, world.figures, world.now).order, (Order{"rollback", {}}));
    world.obey({"rollback", {}});
    Autopilot done{whole_plan(), flight.machine.state(), world.where, world.now};
    EXPECT_EQ(done.look(world.where, world.figures, world.now).code, "went_back");
}

TEST(Autopilot, BeginsWhereTheMigrationStands) {
    const AutoPlan plan = whole_plan();
    const auto begins = [&](Where where) {
        where.begun = where.consistent = true;
        const std::size_t at_step = step_in_force(plan, where);
        return at_step < plan.steps.size() ? title(plan.steps[at_step]) : "end";
    };
    EXPECT_EQ(step_in_force(plan, {}), 0u);
    Where where;
    EXPECT_EQ(begins(where), "start");
    where.course.shadow_percent = 100;
    EXPECT_EQ(begins(where), "verify");
    where.verified_equal = true;
    EXPECT_EQ(begins(where), "shadow 100 %");
    where.course.shadow_percent = 60;
    EXPECT_EQ(begins(where), "shadow 10 %");
    where.course.shift_percent = 50;
    EXPECT_EQ(begins(where), "shift 50 %");
    where.course = {Side::target, 0, 0, false, false};
    EXPECT_EQ(begins(where), "soak");
    where.course.finished = true;
    EXPECT_EQ(begins(where), "end");
}

TEST(Autopilot, WithoutAStartItHoldsUntilSomethingIsMoved) {
    Flight flight{plan_of({step(Deed::verify), step(Deed::shadow, 10)})};
    EXPECT_EQ(flight.look_for(20).code, "not_ready");
    flight.world.where.begun = true;
    EXPECT_EQ(flight.look().reason, "the databases are not consistent yet");
    flight.world.where.consistent = true;
    EXPECT_TRUE(flight.reach("shadow 10 %"));
}

TEST(DryRun, TellsOfEachStepWhatWouldBeDecidedAndDoesNothing) {
    World world;
    world.where.begun = world.where.consistent = world.where.verified_equal = true;
    world.where.course.shadow_percent = 10;
    world.where.blockers = {"the stream of the source lags behind"};
    world.figures.counters.different = 2;
    const Moment began = world.now;
    for (int i = 0; i < 100; ++i) world.pass();
    const auto told = dry_run(whole_plan(), world.where, world.figures, began, world.now);
    ASSERT_EQ(told.size(), whole_plan().steps.size());
    EXPECT_TRUE(told[1].behind);
    EXPECT_TRUE(told[2].here);
    EXPECT_EQ(told[2].outcome, Direction::go_back) << told[2].reason;
    EXPECT_EQ(told[3].order, (Order{"shadow", 100}));
    EXPECT_EQ(told[4].outcome, Direction::go_back);
    EXPECT_EQ(told[7].outcome, Direction::hold);
    EXPECT_EQ(told[7].reason, "the stream of the source lags behind");
}

// The limits of a plan may let reads pass that differ; what a finish would be refused for is not
// tried.
TEST(Autopilot, FinishesOverDifferingReadsWhereThePlanSaysWhyAndOverNothingElse) {
    const auto finishing = [](const std::string& why, auto spoil) {
        AutoPlan plan = whole_plan();
        plan.steps.back().accept_differing_reads = why;
        Flight flight{plan};
        flight.reach("soak");
        spoil(flight.world.where);
        Decision last = flight.look_for(100);
        const bool finished = flight.orders.back() == "finish";
        EXPECT_EQ(finished, flight.machine.done());
        return finished ? "finished" : last.code + ": " + last.reason;
    };
    const auto reads = [](Where& where) { where.differing_statements = 1; };
    EXPECT_EQ(finishing("", [](Where&) {}), "finished");
    EXPECT_EQ(finishing("no order", reads), "finished");
    const std::string held = finishing("", reads);
    EXPECT_TRUE(held.starts_with("not_ready: reads are answered differently")) << held;
    EXPECT_NE(held.find("--accept-differences"), std::string::npos) << held;
    EXPECT_NE(held.find("accept_differing_reads"), std::string::npos) << held;
    EXPECT_TRUE(finishing("no order", [](Where& where) {
                    where.verified_different = true;
                }).starts_with("not_ready: verification found differences"));
    EXPECT_TRUE(finishing("no order", [](Where& where) {
                    where.differing_statements = 1;
                    where.rows_in_question = "rows are not compared yet";
                }).starts_with("not_ready: rows are not compared yet; or `segue finish"));
    EXPECT_TRUE(finishing("no order", [](Where& where) {
                    where.stray_writes = 1;
                }).starts_with("not_ready: somebody else than Segue wrote"));
}

TEST(DryRun, TellsOfAFinishThatMayMeetDifferencesThatItsPlanAllows) {
    const auto told = [](const AutoPlan& plan) {
        World world;
        world.where.begun = world.where.consistent = true;
        world.where.course.authority = Side::target;
        return dry_run(plan, world.where, world.figures, world.now, world.now).back().reason;
    };
    AutoPlan plan = whole_plan();
    EXPECT_EQ(told(plan), "");
    plan.steps[8].guardrails.differences_max = 3;
    EXPECT_NE(told(plan).find("of which the soak allows 3"), std::string::npos) << told(plan);
    plan.steps.back().accept_differing_reads = "a report without an order";
    EXPECT_EQ(told(plan), "although reads differ, because: a report without an order");
}

}  // namespace
}  // namespace segue::router
