// Every sequence of outcomes: the machine is small enough to be exhaustive.

#include "router/cutover.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace segue::router {
namespace {

constexpr std::array every_outcome = {Outcome::done, Outcome::failed, Outcome::unknown};

struct StepTaken {
    Action action;
    Outcome outcome = Outcome::done;
};

struct Trace {
    std::vector<StepTaken> steps;

    template <class T>
    int first(Outcome outcome) const {
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (std::holds_alternative<T>(steps[i].action) && steps[i].outcome == outcome)
                return static_cast<int>(i);
        }
        return -1;
    }
    template <class T>
    int first() const {
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (std::holds_alternative<T>(steps[i].action)) return static_cast<int>(i);
        }
        return -1;
    }
    template <class T>
    bool has() const {
        return first<T>() >= 0;
    }
    template <class T>
    bool done_before(int at) const {
        const int where = first<T>(Outcome::done);
        return where >= 0 && where < at;
    }
    bool epoch_known_committed_before(int at) const {
        return done_before<CommitEpoch>(at) || done_before<AskEpoch>(at);
    }
    // The last word on the epoch before `at` was "failed", or nobody was ever asked to commit or
    // decide it.
    bool epoch_known_absent_before(int at) const {
        bool absent = true;
        for (int i = 0; i < at; ++i) {
            const StepTaken& step = steps[static_cast<std::size_t>(i)];
            if (std::holds_alternative<RecordDeciding>(step.action))
                absent = step.outcome == Outcome::failed;
            if (std::holds_alternative<CommitEpoch>(step.action))
                absent = step.outcome == Outcome::failed;
            if (std::holds_alternative<AskEpoch>(step.action))
                absent = step.outcome == Outcome::failed;
        }
        return absent;
    }
    std::string text() const {
        std::string result;
        for (const StepTaken& step : steps) {
            result += std::string{name(step.action)} + ":" +
                      std::to_string(static_cast<int>(step.outcome)) + " ";
        }
        return result;
    }
};

void check_order(const Trace& trace) {
    SCOPED_TRACE(trace.text());
    if (const int commit = trace.first<CommitEpoch>(); commit >= 0) {
        EXPECT_TRUE(trace.done_before<Hold>(commit));
        EXPECT_TRUE(trace.done_before<Fence>(commit));
        EXPECT_TRUE(trace.done_before<CatchUp>(commit));
        EXPECT_TRUE(trace.done_before<SetSequences>(commit));
        EXPECT_TRUE(trace.done_before<RecordDeciding>(commit));
    }
    if (const int fence = trace.first<Fence>(); fence >= 0) {
        EXPECT_TRUE(trace.done_before<RecordIntent>(fence));  // Law 7.
        EXPECT_TRUE(trace.done_before<Hold>(fence));
    }
    if (const int caught_up = trace.first<CatchUp>(); caught_up >= 0) {
        EXPECT_TRUE(trace.done_before<Fence>(caught_up));  // Law 5.
    }
    if (const int become = trace.first<Become>(); become >= 0) {
        EXPECT_TRUE(trace.epoch_known_committed_before(become));
        EXPECT_FALSE(trace.has<Undo>());
    }
    if (const int open = trace.first<OpenFence>(); open >= 0) {
        EXPECT_TRUE(trace.done_before<Become>(open));
    }
    if (const int swap = trace.first<Swap>(); swap >= 0) {
        EXPECT_TRUE(trace.done_before<OpenFence>(swap));
    }
    if (const int undo = trace.first<Undo>(); undo >= 0) {
        EXPECT_TRUE(trace.epoch_known_absent_before(undo));
    }
    if (const int release = trace.first<Release>(); release >= 0) {
        EXPECT_TRUE(trace.has<Swap>() || trace.done_before<Undo>(release));
    }
    if (const int steady = trace.first<RecordSteady>(); steady >= 0) {
        EXPECT_TRUE(trace.has<Swap>());
    }
}

void check_end(const Trace& trace, Ending ending) {
    SCOPED_TRACE(trace.text());
    EXPECT_EQ(ending == Ending::changed, trace.has<Swap>());
    EXPECT_EQ(ending == Ending::undone, trace.has<Undo>());
    EXPECT_EQ(ending == Ending::refused, !trace.has<RecordIntent>());
    // Whoever was held is released, exactly once.
    const auto releases =
        std::count_if(trace.steps.begin(), trace.steps.end(), [](const StepTaken& step) {
            return std::holds_alternative<Release>(step.action);
        });
    EXPECT_EQ(releases, ending == Ending::refused ? 0 : 1);
}

// Depth-first over every outcome of every step; `retries` bounds how often steps may be repeated.
void explore(Cutover machine, Trace trace, Outcome last, int retries, int& ends) {
    const Cutover before = machine;
    const Action action = machine.next(last);
    if (const auto* finished = std::get_if<Finished>(&action)) {
        EXPECT_FALSE(machine.clients_held());
        check_end(trace, finished->ending);
        ++ends;
        return;
    }
    const bool holding = trace.has<Hold>() || std::holds_alternative<Hold>(action);
    EXPECT_EQ(machine.clients_held(), holding && !trace.has<Release>());
    if (machine == before && --retries < 0) return;
    for (const Outcome outcome : every_outcome) {
        Trace longer = trace;
        longer.steps.push_back({action, outcome});
        check_order(longer);
        explore(machine, std::move(longer), outcome, retries, ends);
    }
}

TEST(Cutover, KeepsTheOrderOfTheNineStepsForEverySequenceOfOutcomes) {
    int ends = 0;
    explore(Cutover{}, Trace{}, Outcome::done, 3, ends);
    EXPECT_GT(ends, 1000);
}

TEST(Cutover, GoesStraightThroughWhenEverythingIsDone) {
    Cutover machine;
    std::string order;
    for (;;) {
        const Action action = machine.next(Outcome::done);
        order += std::string{name(action)} + " ";
        if (std::holds_alternative<Finished>(action)) break;
    }
    EXPECT_EQ(order,
              "check intent hold fence position sequences deciding commit become open swap release "
              "steady changed ");
}

TEST(Cutover, AsksAgainForAsLongAsTheOutcomeOfTheCommitIsUnknown) {
    Cutover machine;
    Action action = machine.next(Outcome::done);
    while (!std::holds_alternative<CommitEpoch>(action)) action = machine.next(Outcome::done);
    EXPECT_TRUE(machine.may_be_committed());
    for (int i = 0; i < 5; ++i) {
        action = machine.next(Outcome::unknown);
        EXPECT_TRUE(std::holds_alternative<AskEpoch>(action));
        EXPECT_TRUE(machine.clients_held());
    }
    Cutover committed = machine;  // A value: both futures from one point.
    EXPECT_TRUE(std::holds_alternative<Become>(committed.next(Outcome::done)));
    EXPECT_TRUE(std::holds_alternative<Undo>(machine.next(Outcome::failed)));
    EXPECT_FALSE(machine.may_be_committed());
}

}  // namespace
}  // namespace segue::router
