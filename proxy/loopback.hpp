#pragma once
// Whether a host is this machine itself, by its address and not by what its name looks like.

#include <string>

namespace segue::proxy {

// "localhost", 127.0.0.0/8 and ::1, also as an IPv4 address inside IPv6. Other names are never
// looked up.
bool is_loopback(const std::string& host);

}  // namespace segue::proxy
