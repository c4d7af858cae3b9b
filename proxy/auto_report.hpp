#pragma once
// How `segue auto` is told: its part of status, its decisions for people, and its state as it is
// kept in the databases.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/state_board.hpp"
#include "router/autopilot.hpp"

namespace segue::proxy {

struct ToldDecision {
    std::uint64_t number = 0;  // Ascending, since the program began.
    WallTime at;
    std::string step;     // "shift 25 %"
    std::string outcome;  // "advance", "hold", "go back"; "done": of no step, the plan is through.
    std::string reason;
};

enum class Standing : std::uint8_t {
    unknown,  // What the databases keep of a plan could not be read yet; `reason` says why.
    running,
    paused,
    done
};
constexpr std::string_view name(Standing standing) {
    switch (standing) {
        case Standing::unknown:
            return "unknown";
        case Standing::running:
            return "running";
        case Standing::paused:
            return "paused";
        case Standing::done:
            return "done";
    }
    return "";
}

struct AutoReport {
    Standing standing = Standing::running;
    std::string plan, file;             // Its name, and that of the file as it was given.
    std::string step;                   // As people are told; empty when all is done.
    std::size_t number = 0, steps = 0;  // The step's, from 1.
    router::Direction outcome = router::Direction::hold;
    std::string code, reason;
    WallTime since;  // Of this outcome and code.
    router::Pause pause = router::Pause::none;
    int breaches = 0;
    std::optional<router::PlanStep> present;  // Empty when all is done.
    router::WatchProgress progress;           // Of the present step, if it is watched.
    std::vector<router::Reading> readings;
    std::vector<std::string> titles;      // Of all steps.
    std::string verb;                     // Of ours, that runs; empty: none.
    std::vector<ToldDecision> decisions;  // The last ones, oldest first.
};

// The object `auto` of status; null without a plan.
nlohmann::json auto_json(const std::optional<AutoReport>& report);
// The same with the decisions, as GET /auto answers.
nlohmann::json auto_details_json(const std::optional<AutoReport>& report);
// "06:12:03  shift 25 %  hold: 40 of ..."; of one of auto_details_json's decisions.
std::string decision_text(const nlohmann::json& decision);
// Where the plan is, of what GET /auto answers.
std::string auto_line(const nlohmann::json& report);

nlohmann::json forecast_json(const router::AutoPlan& plan,
                             const std::vector<router::Forecast>& forecasts);
std::string forecast_text(const nlohmann::json& forecast);

std::string state_text(const router::AutopilotState& state);
// Empty: written by another build, or damaged. `in_force`: what the shift is limited to now. A
// build from before these limits were kept has written nothing of them: then they are no news.
std::optional<router::AutopilotState> parse_state(const std::string& text,
                                                  const router::ShiftScope& in_force = {});

}  // namespace segue::proxy
