// The figures that the console begins with.

#include "proxy/history.hpp"

#include <gtest/gtest.h>

#include "proxy/status.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;

json status_with(double compared,
                 double authority_ms,
                 double follower_ms,
                 const char* authority = "source") {
    json status = status_json(StatusInputs{});
    status["authority"] = authority;
    status["shadow_statements"] = json::array(
        {{{"compared", compared}, {"authority_ms", authority_ms}, {"follower_ms", follower_ms}}});
    return status;
}

WallTime minute(int number) {
    return WallTime{std::chrono::milliseconds{1'700'000'000'000}} + std::chrono::minutes{number};
}

TEST(History, LeavesOpenWhatIsNotKnown) {
    History history;
    history.add(minute(0), status_json(StatusInputs{}));
    const json sample = history.list()["samples"].at(0);
    EXPECT_EQ(sample["lag_bytes"], nullptr);
    EXPECT_EQ(sample["authority_ms"], nullptr);
    EXPECT_TRUE(sample["transactions"].is_number());
    EXPECT_TRUE(history.list()["changes"].empty());
}

TEST(History, TakesTheMeanOfWhatWasComparedSinceTheSampleBefore) {
    History history;
    history.add(minute(0), status_with(10, 1.0, 2.0));
    history.add(minute(1), status_with(40, 1.75, 5.0));  // Thirty more, of 2 and 6 ms.
    history.add(minute(2), status_with(40, 1.75, 5.0));
    history.add(minute(3), status_with(5, 1.0, 1.0));  // Another list.
    const json samples = history.list()["samples"];
    EXPECT_DOUBLE_EQ(samples[1]["authority_ms"], 2.0);
    EXPECT_DOUBLE_EQ(samples[1]["follower_ms"], 6.0);
    EXPECT_EQ(samples[2]["authority_ms"], nullptr);
    EXPECT_EQ(samples[3]["authority_ms"], nullptr);
}

// Which side was which is told by each sample: later it is the other one.
TEST(History, SaysWhoTheAuthorityWasAndMixesNoFiguresOfBothDirections) {
    History history;
    history.add(minute(0), status_with(10, 1.0, 2.0));
    history.add(minute(1), status_with(20, 1.0, 2.0));
    history.add(minute(2), status_with(30, 5.0, 1.0, "target"));  // Of thirty since the change.
    history.add(minute(3), status_with(40, 5.0, 1.0, "target"));
    const json samples = history.list()["samples"];
    EXPECT_EQ(samples[1]["authority"], "source");
    EXPECT_DOUBLE_EQ(samples[1]["authority_ms"], 1.0);
    EXPECT_EQ(samples[2]["authority"], "target");
    EXPECT_EQ(samples[2]["authority_ms"], nullptr);
    EXPECT_DOUBLE_EQ(samples[3]["authority_ms"], 5.0);
    EXPECT_DOUBLE_EQ(samples[3]["follower_ms"], 1.0);
}

TEST(History, NamesEachChangeOnceAndForgetsTheOldest) {
    History history;
    for (int i = 0; i <= static_cast<int>(history_samples_max); ++i) {
        json status = status_json(StatusInputs{});
        status["last_change"] = {
            {"at", format_time(minute(i / 2))}, {"kind", "cutover"}, {"longest_wait_ms", i}};
        history.add(minute(i), status);
    }
    const json list = history.list();
    EXPECT_EQ(list["samples"].size(), history_samples_max);
    EXPECT_EQ(list["samples"][0]["at"], format_time(minute(1)));
    ASSERT_EQ(list["changes"].size(), history_changes_max);
    EXPECT_EQ(
        list["changes"][0]["at"],
        format_time(minute(static_cast<int>(history_samples_max / 2 - history_changes_max + 1))));
}

}  // namespace
}  // namespace segue::proxy
