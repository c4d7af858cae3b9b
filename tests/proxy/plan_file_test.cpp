// Plans for `segue auto`: the one that is shipped, every key, and what is refused with line and
// key.

#include "proxy/plan_file.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using router::Deed;

std::string refused(const std::string& text) {
    const auto plan = parse_plan(text, "p.toml");
    return plan ? "" : plan.error().detail;
}

TEST(PlanFile, ThePlanThatIsShippedIsAPlan) {
    const auto text = read_plan_file(SEGUE_SOURCE "/configs/auto.example.toml");
    ASSERT_TRUE(text) << text.error().detail;
    const auto plan = parse_plan(*text, "auto.example.toml");
    ASSERT_TRUE(plan) << plan.error().detail;
    std::string steps;
    for (const router::PlanStep& step : plan->steps) steps += title(step) + ", ";
    EXPECT_EQ(steps,
              "start, verify, shadow 10 %, shadow 100 %, shift 5 %, shift 25 %, shift 50 %, "
              "shift 100 %, cutover, soak, finish, ");
    EXPECT_TRUE(plan->steps.back().confirm) << "there is no way back from it";
    // What it says are the defaults are the defaults.
    const auto bare =
        parse_plan("[[step]]\ndo = \"shadow\"\npercent = 10\nwatch_seconds = 300\n", "p");
    ASSERT_TRUE(bare) << bare.error().detail;
    EXPECT_EQ(bare->steps[0], plan->steps[2]);
    router::AutoPlan without = *plan;
    without.steps = bare->steps;
    EXPECT_EQ(*bare, without);
}

TEST(PlanFile, TakesEveryKey) {
    const auto plan = parse_plan(
        "[plan]\nname = \"n\"\ninterval_seconds = 0.5\nwindow_seconds = 2\nbreaches = 4\n"
        "retry_seconds = 7\nattempts = 9\n"
        "[guardrails]\nsamples_min = 11\ndifferences_max = 12\nerror_rate_max = 0.13\n"
        "fallback_rate_max = 0.14\nlatency_ratio_max = 15\nlatency_slack_ms = 16\n"
        "lag_seconds_max = 17\nrate_samples_min = 18\n"
        "[[step]]\ndo = \"cutover\"\nconfirm = true\n"
        "[[step]]\ndo = \"soak\"\npercent = 5.5\nwatch_seconds = 60\nlag_seconds_max = 1\n"
        "[[step]]\ndo = \"finish\"\naccept_differing_reads = \"no order\"\n",
        "p");
    ASSERT_TRUE(plan) << plan.error().detail;
    EXPECT_EQ(plan->name, "n");
    EXPECT_EQ(plan->interval.count(), 0.5);
    EXPECT_EQ(plan->window.count(), 2);
    EXPECT_EQ(plan->breaches_max, 4);
    EXPECT_EQ(plan->retry.count(), 7);
    EXPECT_EQ(plan->attempts_max, 9u);
    ASSERT_EQ(plan->steps.size(), 3u);
    EXPECT_EQ(plan->steps[2].accept_differing_reads, "no order");
    EXPECT_TRUE(plan->steps[0].confirm);
    const router::PlanStep& soak = plan->steps[1];
    EXPECT_EQ(soak.deed, Deed::soak);
    EXPECT_EQ(soak.percent, 5.5);
    EXPECT_EQ(soak.watch.count(), 60);
    EXPECT_EQ(soak.guardrails.samples_min, 11u);
    EXPECT_EQ(soak.guardrails.differences_max, 12u);
    EXPECT_EQ(soak.guardrails.error_rate_max, 0.13);
    EXPECT_EQ(soak.guardrails.fallback_rate_max, 0.14);
    EXPECT_EQ(soak.guardrails.latency_ratio_max, 15);
    EXPECT_EQ(soak.guardrails.latency_slack.count(), 0.016);
    EXPECT_EQ(soak.guardrails.lag_max.count(), 1);
    EXPECT_EQ(soak.guardrails.rate_samples_min, 18u);
}

TEST(PlanFile, RefusesWithFileLineKeyAndWhatWasExpected) {
    const std::string verify = "[[step]]\ndo = \"verify\"\n";
    const std::pair<std::string, std::string> table[] = {
        {"", "p.toml:1: step: expected 1 to 50 of [[step]]"},
        {"[plan]\nnmae = 1\n" + verify, "p.toml:2: [plan] nmae: unknown key; did you mean name?"},
        {"[plam]\n" + verify, "p.toml:1: plam: unknown section; did you mean plan?"},
        {"[[step]]\npercent = 1\n", "p.toml:1: [step] do: expected what is to be done"},
        {"[[step]]\ndo = \"dance\"\n", "p.toml:2: [step] do: expected \"start\" or"},
        {verify + "percent = 5\n", "p.toml:3: [step] percent: unknown key"},
        {"[[step]]\ndo = \"shift\"\nwatch_seconds = 60\n", "[step] percent: expected"},
        {"[[step]]\ndo = \"shift\"\npercent = 101\nwatch_seconds = 60\n",
         "p.toml:3: [step] percent: expected a number from 0 to 100"},
        {"[[step]]\ndo = \"shift\"\npercent = 5\nwatch_seconds = 1\n",
         "p.toml:4: [step] watch_seconds: expected at least window_seconds (30)"},
        {"[plan]\nwindow_seconds = 5\n" + verify,
         "p.toml:2: [plan] window_seconds: expected at least two times interval_seconds"},
        {"[plan]\nwindow_seconds = 201\ninterval_seconds = 0.1\n" + verify,
         "p.toml:2: [plan] window_seconds: expected at most 2000 times interval_seconds"},
        {verify + "[[step]]\ndo = \"start\"\n", "p.toml:4: [step] do: expected start as the first"},
        {verify + "[[step]]\ndo = \"finish\"\n",
         "p.toml:4: [step] do: expected finish after cutover"},
        {verify + "[[step]]\ndo = \"soak\"\nwatch_seconds = 60\n",
         "p.toml:4: [step] do: expected soak right after cutover"},
        {"[guardrails]\nerror_rate_max = \"low\"\n" + verify,
         "p.toml:2: [guardrails] error_rate_max: expected a number from 0 to 1"},
        {"[[step]\n", "p.toml:1: not TOML"},
    };
    for (const auto& [text, expected] : table) {
        const std::string told = refused(text);
        EXPECT_NE(told.find(expected), std::string::npos) << text << "\n-> " << told;
    }
    const std::string shift = "[[step]]\ndo = \"shift\"\nwatch_seconds = 60\npercent = ";
    EXPECT_NE(
        refused(shift + "50\n" + shift + "25\n").find("p.toml:8: [step] percent: expected more"),
        std::string::npos);
}

TEST(PlanFile, IsReadUpToItsLimit) {
    const auto why = [](const std::string& file) {
        const auto text = read_plan_file(file);
        return text ? "" : text.error().detail;
    };
    EXPECT_EQ(why("/nowhere/plan.toml"),
              "/nowhere/plan.toml: the plan cannot be read: No such file or directory");
    EXPECT_EQ(why("/tmp"), "/tmp: the plan cannot be read: Is a directory");
}

}  // namespace
}  // namespace segue::proxy
