#include "proxy/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

namespace segue::proxy {

void set_up_log() {
    auto logger = std::make_shared<spdlog::logger>(
        "segue", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-8l %v", spdlog::pattern_time_type::utc);
    const char* const level = std::getenv("SEGUE_LOG_LEVEL");
    logger->set_level(level == nullptr ? spdlog::level::info : spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace segue::proxy
