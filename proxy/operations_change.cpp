#include <nlohmann/json.hpp>

#include "proxy/control_moves.hpp"
#include "proxy/operations.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

std::string milliseconds(std::chrono::microseconds duration) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f ms", static_cast<double>(duration.count()) / 1000.0);
    return buffer;
}

nlohmann::json change_details(const LastChange& change) {
    const auto number = [](const std::optional<std::chrono::microseconds>& duration) {
        return duration ? nlohmann::json(static_cast<double>(duration->count()) / 1000.0)
                        : nlohmann::json(nullptr);
    };
    return {{"kind", change.kind},
            {"ok", change.ok},
            {"hold_ms", number(change.hold)},
            {"longest_wait_ms", number(change.longest_wait)},
            {"slowed_ms", number(change.slowed)},
            {"reason",
             change.reason.empty() ? nlohmann::json(nullptr) : nlohmann::json(change.reason)}};
}

}  // namespace

ChangeLimits Operations::limits(const Json& arguments) {
    ChangeLimits result = change_limits;
    result.drain = config().drain;
    result.deadline = config().deadline;
    const Json deadline = arguments.value("deadline_ms", Json{});
    if (deadline.is_number_integer() && deadline.get<std::int64_t>() > 0) {
        result.deadline = std::chrono::milliseconds{deadline.get<std::int64_t>()};
        result.drain = std::min(result.drain, result.deadline);
    }
    return result;
}

// Going back is refused by what is known to differ, and not by what is unknown.
std::string Operations::refused_by_verification(Side to) {
    // Read anew: the background may have found something since the last tick.
    const Status there = connected({parts_.board.read().record->authority});
    if (!there) return there.error().detail;
    if (const Status loaded = load_verification(); !loaded) return loaded.error().detail;
    const VerifyState verified = parts_.board.read().verify;
    if (verified.outcome == VerifyOutcome::different) {
        return "verification found differences: run `segue repair`, then `segue verify`";
    }
    if (!config().require_verify || to != Side::target) return "";
    if (verified.outcome != VerifyOutcome::equal)
        return "[cutover] require_verify is set and nothing has been verified: run `segue verify`";
    const auto now = std::chrono::system_clock::now();
    const bool recent = verified.at && *verified.at >= now - required_verdict_age_max &&
                        verified.every_row_since &&
                        *verified.every_row_since >= now - required_comparison_age_max;
    if (!recent) {
        return "[cutover] require_verify is set and the last verification is older than " +
               std::to_string(required_verdict_age_max.count()) +
               " hours, or went on with one of more than a week ago: run `segue verify --anew`";
    }
    return "";
}

VerbResult Operations::cutover(const Json& arguments) {
    if (std::string reason = not_consistent(); !reason.empty()) return VerbResult::refused(reason);
    if (parts_.board.read().record->authority == Side::target) {
        return VerbResult::refused(
            "the target is the authority already; `segue rollback` goes back");
    }
    return change_to(Side::target, arguments);
}

VerbResult Operations::rollback(const Json& arguments) {
    if (std::string reason = not_consistent(); !reason.empty()) return VerbResult::refused(reason);
    if (parts_.board.read().record->authority == Side::source) {
        return VerbResult::refused(
            "the source is the authority already; there is nothing to roll back");
    }
    return arguments.value("force", false) ? force_rollback(arguments)
                                           : change_to(Side::source, arguments);
}

VerbResult Operations::change_to(Side to, const Json& arguments) {
    if (std::string reason = refused_by_verification(to); !reason.empty())
        return VerbResult::refused(reason);
    const std::string verb = to == Side::target ? "cutover" : "rollback";
    const ChangeReport report = change_authority(parts_.change, limits(arguments), to);
    if (report.interrupted) {
        return VerbResult::refused("Segue is stopping in the middle of the " + verb +
                                   ": outcome unknown, the next `segue run` goes on");
    }
    if (report.overtaken) return overtaken(report.reason);
    // The record has a new attempt number at least.
    const Side authority = report.ending == router::Ending::changed ? to : other(to);
    const auto record = read_record(parts_.change.steps.control(authority), authority);
    parts_.board.update([&](BoardState& state) {
        if (report.ending == router::Ending::changed) {
            state.record->side = state.record->authority = to;
            state.record->epoch = parts_.change.traffic.epoch;
            state.record->attempt = 0;  // The new side has a count of its own.
            state.record->knobs.shadow_percent = state.record->knobs.shift_percent = 0;
            state.record->knobs.shift_scope = {};
        }
        own_change_unread_ = !record;
        if (!record) return;
        // How often this change has written it is not known.
        note_difference(state, *record);
        state.record = *record;
    });
    if (record) parts_.change.traffic.epoch = record->epoch;
    follower_behind_ = true;
    return tell_change(report, verb, to);
}

VerbResult Operations::rehearse(const Json& arguments) {
    if (std::string reason = not_consistent(); !reason.empty()) return VerbResult::refused(reason);
    const Side to = other(parts_.board.read().record->authority);
    return tell_change(rehearse_change(parts_.change, limits(arguments), to), "rehearse", to);
}

VerbResult Operations::tell_change(const ChangeReport& report, const std::string& verb, Side to) {
    const bool rehearsal = verb == "rehearse";
    LastChange change;
    change.ok = report.ending == (rehearsal ? router::Ending::undone : router::Ending::changed);
    change.kind = rehearsal ? "rehearsal" : change.ok ? verb : "abort";
    change.at = std::chrono::system_clock::now();
    change.reason = change.ok ? "" : report.reason;
    change.slowed = report.slowed;
    if (report.held) {
        change.hold = report.hold;
        change.longest_wait = report.longest_wait;
    }
    parts_.board.update([&](BoardState& state) { state.last_change = change; });
    const std::string waited = report.held ? "clients were held for " + milliseconds(report.hold) +
                                                 ", the longest wait was " +
                                                 milliseconds(report.longest_wait)
                                           : "no client was held";
    const std::string slowed =
        report.slowed.count() > 0
            ? ", clients were slowed down for " + milliseconds(report.slowed) + " before it"
            : "";
    if (!change.ok) {
        const std::string undone =
            report.held ? "\nGiven up, nothing of it remains; " : "\nNothing was changed; ";
        const bool target_lost =
            verb == "rollback" && !parts_.change.steps.control(Side::target).read();
        const std::string way_out = target_lost
                                        ? "\nWhere the target is lost for good, `segue rollback "
                                          "--force` goes on with what the source has."
                                        : "";
        return VerbResult::refused(report.reason + undone + waited + slowed + "." + way_out,
                                   change_details(change));
    }
    const std::string who = rehearsal
                                ? "nothing was changed"
                                : "the " + std::string{name(to)} + " is the authority, epoch " +
                                      std::to_string(parts_.change.traffic.epoch.load());
    return VerbResult::done(verb + ": " + waited + slowed + "; " + who, change_details(change));
}

// The new side is lost. The old one takes over with what it has; only the operator can say that the
// lost side cannot come back and accept a write, so it must be said.
VerbResult Operations::force_rollback(const Json& arguments) {
    const ControlRecord lost = *parts_.board.read().record;
    backfill::ControlStore& old_store = parts_.change.steps.control(Side::source);
    if (parts_.change.steps.control(Side::target).read()) {
        return VerbResult::refused(
            "the target answers: `segue rollback` without --force loses nothing");
    }
    const auto old_record = read_record(old_store, Side::source);
    if (!old_record) return VerbResult::refused(old_record.error().detail);
    const bool strict_sync = lost.knobs.mirror == router::Mirror::sync &&
                             parts_.config.mirror_policy == MirrorPolicy::strict;
    const std::string missing =
        strict_sync ? "mirror was sync and strict: every acknowledged commit is on the source; "
                      "commits whose answer was still held may be missing or not"
                    : "what the target acknowledged and the source had not applied yet is missing: "
                      "the last lag that `segue status` showed";
    if (const std::string name = arguments.value("confirm", ""); name != parts_.config.migration) {
        return VerbResult::refused(
            (name.empty() ? "" : "\"" + name + "\" is not the migration's name. ") +
                "Rollback without the target: " + missing +
                ".\nThe copy becomes invalid: the target is not followed any more.\nIsolate the "
                "target first, so that it "
                "cannot come back and accept writes: who gives the migration's name says that it "
                "is so.\n"
                "  segue rollback --force --confirm " +
                parts_.config.migration,
            {{"confirm", parts_.config.migration}});
    }
    const auto since = parts_.change.steps.log_end(Side::source);
    if (!since) return VerbResult::refused(since.error().detail);
    ControlRecord next = as_told(*old_record,
                                 std::max(lost.epoch, old_record->epoch) + forced_epoch_step,
                                 Side::source,
                                 router::Phase::steady);
    next.since = *since;
    next.backfill = router::Backfill::none;
    next.knobs = router::Knobs{};
    const auto written = old_store.compare_and_set(*old_record, next);
    if (!written || *written != backfill::Written::yes)
        return VerbResult::refused(
            "the source's control record could not be written: see `segue status`");
    parts_.change.mover.stop();
    mover_started_ = false;
    if (const Status opened = parts_.change.steps.open_fence(Side::source); !opened)
        return VerbResult::refused(opened.error().detail);
    const auto now = std::chrono::steady_clock::now();
    // Sessions that cannot stop are bound to a server that is gone; swap closes them.
    const Status held = parts_.change.sessions.hold(Side::source, now + config().drain);
    publish(next);
    parts_.change.sessions.swap(Side::source);
    parts_.change.sessions.release();
    parts_.change.journal.warning(
        "rollback", std::string{"forced: "} + missing + (held ? "" : "; sessions were closed"));
    return VerbResult::done("rollback forced: the source is the authority, epoch " +
                            std::to_string(next.epoch) + "; " + missing);
}

}  // namespace segue::proxy
