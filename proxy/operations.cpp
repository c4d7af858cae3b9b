#include "proxy/operations.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "proxy/auto_view.hpp"
#include "proxy/control_moves.hpp"
#include "proxy/mover_wait.hpp"
#include "proxy/recover.hpp"

namespace segue::proxy {

using backfill::ControlRecord;
using backfill::Written;
using router::Mirror;

namespace {

constexpr int update_attempts_max = 5;

// Of the verification in the background.
bool needs_rest(std::string_view verb) {
    return verb == "verify" || verb == "repair" || verb == "rehearse" || verb == "cutover" ||
           verb == "rollback" || verb == "finish";
}

// One line without control characters. No character of UTF-8 is cut: the databases would refuse its
// half.
std::string line_of(std::string text, std::size_t size_max) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
    }
    if (text.size() <= size_max) return text;
    std::size_t size = size_max;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    text.resize(size);
    return text;
}

// What a verb did, or why it did not, for the events: the first line of its answer. What is only
// looked at has tables for an answer.
std::string told_by(const std::string& verb, const VerbResult& result) {
    if (verb == "statements" && result.exit_code == 0) return "";
    const std::string line =
        line_of(result.text.substr(0, result.text.find('\n')), event_answer_size_max);
    return line.empty() ? "" : " (" + line + ")";
}

}  // namespace

std::string line_argument(const nlohmann::json& arguments, const char* key) {
    const nlohmann::json value = arguments.value(key, nlohmann::json{});
    return line_of(value.is_string() ? value.get<std::string>() : "", line_argument_size_max);
}

std::string asked_by(const nlohmann::json& arguments) {
    return line_argument(arguments, "asked_by");
}

bool Operations::recover() {
    RecoveryRound round =
        recover_once(parts_.change.steps, parts_.change.journal, parts_.config.migration);
    if (!round.through) {
        if (round.waiting_for != last_waiting_for_)
            parts_.change.journal.warning("recovery", round.waiting_for);
        last_waiting_for_ = round.waiting_for;
        parts_.board.update([&](BoardState& state) {
            state.waiting_for = round.waiting_for;
            state.unreachable = round.unreachable;
        });
        return false;
    }
    follower_behind_ = round.follower_behind;
    others_to_follow_ = own_change_unread_ = false;
    publish(round.record);
    parts_.change.journal.set_durable(round.record.has_value());
    const BoardState state = parts_.board.read();
    const std::string authority{name(state.record ? state.record->authority : Side::source)};
    parts_.change.journal.event("recovery", "clients are served by the " + authority);
    if (state.record && state.record->shift_not_understood)
        parts_.change.journal.warning("shift", shift_not_understood_text);
    if (copying_or_later()) start_mover();
    return true;
}

// At no moment is more shifted than by the rule of before or by this one.
void Operations::shift_reads(const router::Knobs& knobs) {
    Traffic& traffic = parts_.change.traffic;
    traffic.shift_percent = 0;
    traffic.shift_rules.set(knobs.shift_scope);
    traffic.shift_percent = knobs.shift_percent;
}

// Makes the record take effect: clients are served from here on.
void Operations::publish(const std::optional<ControlRecord>& record) {
    Traffic& traffic = parts_.change.traffic;
    const bool moving = record && record->phase != router::Phase::finished;
    const router::Knobs knobs = moving ? record->knobs : router::Knobs{};
    traffic.authority = record ? record->authority : Side::source;
    traffic.epoch = record ? record->epoch : 0;
    parts_.change.sessions.set_gate(knobs.mirror == Mirror::sync);
    traffic.shadow_percent = knobs.shadow_percent;
    shift_reads(knobs);
    parts_.board.update([&](BoardState& state) {
        state.record = record;
        state.authority_known = true;
        state.waiting_for.clear();
        state.unreachable.clear();
    });
    traffic.serving = true;
}

void Operations::start_mover() {
    const BoardState state = parts_.board.read();
    // What the verb told the mover before it could run counts from its first moment.
    parts_.change.mover.set_paused(state.record->knobs.paused);
    const Status started = parts_.change.mover.start(*state.record);
    const std::string problem = started ? "" : started.error().detail;
    if (!problem.empty() && problem != state.mover_problem)
        parts_.change.journal.warning("mover", problem);
    mover_started_ = started.has_value();
    parts_.board.update([&](BoardState& board) { board.mover_problem = problem; });
}

bool Operations::tick() {
    // A verb was overtaken by another process.
    if (!parts_.board.read().authority_known) return false;
    if (!copying_or_later()) return !begun_by_another();
    if (superseded()) return false;
    follow_others();
    if (!mover_started_) start_mover();
    note_mover_failure();
    note_consistent();
    note_background();
    note_slower();
    watch_schema_stop();
    if (follower_behind_ && !own_change_unread_) {
        follower_behind_ = !settle_follower(parts_.change.steps, *parts_.board.read().record);
    }
    return true;
}

// The mover tries again by itself; why it had to is told once, until it has been connected again.
void Operations::note_mover_failure() {
    const backfill::MoverStatus status = parts_.change.mover.status();
    if (status.runs_failed == failures_seen_) {
        const Side authority = parts_.board.read().record->authority;
        if (status.streams[index(authority)].connected) last_failure_told_.clear();
        return;
    }
    failures_seen_ = status.runs_failed;
    if (status.last_failure == last_failure_told_) return;
    last_failure_told_ = status.last_failure;
    parts_.change.journal.warning("mover", status.last_failure);
}

// The mover finds out that the databases are consistent; the record remembers it.
void Operations::note_consistent() {
    const BoardState state = parts_.board.read();
    if (state.record->backfill == router::Backfill::consistent) return;
    // Also where its connections broke right after.
    if (!mover_started_) return;
    if (parts_.change.mover.status().backfill != router::Backfill::consistent) return;
    const auto written = update_record([](ControlRecord& record) {
        record.backfill = router::Backfill::consistent;
        return allowed;
    });
    if (written) parts_.change.journal.event("backfill", "the databases are consistent");
}

VerbResult Operations::run(const std::string& verb, const Json& arguments) {
    static const std::map<std::string, Verb, std::less<>> verbs = {
        {"start", &Operations::start},
        {"pause", &Operations::pause},
        {"resume", &Operations::resume},
        {"mirror", &Operations::mirror},
        {"shadow", &Operations::shadow},
        {"shift", &Operations::shift},
        {"verify", &Operations::verify},
        {"repair", &Operations::repair},
        {"rehearse", &Operations::rehearse},
        {"cutover", &Operations::cutover},
        {"rollback", &Operations::rollback},
        {"finish", &Operations::finish},
        {"statements", &Operations::statements},
    };
    const auto found = verbs.find(verb);
    if (found == verbs.end()) return {2, "unknown verb: " + verb};
    follow_others();
    parts_.board.update([&](BoardState& state) {
        state.current_verb = verb;
        course_before_ = course_of(state);
    });
    // Status says so as soon as the mover does: a verb that follows it must not meet the older
    // record.
    if (copying_or_later()) note_consistent();
    // A change of authority waits for every snapshot there is; it meets none of the background.
    const bool alone = needs_rest(verb);
    if (alone) parts_.change.mover.hold_background(true);
    VerbResult result;
    try {
        result = (this->*found->second)(arguments);
    } catch (const Json::exception&) {
        result = {2, "an argument of " + verb + " is of the wrong type"};
    }
    if (alone) parts_.change.mover.hold_background(false);
    parts_.board.update([&](BoardState& state) {
        state.current_verb.clear();
        result.course_changes = course_of(state) != course_before_ ? 1 : 0;
        state.course_changes += result.course_changes;
    });
    hold_to_others();
    const std::string who = asked_by(arguments);
    const std::string detail = verb + (who.empty() ? "" : ", asked by " + who) + ": " +
                               (result.exit_code == 0 ? "done" : "refused or failed") +
                               told_by(verb, result);
    if (result.exit_code == 0) {
        parts_.change.journal.event("verb", detail);
    } else {
        parts_.change.journal.warning("verb", detail);
    }
    return result;
}

const Config& Operations::config() {
    if (parts_.reloaded == nullptr) return parts_.config;
    config_ = parts_.reloaded->get();
    return *config_;
}

std::string Operations::not_moving() const {
    const BoardState state = parts_.board.read();
    if (!state.record) return "nothing is being moved: run `segue start` first";
    if (state.record->phase == router::Phase::finished) return "the migration is finished";
    return "";
}

std::string Operations::not_consistent() const {
    if (std::string reason = not_moving(); !reason.empty()) return reason;
    const BoardState state = parts_.board.read();
    if (state.record->backfill == router::Backfill::consistent) return "";
    if (state.record->backfill == router::Backfill::none && state.record->epoch > 0)
        return copy_invalid;
    return "the databases are not consistent yet: wait until `segue status` says so";
}

bool Operations::copying_or_later() const {
    return not_moving().empty() && parts_.board.read().record->backfill != router::Backfill::none;
}

Status Operations::connected(std::initializer_list<Side> streams) const {
    return wait_connected(
        parts_.change.mover, streams, change_limits.connect, parts_.change.stopping);
}

Result<ControlRecord> Operations::update_record(const RecordChange& change,
                                                std::optional<std::int64_t> lease) {
    const BoardState state = parts_.board.read();
    const Side authority = state.record->authority;
    backfill::ControlStore& store = parts_.change.steps.control(authority);
    for (int attempt = 0; attempt < update_attempts_max; ++attempt) {
        const auto record = read_record(store, authority);
        if (!record) return record.error();
        if (record->phase != router::Phase::steady || record->authority != authority) {
            return Error{Errc::refused, "a change of authority is under way"};
        }
        ControlRecord next = *record;
        next.shift_not_understood = false;
        if (std::string refusal = change(next); !refusal.empty())
            return Error{Errc::refused, std::move(refusal)};
        // A new attempt number for each writing, so that after a lost answer the record tells whose
        // it is.
        next.attempt = record->attempt + 1;
        const auto written = store.compare_and_set(*record, next, lease);
        if (!written) return written.error();
        bool is_written = *written == Written::yes;
        if (*written == Written::unknown) {
            const auto now = read_record(store, authority);
            if (!now)
                return Error{Errc::in_doubt,
                             "the answer of the " + std::string{name(authority)} +
                                 " was lost: see `segue status`"};
            is_written = *now == next;
        }
        if (!is_written) continue;
        parts_.board.update([&](BoardState& board) {
            note_others(board, *record);
            board.record = next;
        });
        return next;
    }
    return Error{Errc::refused, "the control record keeps changing: is another Segue at work?"};
}

VerbResult Operations::pause(const Json&) {
    if (std::string reason = not_moving(); !reason.empty()) return VerbResult::refused(reason);
    const auto written = update_record([](ControlRecord& record) -> std::string {
        if (record.knobs.mirror == Mirror::sync)
            return "with mirror sync every commit would wait for ever: run `segue mirror async` "
                   "first";
        if (record.knobs.shift_percent > 0)
            return "reads are shifted to the follower: run `segue shift 0` first";
        record.knobs.paused = true;
        return allowed;
    });
    if (!written) return VerbResult::refused(written.error().detail);
    // Also where it was closed for a sync that was in doubt: that is not on record, and never will
    // be.
    parts_.change.sessions.set_gate(false);
    parts_.change.mover.set_paused(true);
    return VerbResult::done(
        "paused: the authority retains its log until `segue resume`, at most [limits] "
        "retained_log_mb");
}

VerbResult Operations::resume(const Json&) {
    if (std::string reason = not_moving(); !reason.empty()) return VerbResult::refused(reason);
    const auto written = update_record([](ControlRecord& record) {
        record.knobs.paused = false;
        return allowed;
    });
    if (!written) return VerbResult::refused(written.error().detail);
    parts_.change.mover.set_paused(false);
    return VerbResult::done("resumed");
}

}  // namespace segue::proxy
