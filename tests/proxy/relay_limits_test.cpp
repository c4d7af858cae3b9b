// Which reads a shift is about: limits, and a percentage of statements or of sessions.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "reads_rig.hpp"

namespace segue::proxy {
namespace {

using router::ShareOf;
using router::ShiftScope;

struct LimitsTest : testing::Test {
    backfill::AppliedPosition applied[2];
    Positions positions{{[](Side) -> Result<Positions::LogEnd> {
                             return Positions::LogEnd{Position{100}, Position{100}};
                         },
                         [](Side) -> Status { return Done{}; }}};
    Traffic traffic;
    Reads reads{traffic, [](Side side) {
                    auto loaded = catalog_with_t(side);
                    loaded->catalog.relations["u"] = loaded->catalog.relations["t"];
                    return loaded;
                }};
    std::unique_ptr<RelayRig> rig;
    std::map<std::uint64_t, Scene> scenes;

    void SetUp() override {
        reads.load_catalog(Side::target);
        applied[0].publish(Position{100});
        RelayPeers peers;
        peers.positions = &positions;
        peers.applied[0] = &applied[0];
        peers.applied[1] = &applied[1];
        peers.reads = &reads;
        peers.prepare = [](std::uint64_t) {};
        rig = std::make_unique<RelayRig>(peers);
        positions.start();
    }
    void TearDown() override {
        rig.reset();
        positions.stop();
    }
    void shift(double percent, const ShiftScope& scope) {
        traffic.shift_rules.set(scope);
        traffic.shift_percent = percent;
    }
    void adopt(std::uint64_t id, const StartupParameters& startup) {
        scenes[id] = rig->adopt(id, true);
        rig->thread.with_session(id, [&](Session& session) { session.startup = startup; });
        answer_as_authority(id, query("BEGIN"), complete("BEGIN") + ready('T'));
        answer_as_authority(id, query("COMMIT"), complete("COMMIT") + ready('I'));
        probe(id, {});
    }
    // The session is lent and comes back with its state known.
    void probe(std::uint64_t id, const std::vector<std::pair<std::string, std::string>>& settings) {
        rig->thread.lend(id, [this, id, settings](std::unique_ptr<Session> session) {
            ASSERT_TRUE(session);
            session->touched_since_probe = false;
            session->other_state.emplace().settings = settings;
            rig->thread.take_back(id, std::move(session), "");
        });
        rig->settle();
    }
    void answer_as_authority(std::uint64_t id,
                             const std::string& request,
                             const std::string& reply) {
        scenes[id].client->say(request);
        rig->settle();
        ASSERT_EQ(scenes[id].server->heard(), request);
        scenes[id].server->say(reply);
        rig->settle();
        ASSERT_EQ(scenes[id].client->heard(), reply);
    }
    // Whether the follower was asked.
    bool shifted(std::uint64_t id, const std::string& read = read_t) {
        Scene& scene = scenes[id];
        scene.client->say(read);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
        std::string follower, authority;
        while (follower.empty() && authority.empty()) {
            rig->thread.turn(std::chrono::milliseconds{1});
            follower = scene.other->heard();
            authority = scene.server->heard();
            if (std::chrono::steady_clock::now() > deadline) return false;
        }
        if (follower.empty()) {
            scene.server->say(answer + ready('I'));
        } else {
            scene.other->say(wrapped(answer));
        }
        rig->settle();
        EXPECT_EQ(scene.client->heard(), answer + ready('I'));
        return !follower.empty();
    }
};

TEST_F(LimitsTest, APercentageOfStatementsIsOfThoseWithinTheLimits) {
    shift(30, {ShareOf::statements, {"app"}, {}, {"shop"}, {}});
    adopt(1, {{"user", "app"}, {"database", "shop"}});
    adopt(2, {{"user", "web"}, {"database", "shop"}});
    adopt(3, {{"user", "app"}});  // Of the database that has its name.
    int first = 0, others = 0;
    for (int i = 0; i < 1000; ++i) {
        first += shifted(1) ? 1 : 0;
        others += shifted(2) ? 1 : 0;
    }
    EXPECT_NEAR(first, 300, 20);
    EXPECT_EQ(others, 0);
    EXPECT_FALSE(shifted(3));
    shift(0, {});
    EXPECT_FALSE(shifted(1));
}

TEST_F(LimitsTest, OnlyReadsOfTheTableAndAnotherRuleCountsAtOnce) {
    shift(100, {ShareOf::statements, {}, {}, {}, {"public.t"}});
    adopt(1, {{"user", "app"}});
    EXPECT_TRUE(shifted(1));
    EXPECT_FALSE(shifted(1, query("SELECT * FROM u")));
    EXPECT_FALSE(shifted(1, query("SELECT * FROM t, u")));
    shift(100, {ShareOf::statements, {}, {}, {}, {"u"}});
    EXPECT_FALSE(shifted(1));
    EXPECT_TRUE(shifted(1, query("SELECT * FROM u")));
}

TEST_F(LimitsTest, TheApplicationIsThatOfTheLoginUntilTheSessionNamesAnother) {
    shift(100, {ShareOf::statements, {}, {"reports"}, {}, {}});
    adopt(1, {{"user", "app"}, {"application_name", "reports"}});
    adopt(2, {{"user", "app"}, {"application_name", "web"}});
    EXPECT_TRUE(shifted(1));
    EXPECT_FALSE(shifted(2));
    const std::string set = query("SET application_name = 'reports'");
    answer_as_authority(2, set, complete("SET") + ready('I'));
    EXPECT_FALSE(shifted(2)) << "not known yet";
    probe(2, {{"application_name", "reports"}});
    EXPECT_TRUE(shifted(2));
    answer_as_authority(1, query("SET application_name = 'web'"), complete("SET") + ready('I'));
    probe(1, {{"application_name", "web"}});
    EXPECT_FALSE(shifted(1));
}

TEST_F(LimitsTest, APercentageOfSessionsIsOfSessionsThatStayWhereTheyAre) {
    constexpr std::uint64_t sessions = 40;
    shift(25, {ShareOf::sessions, {"app"}, {}, {}, {}});
    for (std::uint64_t id = 1; id <= sessions; ++id) adopt(id, {{"user", "app"}});
    adopt(sessions + 1, {{"user", "web"}});
    const auto chosen = [&](int reads_each) {
        std::vector<std::uint64_t> ids;
        for (std::uint64_t id = 1; id <= sessions; ++id) {
            int times = 0;
            for (int i = 0; i < reads_each; ++i) times += shifted(id) ? 1 : 0;
            EXPECT_TRUE(times == 0 || times == reads_each) << id;
            if (times > 0) ids.push_back(id);
        }
        return ids;
    };
    const auto quarter = chosen(50);
    EXPECT_EQ(quarter.size(), 10u);
    EXPECT_EQ(reads.shift_report().sessions_chosen, 10u);
    EXPECT_EQ(reads.shift_report().sessions_reading, sessions);
    EXPECT_FALSE(shifted(sessions + 1));
    shift(50, {ShareOf::sessions, {"app"}, {}, {}, {}});
    const auto half = chosen(2);
    EXPECT_EQ(half.size(), 20u);
    EXPECT_TRUE(std::includes(half.begin(), half.end(), quarter.begin(), quarter.end()));
    // One that ends leaves its place to the next.
    scenes[half.front()].client->close();
    scenes[half.front()].server->close();
    rig->settle();
    EXPECT_EQ(reads.shift_report().sessions_chosen, 19u);
    adopt(100, {{"user", "app"}});
    EXPECT_TRUE(shifted(100));
}

}  // namespace
}  // namespace segue::proxy
