#include "proxy/log.hpp"

#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

namespace segue::proxy {

namespace {

constexpr const char* time_pattern = "%Y-%m-%dT%H:%M:%S.%eZ";

class JsonFormatter : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
        spdlog::memory_buf_t time;
        time_.format(message, time);
        const spdlog::string_view_t level = spdlog::level::to_string_view(message.level);
        const nlohmann::ordered_json object{
            {"time", std::string(time.data(), time.size())},
            {"level", std::string(level.data(), level.size())},
            {"message", std::string(message.payload.data(), message.payload.size())}};
        const std::string text =
            object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        line.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<JsonFormatter>();
    }

private:
    spdlog::pattern_formatter time_{time_pattern, spdlog::pattern_time_type::utc, ""};
};

spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return spdlog::level::debug;
        case LogLevel::info:
            return spdlog::level::info;
        case LogLevel::warning:
            return spdlog::level::warn;
        case LogLevel::error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

}  // namespace

std::unique_ptr<spdlog::formatter> make_log_formatter(LogFormat format) {
    if (format == LogFormat::json) return std::make_unique<JsonFormatter>();
    return std::make_unique<spdlog::pattern_formatter>(std::string{time_pattern} + " %-8l %v",
                                                       spdlog::pattern_time_type::utc);
}

void set_up_log(LogFormat format, LogLevel level) {
    auto logger = std::make_shared<spdlog::logger>(
        "segue", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(make_log_formatter(format));
    logger->set_level(level_of(level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

void set_log_level(LogLevel level) { spdlog::set_level(level_of(level)); }

}  // namespace segue::proxy
