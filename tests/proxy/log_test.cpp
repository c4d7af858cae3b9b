// The lines of the log, in both forms.

#include "proxy/log.hpp"

#include <gtest/gtest.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/formatter.h>

#include <nlohmann/json.hpp>
#include <string>

namespace segue::proxy {
namespace {

std::string line(LogFormat format, spdlog::level::level_enum level, const std::string& text) {
    const spdlog::log_clock::time_point time{std::chrono::milliseconds{1'700'000'000'123}};
    const spdlog::details::log_msg message{time, {}, "segue", level, text};
    spdlog::memory_buf_t buffer;
    make_log_formatter(format)->format(message, buffer);
    return {buffer.data(), buffer.size()};
}

TEST(Log, OfTextIsTimeLevelMessage) {
    EXPECT_EQ(line(LogFormat::text, spdlog::level::warn, "stop: \"now\""),
              "2023-11-14T22:13:20.123Z warning  stop: \"now\"\n");
}

TEST(Log, OfJsonIsOneObjectALineWhateverTheMessageHolds) {
    const std::string text = line(LogFormat::json, spdlog::level::err, "a \"b\"\n\\ c \xff");
    EXPECT_EQ(text.find('\n'), text.size() - 1);
    const auto object = nlohmann::json::parse(text);
    EXPECT_EQ(object["time"], "2023-11-14T22:13:20.123Z");
    EXPECT_EQ(object["level"], "error");
    EXPECT_EQ(object["message"], "a \"b\"\n\\ c \xef\xbf\xbd");
    EXPECT_EQ(object.size(), 3u);
}

}  // namespace
}  // namespace segue::proxy
