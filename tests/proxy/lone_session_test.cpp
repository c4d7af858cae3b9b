#include "proxy/lone_session.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;

constexpr int half = static_cast<int>(turns_of_half_a_trial);

// A session whose turns take so long, without looks and with them.
class Lone : public testing::Test {
protected:
    bool turn(const void* session,
              std::chrono::microseconds without,
              std::chrono::microseconds with) {
        now += looked ? with : without;
        lone.brought(session);
        looked = lone.begin(now) > 0us;
        if (looked) lone.looked();
        return looked;
    }
    bool faster(const void* session) { return turn(session, 100us, 80us); }
    bool no_faster(const void* session) { return turn(session, 100us, 95us); }
    // The first trial is about to begin.
    void alone() {
        for (int i = 1; i < turns_alone_min; ++i) EXPECT_FALSE(faster(&one));
    }

    std::atomic<bool> looking = false;
    LoneSession lone{100us, &looking};
    LoneSession::Clock::time_point now{};
    bool looked = false;
    int one = 0, another = 0;
};

TEST_F(Lone, LooksAsLongAsThatIsFaster) {
    alone();
    for (int i = 1; i < half; ++i) ASSERT_FALSE(faster(&one)) << i;
    for (int i = 0; i < half + turns_between_trials; ++i) ASSERT_TRUE(faster(&one)) << i;
    for (int i = 0; i < half; ++i) ASSERT_FALSE(faster(&one)) << "the next trial, " << i;
    EXPECT_TRUE(faster(&one));
}

TEST_F(Lone, LooksSeldomWhereThatIsNoFaster) {
    alone();
    int looks = 0;
    for (int i = 0; i < 40 * turns_between_trials; ++i) looks += no_faster(&one);
    // After 2048 turns, 4096, 8192, 16384, and one is left.
    EXPECT_GE(looks, 2 * half);
    EXPECT_LE(looks, 6 * half);
    // As soon as it is, it does.
    for (int i = 0; i < 2 * turns_between_trials_max; ++i) faster(&one);
    looks = 0;
    for (int i = 0; i < turns_between_trials; ++i) looks += faster(&one);
    EXPECT_GE(looks, turns_between_trials - half);
}

TEST_F(Lone, AFewLongTurnsDecideNothing) {
    alone();
    for (int i = 1; i < half; ++i) faster(&one);
    for (int i = 0; i < half; ++i) {
        if (i % 8 == 1) now += 5ms;
        ASSERT_TRUE(faster(&one));
    }
    EXPECT_TRUE(faster(&one));
}

TEST_F(Lone, LooksOnlyForASessionThatIsAlone) {
    alone();
    for (int i = 0; i < 3 * half; ++i) faster(&one);
    ASSERT_TRUE(looked);
    for (int i = 1; i < turns_alone_min; ++i) EXPECT_FALSE(faster(&another));
    EXPECT_TRUE(faster(&another)) << "what was found holds for the machine";
    for (int i = 0; i < 2 * turns_alone_min; ++i) {
        lone.brought(&one);
        EXPECT_FALSE(faster(&another)) << "two in one turn";
    }
}

TEST_F(Lone, LooksOnceForWhatHasCome) {
    alone();
    for (int i = 0; i < 3 * half; ++i) faster(&one);
    ASSERT_TRUE(looked);
    EXPECT_EQ(lone.begin(now), 0us) << "nothing has come in this turn";
    EXPECT_TRUE(faster(&one)) << "nor has anybody else's";
}

TEST_F(Lone, OneThreadAtATime) {
    alone();
    for (int i = 0; i < 3 * half; ++i) faster(&one);
    ASSERT_TRUE(looked);
    looking = true;
    EXPECT_FALSE(faster(&one));
    looking = false;
    EXPECT_TRUE(faster(&one));
    EXPECT_FALSE(looking);
}

TEST_F(Lone, NeverWhereItIsSwitchedOff) {
    LoneSession never{0us, nullptr};
    for (int i = 0; i < 4 * half; ++i) {
        never.brought(&one);
        EXPECT_EQ(never.begin(now += 100us), 0us);
    }
}

}  // namespace
}  // namespace segue::proxy
