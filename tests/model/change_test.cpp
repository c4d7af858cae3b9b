// The change of authority (DESIGN 6) with crashes, lost answers, late statements and a frozen
// process, driving the real order (router/cutover) and the real recovery (router/recovery). Every
// rule has a mutant: without it a story must be found in which a write is lost or doubled, or two
// sides write.

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "tests/model/change_model.hpp"

namespace segue::model {
namespace {

constexpr std::size_t states_max = 30'000'000;

Exploration explore(const ChangeRules& rules, const Budget& budget) {
    return Explorer<ChangeState>{states_max}.run(ChangeModel{rules, budget});
}

struct Case {
    const char* name;
    Budget budget;
};

// Names the case where gtest would print its bytes.
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

class Change : public ::testing::TestWithParam<Case> {};

TEST_P(Change, KeepsEveryWriteAndEnds) {
    const auto result = explore({}, GetParam().budget);
    EXPECT_TRUE(result.violation.empty()) << result.text();
    EXPECT_TRUE(result.complete) << result.text();
    EXPECT_GT(result.goals, 0u);
    EXPECT_EQ(result.stuck, 0u) << result.text();
}

INSTANTIATE_TEST_SUITE_P(With,
                         Change,
                         ::testing::Values(Case{"nothing_going_wrong_there_and_back", {3, 0, 0, 0}},
                                           Case{"two_crashes", {2, 2, 0, 0}},
                                           Case{"two_faults", {2, 0, 0, 2}},
                                           Case{"a_crash_and_a_fault", {2, 1, 0, 1}},
                                           Case{"a_frozen_process", {2, 0, 1, 0}},
                                           Case{"a_frozen_process_and_a_fault", {2, 0, 1, 1}}),
                         [](const auto& param) { return std::string{param.param.name}; });

struct Mutant {
    const char* name;
    bool ChangeRules::*rule;
    Budget budget;
    bool ChangeRules::*also = nullptr;  // A second rule that would cover for the first.
};

void PrintTo(const Mutant& value, std::ostream* out) { *out << value.name; }

class ChangeMutant : public ::testing::TestWithParam<Mutant> {};

TEST_P(ChangeMutant, IsCaught) {
    ChangeRules rules;
    rules.*GetParam().rule = false;
    if (GetParam().also != nullptr) rules.*GetParam().also = false;
    const auto result = explore(rules, GetParam().budget);
    EXPECT_FALSE(result.violation.empty())
        << "without this rule nothing goes wrong: " << result.text();
}

INSTANTIATE_TEST_SUITE_P(
    Without,
    ChangeMutant,
    ::testing::Values(
        Mutant{"the_fence_before_the_position", &ChangeRules::fence_before_position, {1, 0, 0, 0}},
        Mutant{"waiting_for_open_writers", &ChangeRules::fence_waits_for_writers, {1, 0, 0, 0}},
        Mutant{"a_flag_outside_mvcc", &ChangeRules::fence_outside_mvcc, {1, 0, 0, 0}},
        Mutant{
            "a_record_checked_by_the_opening", &ChangeRules::opening_checks_record, {2, 0, 0, 1}},
        Mutant{
            "a_record_checked_by_the_closing", &ChangeRules::closing_checks_record, {2, 0, 0, 1}},
        Mutant{"waiting_for_the_position", &ChangeRules::wait_for_position, {1, 0, 0, 0}},
        Mutant{"aborting_by_compare_and_set", &ChangeRules::abort_by_compare_and_set, {1, 0, 0, 1}},
        Mutant{"asking_when_the_answer_is_lost", &ChangeRules::ask_when_unknown, {1, 0, 0, 1}},
        Mutant{"undoing_only_the_own_intent",
               &ChangeRules::undo_own_intent_only,
               {2, 0, 1, 0},
               &ChangeRules::lease_checked},
        Mutant{"the_lease", &ChangeRules::lease_checked, {2, 0, 1, 0}},
        Mutant{"epochs_that_are_never_reused", &ChangeRules::never_reuse_epochs, {2, 1, 0, 1}},
        Mutant{"deciding_on_record", &ChangeRules::deciding_recorded, {1, 1, 0, 0}},
        Mutant{"since_before_opening", &ChangeRules::since_before_opening, {1, 0, 0, 0}},
        Mutant{"become_before_opening", &ChangeRules::become_before_opening, {1, 0, 0, 0}},
        Mutant{"recovery_before_moving", &ChangeRules::recover_before_moving, {1, 1, 0, 0}}),
    [](const auto& mutant) { return std::string{mutant.param.name}; });

}  // namespace
}  // namespace segue::model
