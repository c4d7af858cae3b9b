#pragma once
// `segue events`: what both sides keep of what happened, as one account.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "backfill/event_log.hpp"
#include "proxy/command_line.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

enum class KeptOn : std::uint8_t { both, source, target };

struct ToldEvent {
    backfill::Event event;
    KeptOn on = KeptOn::both;

    std::string_view where() const;
};

// The servers' clocks may differ by this much, and an event is still told once.
inline constexpr std::chrono::minutes clocks_apart_max{5};

// Oldest first. What both sides have is one event, at the source's time; a side that was away, or
// whose own affair it is, has it alone.
std::vector<ToldEvent> merged(const std::vector<backfill::Event>& source,
                              const std::vector<backfill::Event>& target);

std::string events_text(const std::vector<ToldEvent>& events);
// [{at, kind, detail, on both|source|target}]
nlohmann::json events_json(const std::vector<ToldEvent>& events);

// The verb: reads the databases itself, so that it works without a running `segue run`, and with
// one side only while the other cannot be reached. The exit status; prints.
int run_events(const Invocation& invocation, const Config& config);

}  // namespace segue::proxy
