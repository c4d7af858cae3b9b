#include "proxy/events.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace segue::proxy {
namespace {

using backfill::Event;
using namespace std::chrono_literals;

Event event(std::chrono::milliseconds at, std::string detail) {
    return {std::chrono::system_clock::time_point{at}, "verb", std::move(detail)};
}

std::string shown(const std::vector<ToldEvent>& events) {
    std::string text;
    for (const ToldEvent& one : events)
        text += (text.empty() ? "" : " ") + one.event.detail + "/" + std::string{one.where()};
    return text;
}

TEST(Events, TellsOnceWhatBothSidesKeep) {
    EXPECT_EQ(
        shown(merged({event(10ms, "a"), event(20ms, "b")}, {event(11ms, "a"), event(21ms, "b")})),
        "a/both b/both");
    EXPECT_EQ(shown(merged({}, {})), "");
}

TEST(Events, WhatOneSideMissedStandsInItsPlace) {
    const std::vector<Event> all = {event(10ms, "a"), event(20ms, "b"), event(30ms, "c")};
    EXPECT_EQ(shown(merged(all, {all[0], all[2]})), "a/both b/source c/both");
    EXPECT_EQ(shown(merged({all[2]}, all)), "a/target b/target c/both");
    EXPECT_EQ(shown(merged(all, {})), "a/source b/source c/source");
}

TEST(Events, TheSameWordsAreTheSameEventOnlyAtTheSameTime) {
    EXPECT_EQ(shown(merged({event(0ms, "a"), event(1h, "a")}, {event(1h + 2s, "a")})),
              "a/source a/both");
}

// As where the two lists are cut at different places: the same verb twice in a minute.
TEST(Events, WhatHappenedTwiceTearsNothingBetweenApart) {
    EXPECT_EQ(shown(merged({event(1s, "x"), event(2s, "a"), event(3s, "b"), event(4s, "x")},
                           {event(2s, "a"), event(3s, "b"), event(4s, "x")})),
              "x/source a/both b/both x/both");
    EXPECT_EQ(shown(merged({event(2s, "a"), event(4s, "x")},
                           {event(1s, "x"), event(2s, "a"), event(3s, "b"), event(4s, "x")})),
              "x/target a/both b/target x/both");
}

TEST(Events, ClocksThatAreApartMakeNoEventTwo) {
    EXPECT_EQ(
        shown(merged({event(10s, "a"), event(20s, "b")}, {event(190s, "a"), event(200s, "b")})),
        "a/both b/both");
}

TEST(Events, TellsWhatIsOnOneSideOnly) {
    const auto told = merged({event(10ms, "cutover: done")}, {});
    EXPECT_EQ(events_text(told),
              "1970-01-01T00:00:00.010Z  verb  cutover: done  (only on the source)\n");
    EXPECT_EQ(events_json(told)[0]["on"], "source");
}

}  // namespace
}  // namespace segue::proxy
