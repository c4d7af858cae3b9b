// Verbs of others under a plan's feet: it waits, and says so.

#include <gtest/gtest.h>

#include "router/autopilot.hpp"
#include "tests/router/autopilot_support.hpp"

namespace segue::router {
namespace {

using test::at;
using test::Flight;
using test::World;
using Orders = std::vector<std::string>;

TEST(Autopilot, NoticesThatItWasTakenOver) {
    const auto hand = [](auto change) {
        Flight flight = at("shift 50 %");
        change(flight.world.where);
        const Decision decision = flight.look();
        EXPECT_EQ(decision.code, "taken_over");
        EXPECT_EQ(flight.look_for(50).code, "taken_over");
        EXPECT_EQ(flight.orders, Orders{});
        flight.machine.resume(flight.world.where, flight.world.now);
        const PlanStep* const present = flight.machine.step();
        return present != nullptr ? title(*present) : "end";
    };
    EXPECT_EQ(hand([](Where& where) { where.course.shift_percent = 0; }), "shadow 100 %");
    EXPECT_EQ(hand([](Where& where) { where.course.shift_percent = 7; }), "shift 5 %");
    EXPECT_EQ(hand([](Where& where) { where.course.shadow_percent = 20; }), "shift 50 %");
    EXPECT_EQ(hand([](Where& where) { where.course.paused = true; }), "shift 50 %");
    EXPECT_EQ(hand([](Where& where) {
                  where.course = {Side::target, 0, 0, false, false};
              }),
              "soak");
    EXPECT_EQ(hand([](Where& where) { where.course.shift_scope.users = {"app"}; }), "shift 50 %");
    EXPECT_EQ(hand([](Where& where) { where.course.shift_scope.by = ShareOf::sessions; }),
              "shift 50 %");
    EXPECT_EQ(hand([](Where& where) { where.course.finished = true; }), "end");
}

// There and back between two looks: the course is as it was, and it was somebody else's.
TEST(Autopilot, NoticesWhatWasChangedAndChangedBack) {
    Flight flight = at("shift 50 %");
    World& world = flight.world;
    world.where.course_changes += 2;
    const Decision decision = flight.look();
    EXPECT_EQ(decision.code, "taken_over");
    EXPECT_NE(decision.reason.find("was changed, and changed back"), std::string::npos)
        << decision.reason;
    flight.machine.resume(world.where, world.now);
    EXPECT_TRUE(flight.reach("shift 100 %"));
}

TEST(Autopilot, ItsOwnVerbIsNobodyElsesAndWhatFollowsItIs) {
    const auto after_own_verb = [](std::uint64_t of_others) {
        Flight flight = at("shift 50 %");
        World& world = flight.world;
        Decision decision;
        while (!decision.order) {
            world.pass();
            decision = flight.machine.look(world.where, world.figures, world.now);
        }
        world.obey(*decision.order);
        ++world.where.course_changes;
        flight.machine.ended(*decision.order, true, "", world.where, world.now);
        world.where.course_changes += of_others;
        return flight.look().code;
    };
    EXPECT_EQ(after_own_verb(0), "watching");
    EXPECT_EQ(after_own_verb(2), "taken_over");
}

}  // namespace
}  // namespace segue::router
