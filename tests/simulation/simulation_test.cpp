// The mover's decisions, the gate, the change of authority and recovery, all real, on simulated
// databases whose commits show in another order than they are logged, and are lost in crashes;
// with every party dying at any moment. A failure is replayed by its seed: SEGUE_SIMULATION_SEED is
// the first, SEGUE_SIMULATION_SEEDS how many. Where tests/model tries every story of a handful of
// steps, these are long ones, and of the code itself.

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <ostream>

#include "tests/simulation/process.hpp"

namespace segue::simulation {
namespace {

unsigned setting(const char* name, unsigned otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

void add(Outcome& all, const Outcome& one) {
    all.commits += one.commits;
    all.changes += one.changes;
    all.restarts += one.restarts;
    all.database_crashes += one.database_crashes;
    all.twins += one.twins;
}

TEST(Simulation, KeepsEveryPromise) {
    const unsigned first = setting("SEGUE_SIMULATION_SEED", 1);
    const unsigned seeds = setting("SEGUE_SIMULATION_SEEDS", 3000);
    Outcome all;
    for (unsigned seed = first; seed < first + seeds; ++seed) {
        const Outcome outcome = live(seed);
        add(all, outcome);
        ASSERT_EQ(outcome.violation, "") << "SEGUE_SIMULATION_SEED=" << seed;
    }
    // What never happens proves nothing.
    EXPECT_GT(all.commits, seeds * 10);
    EXPECT_GT(all.changes, seeds / 4);
    EXPECT_GT(all.restarts, seeds / 4);
    EXPECT_GT(all.database_crashes, seeds / 4);
    EXPECT_GT(all.twins, seeds / 4);
    std::cout << all.commits << " commits, " << all.changes << " changes, " << all.restarts
              << " restarts, " << all.database_crashes << " crashes, " << all.twins << " twins\n";
}

TEST(Simulation, FollowsFromItsSeed) {
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
        const Outcome a = live(seed), b = live(seed);
        EXPECT_EQ(a.commits, b.commits);
        EXPECT_EQ(a.twins, b.twins);
    }
}

TEST(Simulation, NoticesWhoWritesPastTheFence) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        const Outcome outcome = live(seed, {}, true);
        ASSERT_EQ(outcome.violation, "") << "seed " << seed;
    }
}

struct Mutant {
    const char* name;
    bool Rules::*rule;
    bool Rules::*also = nullptr;  // A second rule that would cover for the first.
    bool rogues = false;
};

void PrintTo(const Mutant& value, std::ostream* out) { *out << value.name; }

class SimulationMutant : public ::testing::TestWithParam<Mutant> {};

TEST_P(SimulationMutant, IsFound) {
    constexpr std::uint64_t seeds = 3000;
    Rules rules;
    rules.*GetParam().rule = false;
    if (GetParam().also != nullptr) rules.*GetParam().also = false;
    std::uint64_t seed = 1;
    while (seed <= seeds && live(seed, rules, GetParam().rogues).violation.empty()) ++seed;
    RecordProperty("seeds", static_cast<int>(seed));
    EXPECT_LE(seed, seeds) << "without this rule nothing goes wrong";
}

INSTANTIATE_TEST_SUITE_P(
    Without,
    SimulationMutant,
    ::testing::Values(
        Mutant{"law_1_one_order", &Rules::apply_in_stream_order},
        Mutant{"law_2_the_fence", &Rules::fence_refuses_writers},
        Mutant{"law_2_strict_apply_and_a_count_of_strays",
               &Rules::apply_strictly,
               &Rules::strays_are_counted,
               true},
        Mutant{"law_3_progress_with_the_rows", &Rules::progress_with_the_rows},
        Mutant{"law_3_progress_beyond_the_chunks", &Rules::progress_beyond_the_chunks},
        Mutant{"law_3_commits_beyond", &Rules::remember_commits_beyond},
        Mutant{"law_3_confirming_what_is_durable", &Rules::confirm_only_what_is_durable},
        Mutant{"law_3_a_durable_list_of_the_unseen", &Rules::unseen_are_durable},
        Mutant{"law_4_a_snapshot_that_sees_enough", &Rules::snapshot_sees_what_was_dispatched},
        Mutant{"law_4_waiting_for_the_log_end", &Rules::wait_for_the_log_end},
        Mutant{"law_4_parking", &Rules::park_what_the_twin_does_not_see},
        Mutant{"law_4_draining", &Rules::drain_before_comparing},
        Mutant{"law_5_waiting_for_writers", &Rules::fence_waits_for_writers},
        Mutant{"law_5_waiting_for_the_position", &Rules::wait_for_the_tickets},
        Mutant{"law_6_a_way_back", &Rules::way_back_before_consistent},
        Mutant{"law_7_recovery", &Rules::recover_before_serving},
        Mutant{"law_8_outcomes_in_doubt", &Rules::lost_answer_is_unknown},
        Mutant{"law_9_unreadable_records", &Rules::unreadable_is_not_absent},
        Mutant{"the_gates_question_after_the_answer", &Rules::token_after_the_answer},
        Mutant{"the_gates_wait", &Rules::release_at_the_token}),
    [](const auto& param) { return std::string{param.param.name}; });

}  // namespace
}  // namespace segue::simulation
