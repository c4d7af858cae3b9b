#pragma once
// How the main figures have developed in this process, for whoever opens the console later. In
// memory: what must survive is in segue.event.

#include <chrono>
#include <deque>
#include <nlohmann/json.hpp>

#include "proxy/state_board.hpp"

namespace segue::proxy {

// An hour.
inline constexpr std::chrono::seconds history_step{10};
inline constexpr std::size_t history_samples_max = 360;
inline constexpr std::size_t history_changes_max = 20;

// On one thread.
class History {
public:
    // `status`: as status_json has it. A figure that it does not know stays null.
    void add(WallTime at, const nlohmann::json& status);

    // {"step_seconds", "samples": [{"at", "authority", "transactions", "lag_bytes",
    // "authority_ms", "follower_ms"}], "changes": [{"at", "kind", "longest_wait_ms"}]}, oldest
    // first. The latencies are means over what was compared since the sample before.
    nlohmann::json list() const;

private:
    struct Compared {
        double reads = 0, authority_ms = 0, follower_ms = 0;  // Sums.
    };
    static Compared compared_in(const nlohmann::json& status);

    std::deque<nlohmann::json> samples_, changes_;
    Compared compared_;
    nlohmann::json authority_;  // When the last sample was taken.
};

}  // namespace segue::proxy
