#pragma once
// The program's log, on standard error. Only proxy/ logs; never SQL text, values, keys or
// credentials.

#include <string_view>

namespace segue::proxy {

// One line a message: time in UTC, level, text. The level is `info`, or what SEGUE_LOG_LEVEL names.
void set_up_log();

}  // namespace segue::proxy
