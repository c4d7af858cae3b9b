#pragma once
// What `status` says: a pure function of what everybody reports. The JSON is INTERFACE's, unknown
// is null.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backfill/accepted_finding.hpp"
#include "backfill/mover.hpp"
#include "proxy/auto_report.hpp"
#include "proxy/config.hpp"
#include "proxy/sessions.hpp"
#include "proxy/state_board.hpp"

namespace segue::proxy {

struct StatusInputs {
    std::string migration;  // Its name.
    BoardState board;
    backfill::MoverStatus mover;
    SessionsReport sessions;
    ShadowReport shadow;
    ShiftReport shift;
    MirrorPolicy policy = MirrorPolicy::strict;
    bool degraded = false;
    backfill::BackgroundVerification background;
    std::uint64_t retained_log_bytes_max = 0;
    std::vector<backfill::AcceptedFinding> accepted;
    std::optional<AutoReport> autopilot;  // Empty: no plan.
    // What the databases themselves have against a change of authority, each with its remedy.
    std::vector<std::string> standing_blockers;
};

// Above these a change of authority is not offered as ready.
inline constexpr std::uint64_t ready_lag_bytes_max = 16u << 20;
inline constexpr double ready_lag_seconds_max = 5;
// A client that waits for the gate for so long is worth a warning.
inline constexpr std::chrono::seconds answer_wait_warned{2};
// A change of the schema that is being carried for longer is a warning.
inline constexpr std::chrono::seconds schema_work_warned{5};
inline constexpr std::size_t long_busy_named_max = 5;

// Why a change of authority could not be made, or taken back, right now. Empty: ready.
std::vector<std::string> rollback_blockers(const StatusInputs& inputs);

// After `finish` no session is moved any more, so nothing pins one.
SessionsReport reported_sessions(const StatusInputs& inputs);

// Confirmed, and not begun to count anew since.
std::size_t statements_that_differ(const ShadowReport& shadow);
// What is not known to be equal of the rows behind them. Empty: the difference is not in rows.
std::string rows_in_question(const ShadowReport& shadow, const VerifyState& verified);

struct Warning {
    std::string code;  // Stable.
    std::string text;  // Names the thing and the remedy.
};
std::vector<Warning> warnings(const StatusInputs& inputs);

nlohmann::json status_json(const StatusInputs& inputs);

// RFC 3339 in UTC.
std::string format_time(WallTime time);

}  // namespace segue::proxy
