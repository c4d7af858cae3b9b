#pragma once
// Statements of Segue's own that met a lock and gave up, so as not to keep those waiting who queue
// behind them (law 10), or that looked at what was dropped meanwhile, are asked again until a
// deadline.

#include <chrono>
#include <string>
#include <thread>

#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// What the server answers to lock_timeout, to a statement that was cancelled for somebody who
// waits, and to one that waited in a circle: on a busy machine more than deadlock_timeout may pass
// before lock_timeout is looked at. A statement that has used up its time (Link) has no SQLSTATE:
// whatever it waited for, it would do so again.
inline constexpr const char* lock_not_available = "55P03";
inline constexpr const char* query_canceled = "57014";
inline constexpr const char* deadlock_detected = "40P01";

// How long a reading that needs no more than ACCESS SHARE goes on asking.
inline constexpr std::chrono::seconds lock_wait_max{5};
inline constexpr std::chrono::milliseconds lock_retry_pause_min{20}, lock_retry_pause_max{320};

inline bool met_a_lock(const Error& error) {
    return error.sqlstate == lock_not_available || error.sqlstate == query_canceled ||
           error.sqlstate == deadlock_detected;
}

// What describes an object looks it up again, and a snapshot shows it longer than it is there. The
// server has no SQLSTATE for that but XX000 (internal_error).
inline bool met_a_drop(const Error& error) {
    return error.sqlstate == "XX000" &&
           (error.detail.find("could not open relation with OID") != std::string::npos ||
            error.detail.find("cache lookup failed for") != std::string::npos);
}

// Calls `attempt` (a Result, idempotent, leaving no transaction open when it fails) again while
// what it met is a lock or a drop. At the deadline the last answer stands; it is called at least
// once.
template <class Attempt>
auto retry_locked(std::chrono::steady_clock::time_point deadline, Attempt attempt)
    -> decltype(attempt()) {
    auto pause = lock_retry_pause_min;
    for (;;) {
        auto result = attempt();
        if (result || !(met_a_lock(result.error()) || met_a_drop(result.error()))) return result;
        if (std::chrono::steady_clock::now() + pause >= deadline) return result;
        std::this_thread::sleep_for(pause);
        if (pause < lock_retry_pause_max) pause *= 2;
    }
}

}  // namespace segue::backfill::postgres
