#pragma once
// The mover connects by itself, and needs a moment for it after `run` has begun, after `resume`,
// and after a server came back. A verb that needs its streams gives it that moment instead of being
// refused.

#include <atomic>
#include <chrono>
#include <initializer_list>

#include "backfill/mover.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Until the mover runs and the streams of these sides are connected, no longer than `patience` and
// not while the program is ending, nor where the copy is invalid. The error names what is missing
// and the remedy. Blocks; for the operator's thread.
Status wait_connected(const backfill::Mover& mover,
                      std::initializer_list<Side> sides,
                      std::chrono::milliseconds patience,
                      const std::atomic<bool>& stopping);

}  // namespace segue::proxy
