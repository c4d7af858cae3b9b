// `segue auto` between real servers: a plan from its first step to its last, a follower that dies
// while it answers reads, a cutover that takes itself back, with Segue killed in the middle of the
// watch over it. One pair of servers for all of it.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// Read all the time and write now and then; connect again when they have to.
class Clients {
public:
    explicit Clients(const std::string& url) {
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this, url, i] { work(url, i); });
    }
    ~Clients() {
        stopping_ = true;
        for (std::thread& thread : threads_) thread.join();
    }
    void rest(bool resting) { resting_ = resting; }
    void err(bool erring) { erring_ = erring; }
    int failures() const { return failures_; }

private:
    void work(const std::string& url, int number) {
        const std::string row = std::to_string(number + 1);
        while (!stopping_) {
            Sql sql{url};
            for (int i = 0; sql.connected() && !stopping_; ++i) {
                const bool waits = resting_;
                if (waits) pause_between_polls();
                if (waits) continue;
                const std::string statement =
                    i % 20 == 0 ? "UPDATE app.keyed SET revision = revision + 1 WHERE id = " + row
                                : "SELECT body FROM app.keyed WHERE id = " + row;
                const Answer answer = sql.attempt(erring_ ? "SELECT 1 / 0" : statement);
                if (!answer.ok && !erring_) ++failures_;
                if (answer.connection_lost) break;
            }
            if (!stopping_) pause_between_polls();
        }
    }

    std::atomic<bool> stopping_{false}, resting_{false}, erring_{false};
    std::atomic<int> failures_{0};
    std::vector<std::thread> threads_;
};

// What a busy machine may do to a figure is no breach here.
const std::string head =
    "[plan]\ninterval_seconds = 0.2\nwindow_seconds = 1\nbreaches = 2\nretry_seconds = 1\n"
    "attempts = 1000\n"
    "[guardrails]\nsamples_min = 5\nrate_samples_min = 5\nerror_rate_max = 0.5\nfallback_rate_max "
    "= 1\n"
    "latency_slack_ms = 60000\nlag_seconds_max = 600\n";

std::string watched(const std::string& deed, int percent, const std::string& seconds) {
    return "[[step]]\ndo = \"" + deed + "\"\npercent = " + std::to_string(percent) +
           "\nwatch_seconds = " + seconds + "\n";
}
std::string once(const std::string& deed) { return "[[step]]\ndo = \"" + deed + "\"\n"; }

class Auto {
public:
    explicit Auto(SegueProcess& segue) : segue_(segue) {}

    std::string plan(const std::string& text) const {
        const auto file = segue_.folder() / "plan.toml";
        write_file(file, head + text);
        return file;
    }
    bool wait(const std::string& key, const json& value) {
        return segue_.wait_status("/auto/" + key, value, 120s);
    }

private:
    SegueProcess& segue_;
};

TEST(AutoLife, FollowsPlansToTheEndAndBack) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    SegueProcess& segue = move.segue();
    segue.run();
    Auto pilot{segue};
    Clients clients{move.through()};
    {
        SCOPED_TRACE("a plan that is none");
        const CommandResult refused = segue.verb({"auto", pilot.plan(once("dance"))});
        EXPECT_EQ(refused.exit_code, 2);
        EXPECT_NE(refused.err.find("[step] do: expected"), std::string::npos) << refused.err;
    }
    {
        SCOPED_TRACE("from the start to the soak's end");
        const std::string plan =
            pilot.plan(once("start") + once("verify") + watched("shadow", 100, "1") +
                       watched("shift", 50, "1") + watched("shift", 100, "1") + once("cutover") +
                       watched("soak", 0, "1"));
        const CommandResult dry = segue.expect_done({"auto", plan, "--dry-run"});
        EXPECT_NE(dry.out.find("> start  `segue start`"), std::string::npos) << dry.out;
        const CommandResult followed = segue.expect_done({"auto", plan}, 400s);
        EXPECT_NE(followed.out.find("shift 100 %  advance: watched for"), std::string::npos)
            << followed.out;
        EXPECT_TRUE(segue.wait_status("/authority", "target"));
        EXPECT_TRUE(pilot.wait("state", "done"));
        EXPECT_EQ(clients.failures(), 0);
        EXPECT_TRUE(eventually(60s, [&] {
            const std::string events = segue.expect_done({"events"}).out;
            return events.find("soak: advance: watched for") != std::string::npos;
        }));
    }
    ASSERT_TRUE(!HasFailure() && segue.change("rollback"));
    ASSERT_TRUE(segue.wait_status("/rollback_ready", true, 120s));
    {
        SCOPED_TRACE("a follower that dies at a shift of 50 percent");
        const std::string plan = pilot.plan(watched("shift", 50, "3600"));
        segue.expect_done({"auto", plan, "--detach"});
        ASSERT_TRUE(pilot.wait("step", "shift 50 %"));
        ASSERT_TRUE(pilot.wait("code", "watching"));
        segue.expect_done({"shift", "10"});
        ASSERT_TRUE(pilot.wait("paused_because", "taken_over"));
        segue.expect_done({"auto", "resume"});
        ASSERT_TRUE(pilot.wait("step", "shift 50 %"));
        ASSERT_TRUE(pilot.wait("code", "watching"));
        move.target().stop(Stop::immediate);
        ASSERT_TRUE(pilot.wait("paused_because", "went_back"));
        EXPECT_TRUE(segue.wait_status("/shift/percent", 0));
        EXPECT_LE(clients.failures(), 2) << "but for an answer that was cut in its middle";
        move.target().start();
        ASSERT_TRUE(segue.wait_status("/rollback_ready", true, 120s));
    }
    {
        SCOPED_TRACE("a cutover that takes itself back");
        const std::string plan = pilot.plan(once("cutover") + watched("soak", 0, "1"));
        clients.rest(true);
        segue.expect_done({"auto", plan, "--detach"});
        ASSERT_TRUE(pilot.wait("step", "soak"));
        ASSERT_TRUE(pilot.wait("code", "transactions")) << "nobody knows how it goes: it holds";
        segue.kill();
        segue.run();
        ASSERT_TRUE(pilot.wait("code", "transactions")) << "it goes on after a restart";
        EXPECT_TRUE(segue.wait_status("/authority", "target"));
        clients.err(true);
        clients.rest(false);
        ASSERT_TRUE(pilot.wait("paused_because", "went_back"));
        EXPECT_TRUE(segue.wait_status("/authority", "source"));
        clients.err(false);
    }
    clients.rest(true);
    move.expect_equal_soon();
}

TEST(AutoLife, IsTakenOverThroughAnySegueOfTheMigration) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    SegueProcess& segue = move.segue();
    Auto pilot{segue};
    segue.expect_done({"auto", pilot.plan(watched("shadow", 10, "3600")), "--detach"});
    ASSERT_TRUE(pilot.wait("step", "shadow 10 %"));
    ASSERT_TRUE(segue.wait_status("/shadow/percent", 10));
    SegueProcess another{move.segue_options()};
    another.run();
    ASSERT_TRUE(another.wait_status("/authority", "source"));
    ASSERT_TRUE(another.until_done({"shift", "25"}));
    EXPECT_TRUE(pilot.wait("paused_because", "taken_over"));
    EXPECT_TRUE(segue.wait_status("/shift/percent", 25)) << "what is on record holds here, too";
    ASSERT_TRUE(another.until_done({"shift", "0"}));
    EXPECT_TRUE(segue.wait_status("/shift/percent", 0));
}

}  // namespace
}  // namespace segue::test
