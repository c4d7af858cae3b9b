#pragma once
// `segue auto`: posts a plan to a running `segue run`, which follows it whether or not anybody
// looks on, and tells its decisions as they come.

#include "proxy/admin_client.hpp"
#include "proxy/command_line.hpp"

namespace segue::proxy {

// The exit status; prints. Following a plan ends with 0 when it is through, and with 1 when it
// waits for the operator: paused, taken over, gone back.
int run_auto(const Invocation& invocation, const AdminClient& client);

}  // namespace segue::proxy
