// Why status calls the way back not open, and what it warns of before anything is moved.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "proxy/screen.hpp"
#include "proxy/status.hpp"
#include "tests/proxy/busy_status.hpp"

namespace segue::proxy {
namespace {

using test::busy;

TEST(Status, NamesEveryReasonWhyTheWayBackIsNotOpen) {
    const auto blocked = [](auto spoil) {
        StatusInputs inputs = busy();
        spoil(inputs);
        return rollback_blockers(inputs).size();
    };
    EXPECT_EQ(blocked([](StatusInputs&) {}), 0u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.streams[0].connected = false; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.streams[1].reverse_ready = false; }), 1u);
    EXPECT_EQ(
        blocked([](StatusInputs& i) { i.mover.streams[1].lag_bytes = ready_lag_bytes_max + 1; }),
        1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.streams[0].lag_seconds = 60; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.streams[0].retained_log_bytes = 1000; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.streams[0].problem = "slot lost"; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.stray_writes = 1; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.mover.running = false; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.standing_blockers = {"an index is missing"}; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.board.verify.outcome = VerifyOutcome::different; }),
              1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.board.record->knobs.paused = true; }), 1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.board.record->phase = router::Phase::finished; }),
              1u);
    EXPECT_EQ(blocked([](StatusInputs& i) { i.board.record.reset(); }), 1u);
}

TEST(Status, ShowsTheFirstReasonsWhyTheWayBackIsNotOpenAndHowManyMoreThereAre) {
    StatusInputs inputs = busy();
    for (int i = 1; i <= 12; ++i)
        inputs.standing_blockers.push_back("index i" + std::to_string(i) + " is missing");
    const std::string screen = status_screen(status_json(inputs), Colours::off);
    EXPECT_NE(screen.find("index i10 is missing"), std::string::npos) << screen;
    EXPECT_EQ(screen.find("index i11 is missing"), std::string::npos) << screen;
    EXPECT_NE(screen.find("and 2 more: `segue status --json`"), std::string::npos) << screen;
}

TEST(Status, WarnsOfAServerThatCannotBeReachedBeforeTheMoverWouldTell) {
    const auto warned = [](const StatusInputs& inputs) {
        const auto all = warnings(inputs);
        return std::any_of(all.begin(), all.end(), [](const Warning& one) {
            return one.code == "out_of_reach" && one.text.find("the target") != std::string::npos;
        });
    };
    StatusInputs inputs = busy();
    inputs.board.out_of_reach[index(Side::target)] = "refused";
    EXPECT_FALSE(warned(inputs)) << "the stream is told of";
    inputs.board.record.reset();
    EXPECT_TRUE(warned(inputs));
}

// Its triggers go on to record each change of the schema.
TEST(Status, WarnsOfAStartThatDidNotComeToItsEnd) {
    const auto warned = [](const StatusInputs& inputs) {
        const auto all = warnings(inputs);
        return std::any_of(all.begin(), all.end(), [](const Warning& one) {
            return one.code == "start_not_ended" &&
                   one.text.find("`segue finish` takes it back") != std::string::npos;
        });
    };
    StatusInputs inputs = busy();
    EXPECT_FALSE(warned(inputs));
    inputs.board.record->epoch = 0;
    inputs.board.record->authority = Side::source;
    inputs.board.record->backfill = router::Backfill::none;
    EXPECT_TRUE(warned(inputs));
    inputs.board.current_verb = "start";
    EXPECT_FALSE(warned(inputs)) << "it is on its way there";
    inputs.board.current_verb.clear();
    inputs.board.record->epoch = 1003;
    EXPECT_FALSE(warned(inputs)) << "the rollback was forced";
    inputs.board.record.reset();
    EXPECT_FALSE(warned(inputs));
}

}  // namespace
}  // namespace segue::proxy
