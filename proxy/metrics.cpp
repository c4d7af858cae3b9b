#include "proxy/metrics.hpp"

#include <cstdio>
#include <optional>
#include <string_view>

namespace segue::proxy {

namespace {

class Text {
public:
    void head(std::string_view metric, std::string_view type, std::string_view help) {
        metric_ = "segue_" + std::string{metric};
        out_ += "# HELP " + metric_ + " " + std::string{help} + "\n# TYPE " + metric_ + " " +
                std::string{type} + "\n";
    }
    void value(double number, const std::string& labels = "") {
        char buffer[40];
        std::snprintf(buffer, sizeof buffer, " %.17g\n", number);
        out_ += metric_ + (labels.empty() ? "" : "{" + labels + "}") + buffer;
    }
    void gauge(std::string_view metric, std::string_view help, double number) {
        head(metric, "gauge", help);
        value(number);
    }
    void counter(std::string_view metric, std::string_view help, std::uint64_t number) {
        head(metric, "counter", help);
        value(static_cast<double>(number));
    }
    std::string take() { return std::move(out_); }

private:
    std::string metric_, out_;
};

std::string side_label(Side side) { return "stream=\"" + std::string{name(side)} + "\""; }

// One gauge with a line for each stream that knows it.
template <class Get>
void per_stream(Text& text,
                const StatusInputs& inputs,
                std::string_view metric,
                std::string_view help,
                Get get) {
    text.head(metric, "gauge", help);
    for (const Side side : {Side::source, Side::target}) {
        const std::optional<double> number = get(inputs.mover.streams[index(side)]);
        if (number) text.value(*number, side_label(side));
    }
}

std::optional<double> number(const std::optional<std::uint64_t>& value) {
    return value ? std::optional<double>(static_cast<double>(*value)) : std::nullopt;
}

// As long as recovery has not ended nobody knows them.
void knobs_in_force(Text& text, const StatusInputs& inputs) {
    const auto& record = inputs.board.record;
    const router::Knobs knobs = record ? record->knobs : router::Knobs{};
    text.head("mirror_mode", "gauge", "1 for the mode in force.");
    for (const router::Mirror mode :
         {router::Mirror::off, router::Mirror::async, router::Mirror::sync}) {
        text.value(mode == knobs.mirror, "mode=\"" + std::string{name(mode)} + "\"");
    }
    text.gauge("paused", "1 while copying and following are paused.", knobs.paused);
    text.gauge("shadow_percent", "Percent of reads compared.", knobs.shadow_percent);
    text.gauge("shift_percent", "Percent of reads answered by the follower.", knobs.shift_percent);
    text.gauge("rollback_ready",
               "1 when a change of authority could be made or taken back now.",
               rollback_blockers(inputs).empty());
}

void migration(Text& text, const StatusInputs& inputs) {
    const BoardState& board = inputs.board;
    text.gauge("authority_known",
               "1 once recovery has established who answers for the data.",
               board.authority_known);
    if (board.authority_known) {
        const Side authority = board.record ? board.record->authority : Side::source;
        text.head("authority", "gauge", "1 for the side that answers for the data.");
        for (const Side side : {Side::source, Side::target}) {
            text.value(side == authority, "side=\"" + std::string{name(side)} + "\"");
        }
        text.gauge("epoch",
                   "Raised at every change of authority.",
                   board.record ? static_cast<double>(board.record->epoch) : 0);
        text.gauge("finished",
                   "1 after segue finish.",
                   board.record && board.record->phase == router::Phase::finished);
    }
    if (board.authority_known) knobs_in_force(text, inputs);
    text.gauge("degraded",
               "1 while mirror sync is wanted and commits are not held: the bound was exceeded, or "
               "a change of the schema cannot be made on the follower.",
               inputs.degraded);
    text.gauge(
        "warnings", "Warnings that status shows.", static_cast<double>(warnings(inputs).size()));
}

void mover(Text& text, const StatusInputs& inputs) {
    text.gauge("mover_running", "1 while the mover runs.", inputs.mover.running);
    text.gauge("backfill_rows_copied",
               "Rows copied so far.",
               static_cast<double>(inputs.mover.rows_copied));
    text.gauge("backfill_bytes_copied",
               "Bytes copied so far.",
               static_cast<double>(inputs.mover.bytes_copied));
    if (const auto rows = number(inputs.mover.rows_total_estimate)) {
        text.gauge("backfill_rows_total_estimate", "Rows to copy, estimated.", *rows);
    }
    if (inputs.mover.eta_seconds)
        text.gauge("backfill_eta_seconds", "Time left, estimated.", *inputs.mover.eta_seconds);
    using Stream = backfill::StreamStatus;
    per_stream(text,
               inputs,
               "stream_connected",
               "1 while a side's stream is being read.",
               [](const Stream& s) { return std::optional<double>(s.connected); });
    per_stream(text,
               inputs,
               "stream_lag_bytes",
               "End of a side's log minus what is applied.",
               [](const Stream& s) { return number(s.lag_bytes); });
    per_stream(text,
               inputs,
               "stream_lag_seconds",
               "Age of the oldest commit that is not applied.",
               [](const Stream& s) { return s.lag_seconds; });
    per_stream(
        text, inputs, "retained_log_bytes", "Log that a side's slot retains.", [](const Stream& s) {
            return number(s.retained_log_bytes);
        });
    text.counter("stray_writes_total",
                 "Transactions of others on the follower since the last change.",
                 inputs.mover.stray_writes);
}

void verification(Text& text, const StatusInputs& inputs) {
    const backfill::BackgroundVerification& background = inputs.background;
    text.gauge("verify_differences",
               "Differences of the verification whose verdict stands.",
               static_cast<double>(inputs.board.verify.differences));
    text.counter("verify_background_rows_total",
                 "Rows compared in the background since Segue began.",
                 background.rows);
    text.counter("verify_background_rounds_total",
                 "Verifications in the background that have ended.",
                 background.rounds);
    if (!background.every_row_since) return;
    const auto since = background.every_row_since->time_since_epoch();
    text.gauge("verify_every_row_since_seconds",
               "Every row was found equal at some time since then (Unix time).",
               std::chrono::duration<double>(since).count());
}

void sessions(Text& text, const StatusInputs& inputs) {
    text.gauge("sessions", "Client sessions.", static_cast<double>(inputs.sessions.total));
    text.gauge(
        "sessions_held", "Sessions that wait in Segue.", static_cast<double>(inputs.sessions.held));
    text.gauge("sessions_pinned",
               "Sessions that cannot move.",
               static_cast<double>(reported_sessions(inputs).pinned));
    text.counter("transactions_total",
                 "Transactions of clients that have ended; a statement of its own is one.",
                 inputs.sessions.transactions);
    text.gauge("answers_waiting",
               "Sessions whose answer waits for the follower (mirror sync).",
               static_cast<double>(inputs.sessions.answers_waiting));
    text.counter("requests_total",
                 "Requests of clients that were answered, by either side.",
                 inputs.sessions.requests + inputs.shift.served_by_follower);
    text.counter(
        "errors_total", "Errors that servers answered clients with.", inputs.sessions.errors);
    text.counter("requests_dropped_total",
                 "Held requests of clients that had gone before the release.",
                 inputs.sessions.requests_dropped);
    text.counter("shadow_compared_total", "Reads compared.", inputs.shadow.compared);
    text.counter("shadow_equal_total", "Reads that were equal.", inputs.shadow.equal);
    text.counter("shadow_different_total", "Reads confirmed to differ.", inputs.shadow.different);
    text.counter("shadow_unconfirmed_total",
                 "Differences that a twin did not confirm.",
                 inputs.shadow.unconfirmed);
    text.counter("shadow_timed_total",
                 "Reads executed on both sides whose answers cannot be compared.",
                 inputs.shadow.timed);
    text.gauge("shadow_slower_statements",
               "Statements that take longer on the follower than on the authority, beyond [shadow] "
               "slower_ratio and slower_ms.",
               static_cast<double>(inputs.shadow.slower_count));
    text.counter("shadow_shed_total", "Comparisons dropped for want of time.", inputs.shadow.shed);
    text.counter(
        "shift_served_total", "Reads answered by the follower.", inputs.shift.served_by_follower);
    text.counter("shift_fallbacks_total",
                 "Shifted reads that the authority had to answer.",
                 inputs.shift.fallbacks);
    if (const auto& change = inputs.board.last_change) {
        text.gauge("last_change_slowed_seconds",
                   "For how long the last change slowed clients down before its hold.",
                   static_cast<double>(change->slowed.count()) / 1e6);
    }
    if (const auto& change = inputs.board.last_change; change && change->hold) {
        text.gauge("last_change_hold_seconds",
                   "Hold to release of the last change.",
                   static_cast<double>(change->hold->count()) / 1e6);
        text.gauge("last_change_longest_wait_seconds",
                   "Longest wait of one client's request at the last change.",
                   static_cast<double>(
                       change->longest_wait.value_or(std::chrono::microseconds{0}).count()) /
                       1e6);
    }
}

void autopilot(Text& text, const StatusInputs& inputs) {
    // A plan that is not known has no figures.
    if (!inputs.autopilot || inputs.autopilot->standing == Standing::unknown) return;
    const AutoReport& report = *inputs.autopilot;
    text.head("auto_outcome", "gauge", "1 for what segue auto has decided last.");
    for (const router::Direction outcome :
         {router::Direction::advance, router::Direction::hold, router::Direction::go_back}) {
        text.value(outcome == report.outcome, "outcome=\"" + std::string{name(outcome)} + "\"");
    }
    text.gauge("auto_step", "The step of the plan, from 1.", static_cast<double>(report.number));
    text.gauge("auto_steps", "Steps of the plan.", static_cast<double>(report.steps));
    text.gauge("auto_done", "1 once the plan is through.", report.standing == Standing::done);
    text.gauge("auto_paused",
               "1 while the plan waits for segue auto resume.",
               report.pause != router::Pause::none);
    text.gauge("auto_breaches", "Looks in a row that found a guardrail exceeded.", report.breaches);
    text.head(
        "auto_info", "gauge", "1 for where the plan is, and for what its last decision is about.");
    text.value(1,
               "step=\"" + (report.step.empty() ? "end" : report.step) + "\",state=\"" +
                   std::string{name(report.standing)} + "\",code=\"" + report.code + "\"");
    if (!report.present || !router::is_watched(report.present->deed)) return;
    text.gauge("auto_watched_seconds",
               "For how long the step has been watched and found good.",
               report.progress.watched.count());
    text.gauge("auto_watch_seconds",
               "For how long the step is to be watched.",
               report.present->watch.count());
    text.head("auto_guardrail", "gauge", "What is judged: lag in seconds, rates, counts, ratios.");
    for (const router::Reading& one : report.readings) {
        if (one.value) text.value(*one.value, "figure=\"" + one.code + "\"");
    }
    text.head("auto_guardrail_max", "gauge", "Beyond it the guardrail is exceeded.");
    for (const router::Reading& one : report.readings)
        text.value(one.limit, "figure=\"" + one.code + "\"");
}

}  // namespace

std::string metrics_text(const StatusInputs& inputs) {
    Text text;
    migration(text, inputs);
    mover(text, inputs);
    verification(text, inputs);
    sessions(text, inputs);
    autopilot(text, inputs);
    return text.take();
}

}  // namespace segue::proxy
