#pragma once
// The operator's commands: what each verb does in its own process. All but `run` and `check` are
// clients of a running `segue run`.

#include "proxy/command_line.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

// Does the verb (`run` excepted) and returns the exit status; prints.
int run_verb(const Invocation& invocation, const Config& config);

}  // namespace segue::proxy
