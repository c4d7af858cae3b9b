#pragma once
// The program's log, on standard error. Only proxy/ logs; never SQL text, values, keys or
// credentials.

#include <memory>

#include "proxy/config.hpp"

namespace spdlog {
class formatter;
}

namespace segue::proxy {

// One line a message. As text: time in UTC, level, message. As JSON: an object with the strings
// `time`, `level` and `message`, of which whatever is no UTF-8 has been replaced.
void set_up_log(LogFormat format, LogLevel level);
// Also while the program runs. Any thread.
void set_log_level(LogLevel level);

std::unique_ptr<spdlog::formatter> make_log_formatter(LogFormat format);

}  // namespace segue::proxy
