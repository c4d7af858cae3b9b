#pragma once
// The operator's commands: what each verb does in its own process. All but `run`, `check`,
// `events` and `explain` are clients of a running `segue run`.

#include "proxy/command_line.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

// What the codes of `check` mean; needs no configuration. The exit status; prints.
int run_explain(const Invocation& invocation);

// What the verb needs of the configuration.
ConfigUse config_use(const Invocation& invocation);

// Does the verb (`run` and `explain` excepted) and returns the exit status; prints.
int run_verb(const Invocation& invocation, const Config& config);

}  // namespace segue::proxy
