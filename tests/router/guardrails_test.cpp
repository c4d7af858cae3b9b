#include "router/guardrails.hpp"

#include <gtest/gtest.h>

#include "tests/router/autopilot_support.hpp"

namespace segue::router {
namespace {

using std::chrono::seconds;
using test::plan_of;
using test::step;

// One step that is watched while clients do the same every second.
struct Rig {
    explicit Rig(PlanStep of) : plan(plan_of({of})) {
        plan.steps[0].guardrails.samples_min = 100;
        counters = {1000, 0, 1000, 0, 1000, 10, 0.5, true, 1000};
        restart();
    }
    void restart() { watch = Watch{now, {counters, statements}}; }
    Judgement pass(int times = 1) {
        Judgement last;
        for (int i = 0; i < times; ++i) {
            now += seconds{1};
            for (auto* sum : {&counters.compared,
                              &counters.served,
                              &counters.transactions,
                              &counters.requests}) {
                if (*sum && sum != silent) **sum += 50;
            }
            watch.look(now, counters, plan.window, plan.steps[0].guardrails.rate_samples_min);
            last = judge(plan, plan.steps[0], watch, {counters, statements}, shadow_percent, now);
            if (last.finding == Finding::good || last.finding == Finding::waiting) watch.count();
        }
        return last;
    }
    void add(const std::string& statement,
             std::uint64_t count,
             double authority_ms,
             double follower_ms) {
        StatementFigure& sums = statements[statement];
        sums.compared += count;
        sums.authority += Seconds{authority_ms / 1000} * static_cast<double>(count);
        sums.follower += Seconds{follower_ms / 1000} * static_cast<double>(count);
    }

    AutoPlan plan;
    Counters counters;
    std::map<std::string, StatementFigure> statements;
    std::optional<std::uint64_t>* silent = nullptr;
    double shadow_percent = 100;
    Moment now{seconds{100}};
    Watch watch;
};

TEST(Guardrails, AreGoodOnlyAfterTheTimeAndWithTheSamples) {
    Rig rig{step(Deed::shadow, 10)};
    rig.plan.steps[0].guardrails.samples_min = 600;
    EXPECT_EQ(rig.pass(9).code, "samples");
    EXPECT_EQ(rig.pass(2).code, "samples");
    const Judgement good = rig.pass();
    EXPECT_EQ(good.finding, Finding::good) << good.reason;
    rig.plan.steps[0].watch = Seconds{20};
    EXPECT_EQ(rig.pass().code, "watching");
    EXPECT_EQ(rig.pass(7).finding, Finding::good);
}

TEST(Guardrails, AFigureThatIsMissingIsUnknownWhateverTheOthersSay) {
    using Count = std::optional<std::uint64_t> Counters::*;
    const auto missing = [](const PlanStep& of, Count which) {
        Rig rig{of};
        rig.pass(20);
        rig.counters.*which = std::nullopt;
        return rig.pass(20).finding;
    };
    for (const PlanStep& of :
         {step(Deed::shadow, 10), step(Deed::shift, 10), step(Deed::soak, 5)}) {
        SCOPED_TRACE(title(of));
        for (const Count which :
             {&Counters::compared, &Counters::different, &Counters::requests, &Counters::errors})
            EXPECT_EQ(missing(of, which), Finding::unknown);
        if (of.deed == Deed::shift) continue;  // It goes by the reads that are served.
        EXPECT_EQ(missing(of, &Counters::transactions), Finding::unknown);
    }
    EXPECT_EQ(missing(step(Deed::shift, 10), &Counters::served), Finding::unknown);
    EXPECT_EQ(missing(step(Deed::shift, 10), &Counters::fallbacks), Finding::unknown);
    Rig rig{step(Deed::shift, 10)};
    rig.counters.lag_seconds.reset();
    EXPECT_EQ(rig.pass(20).code, "lag");
    rig.counters = {1000, 0, 1000, 0, 1000, 10, 0.5, std::nullopt, 1000};
    EXPECT_EQ(rig.pass(20).finding, Finding::unknown);
}

TEST(Guardrails, AFigureThatHasGoneSilentIsUnknownThoughClientsGoOn) {
    const auto silence = [](const PlanStep& of, auto which) {
        Rig rig{of};
        EXPECT_EQ(rig.pass(20).finding, Finding::good);
        rig.silent = &(rig.counters.*which);
        const Judgement at_first = rig.pass(3);
        EXPECT_EQ(at_first.finding, Finding::good) << "a pause is no silence: " << at_first.reason;
        return rig.pass(3);
    };
    EXPECT_EQ(silence(step(Deed::shadow, 10), &Counters::compared).code, "compared");
    EXPECT_EQ(silence(step(Deed::shadow, 10), &Counters::transactions).code, "transactions");
    EXPECT_EQ(silence(step(Deed::shift, 10), &Counters::compared).code, "compared");
    const Judgement served = silence(step(Deed::shift, 10), &Counters::served);
    EXPECT_EQ(served.finding, Finding::unknown);
    EXPECT_NE(served.reason.find("reads answered by the follower has not grown for 5.0 s"),
              std::string::npos)
        << served.reason;
    EXPECT_EQ(silence(step(Deed::soak), &Counters::transactions).code, "transactions");
}

// It need not last as long as the window: nothing has been seen at all.
TEST(Guardrails, AWatchThatHasSeenNothingYetIsUnknown) {
    Rig rig{step(Deed::soak)};
    rig.plan.window = Seconds{100};
    rig.watch = Watch{rig.now, {rig.counters, rig.statements}, {Seconds{3600}, 100000, 0}};
    rig.silent = &rig.counters.transactions;
    const Judgement silent = rig.pass(2);
    EXPECT_EQ(silent.finding, Finding::unknown);
    EXPECT_EQ(silent.code, "transactions");
    EXPECT_NE(silent.reason.find("has not grown for 2.0 s"), std::string::npos) << silent.reason;
    rig.silent = nullptr;
    EXPECT_EQ(rig.pass().finding, Finding::waiting) << "one transaction does not make a window";
    EXPECT_EQ(rig.pass(100).finding, Finding::good);
}

TEST(Guardrails, ComparisonsAreNeededOnlyWhereThereCanBeSome) {
    Rig rig{step(Deed::shift, 100)};
    rig.silent = &rig.counters.compared;
    EXPECT_EQ(rig.pass(20).finding, Finding::good);
    rig.plan.steps[0].percent = 50;
    EXPECT_EQ(rig.pass(20).code, "compared");
    rig.shadow_percent = 0;
    EXPECT_EQ(rig.pass(20).finding, Finding::good);
}

TEST(Guardrails, ACounterThatWentBackIsAnothersAndUnknown) {
    Rig rig{step(Deed::shadow, 10)};
    rig.pass(20);
    *rig.counters.compared = 5;
    EXPECT_EQ(rig.pass().finding, Finding::unknown);
}

TEST(Guardrails, DifferencesCountSinceTheStepBegan) {
    Rig rig{step(Deed::shadow, 10)};
    rig.counters.different = 7;
    rig.restart();
    EXPECT_EQ(rig.pass(20).finding, Finding::good);
    rig.counters.different = 8;
    const Judgement breach = rig.pass();
    EXPECT_EQ(breach.finding, Finding::breach);
    EXPECT_EQ(breach.code, "differences");
    rig.plan.steps[0].guardrails.differences_max = 1;
    EXPECT_EQ(rig.pass().finding, Finding::good);
}

TEST(Guardrails, ErrorsAreARateOfTheWindow) {
    Rig rig{step(Deed::soak)};
    rig.pass(20);
    *rig.counters.errors += 100;  // Of 250 requests in the window, and of 1000 altogether.
    const Judgement breach = rig.pass();
    EXPECT_EQ(breach.code, "errors") << breach.reason;
    EXPECT_EQ(breach.finding, Finding::breach);
    EXPECT_EQ(rig.pass(6).finding, Finding::good) << "it is over";
}

// Ten statements in one transaction that fails are not ten errors in one.
TEST(Guardrails, ErrorsAreARateOfRequestsNotOfTransactions) {
    Rig rig{step(Deed::soak)};
    for (int i = 0; i < 20; ++i) {
        *rig.counters.requests += 450;
        *rig.counters.errors += 20;  // 4 % of the requests, 40 % of the transactions.
        rig.pass();
    }
    const Judgement good = rig.pass();
    EXPECT_EQ(good.finding, Finding::good) << good.reason;
}

TEST(Guardrails, NoRateIsMadeOfAHandful) {
    Rig rig{step(Deed::soak)};
    rig.plan.steps[0].guardrails.samples_min = 0;
    rig.silent = &rig.counters.requests;
    *rig.counters.requests += 99;
    *rig.counters.errors += 99;
    EXPECT_NE(rig.pass(20).finding, Finding::breach);
    *rig.counters.errors += 1;  // But nothing than errors is a rate.
    EXPECT_EQ(rig.pass().finding, Finding::breach);
}

// One request in five seconds, every second one an error: no window has enough of them.
TEST(Guardrails, ManyGoodRequestsDoNotHideThatAllOfTheFewLaterOnesFail) {
    for (const Deed deed : {Deed::soak, Deed::shift}) {
        Rig rig{step(deed, 10)};
        rig.pass(2000);
        auto* const good = deed == Deed::soak ? &rig.counters.requests : &rig.counters.served;
        auto* const bad = deed == Deed::soak ? &rig.counters.errors : &rig.counters.fallbacks;
        rig.silent = good;
        int failed = 0;
        for (Finding found = Finding::good; found != Finding::breach && failed < 1000; ++failed) {
            if (deed == Deed::soak) ++**good;
            ++**bad;
            found = rig.pass().finding;
        }
        EXPECT_LE(failed, 100) << name(deed);
    }
}

TEST(Guardrails, WhereFewRequestsComeTheRateIsThatOfTheLastOnes) {
    Rig rig{step(Deed::soak)};
    rig.silent = &rig.counters.requests;
    int before = 0;
    Judgement last;
    for (; last.finding != Finding::breach && before < 2000; ++before) {
        *rig.counters.requests += before % 5 == 0 ? 1 : 0;
        *rig.counters.errors += before % 10 == 0 ? 1 : 0;
        last = rig.pass();
    }
    EXPECT_EQ(last.code, "errors") << last.reason;
    EXPECT_EQ(before, 496) << "once there are a hundred";
}

TEST(Guardrails, FallbacksAreARateOfTheReadsThatWereChosen) {
    Rig rig{step(Deed::shift, 10)};
    rig.pass(20);
    *rig.counters.fallbacks += 20;
    EXPECT_EQ(rig.pass().finding, Finding::good);
    *rig.counters.fallbacks += 200;
    EXPECT_EQ(rig.pass().code, "fallbacks");
}

TEST(Guardrails, OneSlowStatementIsNotHiddenByManyFastOnes) {
    Rig rig{step(Deed::shadow, 10)};
    rig.add("SELECT slow", 1000, 1, 900);  // Before its index was made.
    rig.restart();
    rig.add("SELECT fast", 1'000'000, 0.1, 0.1);
    EXPECT_EQ(rig.pass(20).finding, Finding::good);
    rig.add("SELECT slow", latency_samples_min - 1, 1, 50);
    EXPECT_EQ(rig.pass().finding, Finding::good) << "too few to tell";
    rig.add("SELECT slow", 1, 1, 50);
    const Judgement breach = rig.pass();
    EXPECT_EQ(breach.finding, Finding::breach);
    EXPECT_EQ(breach.code, "latency");
    EXPECT_EQ(breach.reason.find("SELECT"), std::string::npos) << "it goes into the account";
}

TEST(Guardrails, ALatencyWithinTheSlackIsNone) {
    Rig rig{step(Deed::shadow, 10)};
    rig.add("SELECT 1", 1000, 0.1, 4);
    EXPECT_EQ(rig.pass(20).finding, Finding::good);
    rig.plan.steps[0].guardrails.latency_slack = Seconds{0.001};
    EXPECT_EQ(rig.pass().finding, Finding::breach);
}

// In a soak the authority is the new server, and the old one may be as slow as it likes.
TEST(Guardrails, ASoakSuspectsTheAuthority) {
    Rig quick{step(Deed::soak, 10)};
    quick.add("SELECT 1", 1000, 1, 50);
    EXPECT_NE(quick.pass(20).finding, Finding::breach);
    Rig slow{step(Deed::soak, 10)};
    slow.add("SELECT 1", 1000, 50, 1);
    const Judgement breach = slow.pass(20);
    EXPECT_EQ(breach.finding, Finding::breach);
    EXPECT_NE(breach.reason.find("on the authority and 1"), std::string::npos) << breach.reason;
}

TEST(Guardrails, AFollowerThatLagsOrIsGoneTakesNoReadsButTakesNoCutoverBack) {
    for (const bool gone : {false, true}) {
        for (const auto& [of, finding] : {std::pair{step(Deed::shift, 50), Finding::breach},
                                          std::pair{step(Deed::shadow, 50), Finding::unknown},
                                          std::pair{step(Deed::soak, 5), Finding::unknown}}) {
            SCOPED_TRACE(title(of));
            Rig rig{of};
            EXPECT_EQ(rig.pass(20).finding, Finding::good);
            if (gone) {
                rig.counters.follower_there = false;
                rig.counters.lag_seconds.reset();
            } else {
                rig.counters.lag_seconds = 10.5;
            }
            EXPECT_EQ(rig.pass().finding, finding);
        }
    }
}

TEST(Guardrails, RememberNoMoreThanTheWindowNeeds) {
    Watch watch{Moment{}, {}};
    Counters counters;
    for (int i = 1; i <= 1000; ++i) {
        counters.compared = static_cast<std::uint64_t>(i);
        watch.look(Moment{seconds{i}}, counters, Seconds{5}, 100);
        EXPECT_EQ(watch.window_full(Moment{seconds{i}}, Seconds{5}), i >= 5);
    }
    EXPECT_EQ(watch.window_first().compared, 995u);
}

TEST(Guardrails, RememberNoMoreThanTheirLimitWhateverTheWindow) {
    Watch watch{Moment{}, {}};
    Counters counters;
    for (int i = 1; i <= 3 * window_looks_max; ++i) {
        counters.compared = static_cast<std::uint64_t>(i);
        watch.look(Moment{seconds{i}}, counters, Seconds{1e9}, 100);
    }
    EXPECT_EQ(watch.window_first().compared, static_cast<std::uint64_t>(2 * window_looks_max + 1));
}

// The longest window that a plan may have, looked at as seldom as it may be.
TEST(Guardrails, AreGoodOnceTheLongestWindowIsOver) {
    Rig rig{step(Deed::shadow, 10)};
    rig.plan.interval = Seconds{1};
    rig.plan.window = rig.plan.interval * window_looks_max;
    rig.plan.steps[0].watch = Seconds{20};
    EXPECT_EQ(rig.pass(window_looks_max - 1).code, "watching");
    const Judgement good = rig.pass();
    EXPECT_EQ(good.finding, Finding::good) << good.reason;
    EXPECT_EQ(rig.pass(window_looks_max).finding, Finding::good);
}

// Silence, breaches, and time in which nobody looked, are no time that was watched.
TEST(Guardrails, OnlyTimeThatIsKnownToBeGoodCounts) {
    Rig rig{step(Deed::soak)};
    rig.plan.steps[0].watch = Seconds{1000};
    rig.pass(20);
    EXPECT_EQ(rig.watch.watched(), Seconds{20});
    rig.counters.lag_seconds.reset();
    EXPECT_EQ(rig.pass(50).finding, Finding::unknown);
    rig.counters.lag_seconds = 0.1;
    EXPECT_EQ(rig.pass(5).reason.substr(0, 30), "watched for 25 s of 1000 s, 37");
    rig.now += seconds{3600};  // Another verb ran.
    rig.pass();
    EXPECT_EQ(rig.watch.watched(), Seconds{30}) << "a window's worth";
}

TEST(Guardrails, GoOnFromWhatIsOnRecord) {
    Rig rig{step(Deed::shadow, 10)};
    rig.plan.steps[0].watch = Seconds{100};
    rig.plan.steps[0].guardrails.samples_min = 1000;
    rig.plan.steps[0].guardrails.differences_max = 3;
    rig.counters = {0, 0, 0, 0, 0, 0, 0.5, true, 0};  // Another process counts.
    rig.watch = Watch{rig.now, {rig.counters, {}}, {Seconds{95}, 800, 3}};
    EXPECT_EQ(rig.pass().reason, "850 comparisons of 1000 that are needed");
    EXPECT_EQ(rig.pass(4).finding, Finding::good);
    rig.counters.different = 1;
    const Judgement breach = rig.pass();
    EXPECT_EQ(breach.reason.substr(0, 7), "4 reads") << breach.reason;
}

TEST(Guardrails, TellEachFigureBesideItsLimit) {
    Rig rig{step(Deed::shift, 10)};
    rig.add("SELECT 1", 1000, 1, 50);
    const Judgement judged = rig.pass(20);
    std::map<std::string, Reading> told;
    for (const Reading& one : judged.readings) told[one.code] = one;
    EXPECT_EQ(told.size(), 5u);
    EXPECT_EQ(told["lag"], (Reading{"lag", 0.5, 10}));
    EXPECT_EQ(told["errors"], (Reading{"errors", 0.0, 0.05}));
    EXPECT_EQ(told["differences"], (Reading{"differences", 0.0, 0.0}));
    EXPECT_NEAR(told["latency"].value.value_or(0), 50, 0.01);
    rig.counters.fallbacks.reset();
    const Judgement then = rig.pass();
    EXPECT_EQ(then.readings.size(), 5u);
    for (const Reading& one : then.readings) {
        EXPECT_TRUE(one.value.has_value() || one.code == "fallbacks") << one.code;
    }
}

}  // namespace
}  // namespace segue::router
