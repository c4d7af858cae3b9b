#pragma once
// How the operator's commands tell that something did not work.

#include <string>

#include "proxy/admin_client.hpp"
#include "proxy/command_line.hpp"

namespace segue::proxy {

inline constexpr int verb_failed = 1;
inline constexpr int verb_misused = 2;
// The connection was lost in the middle (INTERFACE, Program).
inline constexpr const char* outcome_unknown = "outcome unknown, see status";

// On standard error, and as JSON where that was asked for. The exit status.
int fail(const Invocation& invocation, const std::string& reason);
std::string unreachable(const AdminClient& client, const Error& error);
// Why the admin address has refused it.
std::string reason_in(const AdminAnswer& answer);

}  // namespace segue::proxy
