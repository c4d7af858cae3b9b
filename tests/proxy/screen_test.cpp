// The status as one screen, also that of a `segue run` of another build.

#include "proxy/screen.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "proxy/status.hpp"
#include "tests/proxy/busy_status.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;
using test::busy;

TEST(Screen, IsPlainWithoutATerminal) {
    const std::string screen = status_screen(status_json(busy()), Colours::off);
    EXPECT_EQ(screen.find('\033'), std::string::npos);
    EXPECT_NE(screen.find("target, epoch 3"), std::string::npos);
    EXPECT_NE(screen.find("temporary table"), std::string::npos);
    EXPECT_NE(status_screen(status_json(busy()), Colours::on).find('\033'), std::string::npos);
    EXPECT_NE(status_screen(status_json(StatusInputs{}), Colours::off).find("clients wait"),
              std::string::npos);
}

TEST(Screen, OfAProcessFromBeforeAnUpgradeIsDrawn) {
    json older = status_json(busy());
    ASSERT_EQ(older["shadow"].erase("timed") + older["verify"].erase("every_row_verified_since"),
              2u);
    for (const char* key : {"slower", "slower_count"}) older["shadow"].erase(key);
    for (const char* key : {"by", "limits"}) older["shift"].erase(key);
    EXPECT_NE(status_screen(older, Colours::off).find(" 0 only timed"), std::string::npos);
}

// Every field may be newer than the process that answers, but for those that INTERFACE names.
TEST(Screen, IsDrawnWhateverFieldIsMissingOrNew) {
    const json whole = status_json(busy()).flatten();
    for (const auto& [place, value] : whole.items()) {
        SCOPED_TRACE(place);
        if (place.find_first_of("0123456789") != std::string::npos) continue;  // In a list.
        json fewer = whole;
        fewer.erase(place);
        EXPECT_NE(status_screen(fewer.unflatten(), Colours::off), "");
    }
    json newer = status_json(busy());
    const std::string screen = status_screen(newer, Colours::off);
    newer["tide"] = {{"height", 3}};
    for (auto& [key, value] : newer.items()) {
        if (value.is_object()) value["tide"] = nullptr;
    }
    for (const char* list : {"/sessions/pins/0", "/backfill/tables/0"})
        newer[json::json_pointer{list}]["tide"] = 3;
    newer["warnings"].push_back({{"code", "tide"}, {"text", "it is high"}, {"until", nullptr}});
    EXPECT_EQ(status_screen(newer, Colours::off), screen + "WARNING     it is high\n");
}

}  // namespace
}  // namespace segue::proxy
