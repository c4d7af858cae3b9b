#include "proxy/status.hpp"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "backfill/postgres/connection.hpp"
#include "proxy/status_reads.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

template <class T>
json or_null(const std::optional<T>& value) {
    return value ? json(*value) : json(nullptr);
}

json milliseconds(const std::optional<std::chrono::microseconds>& duration) {
    return duration ? json(static_cast<double>(duration->count()) / 1000.0) : json(nullptr);
}

// What the control record or the mover says is not known before recovery has ended.
template <class T>
json known_or_null(const StatusInputs& inputs, const T& value) {
    return inputs.board.authority_known ? json(value) : json(nullptr);
}

// Right after the program's start recovery has not had its first answer yet.
std::string what_recovery_waits_for(const BoardState& board) {
    return board.waiting_for.empty() ? "the control records of both servers are being read"
                                     : board.waiting_for;
}

bool moving(const StatusInputs& inputs) {
    return inputs.board.record && inputs.board.record->phase != router::Phase::finished;
}

router::Backfill backfill_state(const StatusInputs& inputs) {
    if (!inputs.board.record) return router::Backfill::none;
    const bool consistent =
        inputs.board.record->backfill == router::Backfill::consistent ||
        (inputs.mover.running && inputs.mover.backfill == router::Backfill::consistent);
    return consistent ? router::Backfill::consistent : inputs.board.record->backfill;
}

// The stream that carries the authority's changes to the follower; null while nothing is moved.
const backfill::StreamStatus* mirror_stream(const StatusInputs& inputs) {
    if (!moving(inputs) || !inputs.mover.running) return nullptr;
    return &inputs.mover.streams[index(inputs.board.record->authority)];
}

json backfill_json(const StatusInputs& inputs) {
    const backfill::MoverStatus& mover = inputs.mover;
    json tables = json::array();
    for (const backfill::TableProgress& table : mover.tables) {
        tables.push_back({{"schema", table.schema},
                          {"name", table.name},
                          {"state", table.state},
                          {"rows_copied", table.rows_copied},
                          {"rows_total_estimate", or_null(table.rows_total_estimate)}});
    }
    return {
        {"state", known_or_null(inputs, name(backfill_state(inputs)))},
        {"paused", known_or_null(inputs, inputs.board.record && inputs.board.record->knobs.paused)},
        {"rows_copied", known_or_null(inputs, mover.rows_copied)},
        {"rows_total_estimate", or_null(mover.rows_total_estimate)},
        {"bytes_copied", known_or_null(inputs, mover.bytes_copied)},
        {"eta_seconds", or_null(mover.eta_seconds)},
        {"tables", std::move(tables)}};
}

json mirror_json(const StatusInputs& inputs) {
    const backfill::StreamStatus* const stream = mirror_stream(inputs);
    json result = {{"mode", "off"},
                   {"policy", inputs.policy == MirrorPolicy::strict ? "strict" : "bounded"},
                   {"degraded", inputs.degraded},
                   {"lag_bytes", nullptr},
                   {"lag_seconds", nullptr},
                   {"applied_position", nullptr},
                   {"retained_log_bytes", nullptr}};
    if (moving(inputs)) result["mode"] = name(inputs.board.record->knobs.mirror);
    if (!inputs.board.authority_known) result["mode"] = nullptr;
    if (stream == nullptr) return result;
    result["lag_bytes"] = or_null(stream->lag_bytes);
    result["lag_seconds"] = or_null(stream->lag_seconds);
    result["retained_log_bytes"] = or_null(stream->retained_log_bytes);
    if (stream->applied.value != 0)
        result["applied_position"] = backfill::postgres::format_lsn(stream->applied);
    return result;
}

json sessions_json(const SessionsReport& sessions) {
    json pins = json::array();
    for (const Pin& pin : sessions.pins) pins.push_back({{"pid", pin.pid}, {"why", pin.why}});
    return {{"total", sessions.total},
            {"held", sessions.held},
            {"pinned", sessions.pinned},
            {"pins", std::move(pins)},
            {"transactions", sessions.transactions},
            {"requests", sessions.requests},
            {"errors", sessions.errors}};
}

json change_json(const std::optional<LastChange>& change) {
    if (!change) return nullptr;
    return {{"kind", change->kind},
            {"ok", change->ok},
            {"hold_ms", milliseconds(change->hold)},
            {"longest_wait_ms", milliseconds(change->longest_wait)},
            {"slowed_ms", milliseconds(change->slowed)},
            {"at", format_time(change->at)},
            {"reason", change->reason.empty() ? json(nullptr) : json(change->reason)}};
}

std::string_view word(VerifyOutcome outcome) {
    switch (outcome) {
        case VerifyOutcome::never:
            return "never";
        case VerifyOutcome::running:
            return "running";
        case VerifyOutcome::equal:
            return "equal";
        case VerifyOutcome::different:
            return "different";
    }
    return "";
}

json verify_json(const VerifyState& verify, const backfill::BackgroundVerification& background) {
    return {{"state", word(verify.outcome)},
            {"rows_compared", verify.rows_compared},
            {"differences", verify.differences},
            {"at", verify.at ? json(format_time(*verify.at)) : json(nullptr)},
            {"every_row_verified_since",
             background.every_row_since ? json(format_time(*background.every_row_since))
                                        : json(nullptr)},
            {"background",
             {{"rows_per_second", background.rows_per_second},
              {"rows_compared", background.rows},
              {"rounds", background.rounds},
              {"differences", background.differences},
              {"problem", background.problem.empty() ? json(nullptr) : json(background.problem)}}}};
}

void stream_blockers(const StatusInputs& inputs, Side side, std::vector<std::string>& blockers) {
    const backfill::StreamStatus& stream = inputs.mover.streams[index(side)];
    const std::string which = "the stream of the " + std::string{name(side)};
    if (!stream.problem.empty()) blockers.push_back(which + " has a problem: " + stream.problem);
    if (!stream.connected) {
        blockers.push_back(which + " is not connected");
        return;
    }
    if (!stream.reverse_ready)
        blockers.push_back(which + " has not carried a probe to the other side yet");
    const bool behind = stream.lag_bytes.value_or(0) > ready_lag_bytes_max ||
                        stream.lag_seconds.value_or(0) > ready_lag_seconds_max;
    if (behind) blockers.push_back(which + " lags behind");
    if (inputs.retained_log_bytes_max > 0 &&
        stream.retained_log_bytes.value_or(0) >= inputs.retained_log_bytes_max) {
        blockers.push_back(which + " retains as much log as [limits] retained_log_mb allows");
    }
}

void mover_warnings(const StatusInputs& inputs, std::vector<Warning>& result) {
    for (const std::string& problem : inputs.mover.problems) result.push_back({"mover", problem});
    for (const Side side : {Side::source, Side::target}) {
        const backfill::StreamStatus& stream = inputs.mover.streams[index(side)];
        if (!stream.problem.empty())
            result.push_back({"stream_" + std::string{name(side)}, stream.problem});
        const std::uint64_t cap = inputs.retained_log_bytes_max;
        if (cap > 0 && stream.retained_log_bytes.value_or(0) > cap / 2) {
            result.push_back(
                {"retained_log",
                 "the " + std::string{name(side)} +
                     " retains more than half of the log that [limits] retained_log_mb allows"});
        }
    }
    const auto& work_since = inputs.mover.schema_work_since;
    if (work_since && backfill::Clock::now() - *work_since >= schema_work_warned)
        result.push_back({"schema_change", inputs.mover.schema_work});
    for (const backfill::TableProgress& table : inputs.mover.tables) {
        if (!table.stopped_because.empty())
            result.push_back(
                {"table_stopped", table.schema + "." + table.name + ": " + table.stopped_because});
    }
    if (inputs.mover.stray_writes > 0) {
        std::string text = "somebody else than Segue wrote to the follower:";
        for (const std::string& table : inputs.mover.stray_write_tables) text += " " + table;
        result.push_back({"stray_writes", text + "; run `segue verify`, then `segue repair`"});
    }
}

// The mover tells of both servers, or the move is over.
bool moving_data(const BoardState& board) {
    return board.record && (board.record->phase == router::Phase::finished ||
                            board.record->backfill != router::Backfill::none);
}

// It was refused in the middle, or its process is gone. (After a forced rollback the epoch is not
// 0.)
bool is_start_unfinished(const BoardState& board) {
    return board.record && board.record->phase == router::Phase::steady &&
           board.record->backfill == router::Backfill::none && board.record->epoch == 0 &&
           board.current_verb != "start";
}

constexpr const char* start_not_ended =
    "an earlier `segue start` did not come to its end, and what it had begun is still there: "
    "schema "
    "segue, slots, publications, and on the source triggers that record each change of the schema, "
    "which takes room. `segue start` goes on with it, `segue finish` takes it back";

std::string seconds_text(std::chrono::milliseconds time) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f s", static_cast<double>(time.count()) / 1000.0);
    return buffer;
}

void session_warnings(const StatusInputs& inputs, std::vector<Warning>& result) {
    const SessionsReport& sessions = inputs.sessions;
    if (sessions.longest_answer_wait >= answer_wait_warned) {
        result.push_back({"answers_waiting",
                          counted(sessions.answers_waiting, "client waits", "clients wait") +
                              " for an answer until the follower has all that the "
                              "authority has, the longest for " +
                              seconds_text(sessions.longest_answer_wait) +
                              " (mirror sync): `segue mirror async` lets them go on at once"});
    }
    if (sessions.long_busy.empty()) return;
    std::string text =
        "a change of authority is refused while these last longer than [cutover] drain_ms:";
    for (std::size_t i = 0; i < std::min(sessions.long_busy.size(), long_busy_named_max); ++i) {
        const Pin& busy = sessions.long_busy[i];
        text += (i == 0 ? " pid " : "; pid ") + std::to_string(busy.pid) + ": " + busy.why;
    }
    if (sessions.long_busy.size() > long_busy_named_max) {
        text +=
            "; and " + std::to_string(sessions.long_busy.size() - long_busy_named_max) + " more";
    }
    result.push_back({"long_transactions", text});
}

}  // namespace

std::string format_time(WallTime time) {
    const auto whole =
        std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count();
    const std::time_t seconds = static_cast<std::time_t>(whole / 1000);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char buffer[40];
    const std::size_t size = std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &parts);
    char fraction[8];
    std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(whole % 1000));
    return std::string{buffer, size} + fraction;
}

std::size_t statements_that_differ(const ShadowReport& shadow) {
    return static_cast<std::size_t>(std::count_if(
        shadow.statements.begin(), shadow.statements.end(), [](const StatementReport& one) {
            return one.different > 0;
        }));
}

std::string rows_in_question(const ShadowReport& shadow, const VerifyState& verified) {
    if (shadow.rows_different > 0)
        return "rows of reads that differ are different (`segue statements` names them)";
    const bool compared_since = verified.outcome == VerifyOutcome::equal &&
                                verified.every_row_since &&
                                *verified.every_row_since > shadow.rows_unknown_at;
    if (shadow.rows_unknown == 0 || compared_since) return "";
    return "rows of reads that differ are not compared yet (" +
           counted(shadow.rows_unknown, "statement", "statements") +
           "; `segue statements` tells how far that is, and a `segue verify --anew` that finds all "
           "equal and began after them says it as well)";
}

namespace {

// Of the first one whose rows are named, else of the first of which anything is known. Repair is a
// remedy only for rows.
std::string rows_that_differ(const ShadowReport& shadow) {
    const StatementReport* told = nullptr;
    for (const StatementReport& one : shadow.statements) {
        if (one.different == 0 || !one.rows) continue;
        const bool named = one.rows->state == RowsState::different;
        if (told == nullptr || named) told = &one;
        if (named) break;
    }
    const std::string repair = "`segue repair` mends them, and ";
    if (told == nullptr) return "`segue verify` names the rows by table and key, " + repair;
    return rows_text(*told->rows, Keys::hidden) +
           "; `segue statements` tells it of each, with the keys; " +
           (told->rows->state == RowsState::different ? repair : "");
}

}  // namespace

SessionsReport reported_sessions(const StatusInputs& inputs) {
    SessionsReport sessions = inputs.sessions;
    const auto& record = inputs.board.record;
    if (record && record->phase == router::Phase::finished) {
        sessions.pins.clear();
        sessions.pinned = 0;
    }
    return sessions;
}

std::vector<std::string> rollback_blockers(const StatusInputs& inputs) {
    if (!inputs.board.authority_known)
        return {"the authority is not known yet: " + what_recovery_waits_for(inputs.board)};
    if (!inputs.board.record) return {"nothing is being moved: `segue start` begins"};
    if (!moving(inputs)) return {"the migration is finished"};
    if (backfill_state(inputs) != router::Backfill::consistent)
        return {"the databases are not consistent yet"};
    if (!inputs.mover.running) {
        const std::string& why = inputs.mover.last_failure;
        return {"the mover is not running" + (why.empty() ? "" : ": " + why)};
    }
    std::vector<std::string> blockers;
    if (inputs.board.record->knobs.paused)
        blockers.push_back("following is paused: `segue resume`");
    for (const Side side : {Side::source, Side::target}) stream_blockers(inputs, side, blockers);
    for (const std::string& problem : inputs.mover.problems) blockers.push_back(problem);
    if (inputs.mover.stray_writes > 0)
        blockers.push_back("somebody else than Segue wrote to the follower");
    if (inputs.board.verify.outcome == VerifyOutcome::different)
        blockers.push_back("verification found differences: `segue repair`, then `segue verify`");
    blockers.insert(
        blockers.end(), inputs.standing_blockers.begin(), inputs.standing_blockers.end());
    return blockers;
}

std::vector<Warning> warnings(const StatusInputs& inputs) {
    std::vector<Warning> result;
    const BoardState& board = inputs.board;
    if (!board.authority_known)
        result.push_back({"authority_unknown", "clients wait: " + what_recovery_waits_for(board)});
    if (!board.mover_problem.empty()) result.push_back({"mover", board.mover_problem});
    if (!board.sync_given_up().empty()) {
        result.push_back({"degraded",
                          "mirror sync is given up until the stream goes on: commits are "
                          "acknowledged without the follower, which stands before a change of the "
                          "schema (see below)"});
    } else if (inputs.degraded) {
        result.push_back({"degraded",
                          "the follower did not keep up within [mirror] bound_ms: commits are "
                          "acknowledged without it"});
    }
    if (moving(inputs)) {
        mover_warnings(inputs, result);
        session_warnings(inputs, result);
    }
    for (const Side side : {Side::source, Side::target}) {
        const std::string& problem = board.out_of_reach[index(side)];
        if (problem.empty() || moving_data(board)) continue;
        result.push_back({"out_of_reach",
                          "the " + std::string{name(side)} + " cannot be reached: " + problem +
                              "; " + out_of_reach_means(side)});
    }
    if (is_start_unfinished(board)) result.push_back({"start_not_ended", start_not_ended});
    if (inputs.autopilot && inputs.autopilot->pause == router::Pause::went_back)
        result.push_back({"auto_went_back", "segue auto " + inputs.autopilot->reason});
    // After `finish` nothing is compared or mended any more; the figures stay.
    const bool over = board.record && !moving(inputs);
    if (const auto differing = statements_that_differ(inputs.shadow); differing > 0 && !over) {
        result.push_back({"reads_differ",
                          counted(differing, "statement is", "statements are") +
                              " answered differently by the follower, confirmed: " +
                              rows_that_differ(inputs.shadow) +
                              "`segue statements --forget` begins to count anew"});
    }
    if (board.record && board.record->shift_not_understood)
        result.push_back({"shift_not_understood", shift_not_understood_text});
    if (board.verify.outcome == VerifyOutcome::different && !over) {
        result.push_back({"different", "verification found differences: `segue repair`"});
    }
    // The mover's own account and that of whoever started it may be the same words.
    std::vector<Warning> distinct;
    for (Warning& warning : result) {
        const bool known = std::any_of(distinct.begin(), distinct.end(), [&](const Warning& other) {
            return other.text == warning.text;
        });
        if (!known) distinct.push_back(std::move(warning));
    }
    return distinct;
}

namespace {

json accepted_json(const std::vector<backfill::AcceptedFinding>& accepted) {
    json list = json::array();
    for (const backfill::AcceptedFinding& one : accepted)
        list.push_back({{"code", one.code}, {"object", one.object}, {"reason", one.reason}});
    return list;
}

}  // namespace

json status_json(const StatusInputs& inputs) {
    const BoardState& board = inputs.board;
    const bool finished = board.record && board.record->phase == router::Phase::finished;
    const router::Knobs knobs = moving(inputs) ? board.record->knobs : router::Knobs{};
    json warning_list = json::array();
    for (const Warning& warning : warnings(inputs))
        warning_list.push_back({{"code", warning.code}, {"text", warning.text}});
    const auto blockers = rollback_blockers(inputs);
    return {
        {"migration", inputs.migration},
        {"authority",
         known_or_null(inputs, name(board.record ? board.record->authority : Side::source))},
        {"epoch", known_or_null(inputs, board.record ? board.record->epoch : 0)},
        {"finished", known_or_null(inputs, finished)},
        {"backfill", backfill_json(inputs)},
        {"mirror", mirror_json(inputs)},
        {"shadow", shadow_json(inputs.shadow, known_or_null(inputs, knobs.shadow_percent))},
        {"shift",
         shift_json(inputs.shift, knobs.shift_scope, known_or_null(inputs, knobs.shift_percent))},
        {"sessions", sessions_json(reported_sessions(inputs))},
        {"rollback_ready", known_or_null(inputs, blockers.empty())},
        {"rollback_blockers", blockers},
        {"last_change", change_json(board.last_change)},
        {"verify", verify_json(board.verify, inputs.background)},
        {"stray_writes", known_or_null(inputs, inputs.mover.stray_writes)},
        {"warnings", std::move(warning_list)},
        {"shadow_statements", statements_json(inputs.shadow.statements)},
        {"accepted_findings", accepted_json(inputs.accepted)},
        {"auto", auto_json(inputs.autopilot)},
        {"running_verb", board.current_verb.empty() ? json(nullptr) : json(board.current_verb)},
    };
}

}  // namespace segue::proxy
