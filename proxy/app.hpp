#pragma once
// `segue run`: builds every object, owns their lifetimes, and stops them in order.

#include "proxy/config.hpp"

namespace segue::proxy {

// Returns the exit status: 0 after an orderly stop; 1 where an address could not be had; 2 where a
// file that the configuration names is of no use.
int run_app(const Config& config);

}  // namespace segue::proxy
