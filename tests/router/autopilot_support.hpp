#pragma once
// A plan with tiny windows, a migration that does what it is told, and clients that keep reading.

#include "router/autopilot.hpp"

namespace segue::router::test {

using std::chrono::seconds;

inline PlanStep step(Deed deed, double percent = 0) {
    PlanStep result;
    result.deed = deed;
    result.percent = percent;
    if (is_watched(deed)) result.watch = Seconds{10};
    return result;
}

inline AutoPlan plan_of(std::vector<PlanStep> steps) {
    AutoPlan plan;
    plan.name = "test";
    plan.interval = Seconds{1};
    plan.window = Seconds{5};
    plan.retry = Seconds{20};
    plan.steps = std::move(steps);
    return plan;
}

inline AutoPlan whole_plan() {
    return plan_of({step(Deed::start),
                    step(Deed::verify),
                    step(Deed::shadow, 10),
                    step(Deed::shadow, 100),
                    step(Deed::shift, 5),
                    step(Deed::shift, 50),
                    step(Deed::shift, 100),
                    step(Deed::cutover),
                    step(Deed::soak, 5),
                    step(Deed::finish)});
}

struct World {
    Where where;
    Figures figures;
    Moment now{seconds{1000}};

    World() { figures.counters = {0, 0, 0, 0, 0, 0, 0.1, true, 0}; }
    // A second in which clients do what they always do.
    void pass() {
        now += seconds{1};
        Counters& sums = figures.counters;
        *sums.transactions += 100;
        *sums.requests += 100;
        const Course& course = where.course;
        if (course.shadow_percent > 0 && course.shift_percent < 100) *sums.compared += 50;
        if (course.shift_percent > 0) *sums.served += 50;
    }
    void obey(const Order& order) {
        Course& course = where.course;
        if (order.verb == "start") where.begun = where.consistent = true;
        if (order.verb == "verify") where.verified_equal = true;
        if (order.verb == "mirror") where.mirror_sync = true;
        if (order.verb == "shadow") course.shadow_percent = *order.percent;
        if (order.verb == "shift") course.shift_percent = *order.percent;
        if (order.verb == "finish") {
            course.shadow_percent = course.shift_percent = 0;
            course.finished = true;
        }
        if (order.verb != "cutover" && order.verb != "rollback") return;
        course.authority = order.verb == "cutover" ? Side::target : Side::source;
        course.shadow_percent = course.shift_percent = 0;
        course.shift_scope = {};
    }
};

inline std::string text(const Order& order) {
    return order.verb + (order.percent ? " " + plain(*order.percent) : "");
}

// A machine, the world around it, and what it has ordered.
struct Flight {
    explicit Flight(AutoPlan plan, World of = {})
        : world(std::move(of)), machine(std::move(plan), world.where, world.now) {}

    // A second, a look, and what it orders.
    Decision look() {
        world.pass();
        Decision decision = machine.look(world.where, world.figures, world.now);
        if (decision.order) {
            orders.push_back(text(*decision.order));
            world.obey(*decision.order);
            machine.ended(*decision.order, true, "", world.where, world.now);
        }
        return decision;
    }
    // Until `step` (its title) is watched, or for want of it until no more happens.
    bool reach(const std::string& title_of_step) {
        for (int i = 0; i < looks_max; ++i) {
            const bool there = machine.step() != nullptr &&
                               title(*machine.step()) == title_of_step &&
                               machine.state().stance == Stance::watching;
            if (there) return true;
            look();
        }
        return false;
    }
    Decision look_for(int count) {
        Decision last;
        for (int i = 0; i < count; ++i) last = look();
        return last;
    }

    static constexpr int looks_max = 500;
    World world;
    Autopilot machine;
    std::vector<std::string> orders;
};

// Somewhere in the middle of that plan, at the step of that title.
inline Flight at(const std::string& title_of_step) {
    Flight flight{whole_plan()};
    flight.reach(title_of_step);
    flight.orders.clear();
    return flight;
}

}  // namespace segue::router::test
