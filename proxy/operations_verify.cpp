#include <algorithm>
#include <nlohmann/json.hpp>

#include "proxy/certificate.hpp"
#include "proxy/operations.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using backfill::Verdict;
using backfill::Verification;
using nlohmann::json;

namespace {

std::uint64_t rows_per_second(const json& arguments, const Config& config) {
    const json rate = arguments.value("rows_per_second", json{});
    return rate.is_number_unsigned() ? rate.get<std::uint64_t>() : config.verify_rows_per_second;
}

bool is_stopped(const backfill::MoverStatus& status) {
    return std::any_of(status.tables.begin(), status.tables.end(), [](const auto& table) {
        return !table.stopped_because.empty();
    });
}

}  // namespace

void Operations::note_verification(const Verification& verification) {
    const bool equal = verification.verdict == Verdict::equal;
    verification_loaded_ = true;
    parts_.board.update([&](BoardState& state) {
        state.verify = {equal ? VerifyOutcome::equal : VerifyOutcome::different,
                        verification.rows(),
                        verification.differences(),
                        verification.ended_at,
                        verification.every_row_since()};
    });
}

Status Operations::load_verification() {
    const auto verification = parts_.change.mover.verified();
    if (!verification) {
        return Error{verification.error().code,
                     "what was verified earlier cannot be read: " + verification.error().detail};
    }
    verification_loaded_ = true;
    if (*verification) note_verification(**verification);
    return Done{};
}

void Operations::note_background() {
    if (!not_consistent().empty() || !parts_.change.mover.status().running) return;
    const backfill::BackgroundVerification now = parts_.change.mover.background();
    const bool news =
        now.rounds != background_rounds_ || now.differences != background_differences_;
    if (verification_loaded_ && !news) return;
    // Tried again with the next tick; a change of authority waits for it and says why.
    const bool known = parts_.board.read().verify.outcome == VerifyOutcome::different;
    if (const Status loaded = load_verification(); !loaded) return;
    if (!known && now.differences > background_differences_) {
        parts_.change.journal.warning(
            "verify",
            counted(now.differences, "difference was", "differences were") +
                " found in the background");
    }
    background_rounds_ = now.rounds;
    background_differences_ = now.differences;
}

VerbResult Operations::verify(const Json& arguments) {
    if (std::string reason = not_consistent(); !reason.empty()) return VerbResult::refused(reason);
    if (arguments.value("last", false)) return last_verification(arguments);
    if (const json rate = arguments.value("background", json{}); rate.is_number_unsigned()) {
        parts_.change.mover.verify_in_background(rate.get<std::uint64_t>());
        return VerbResult::done(rate == 0 ? "no more verification in the background"
                                          : "verifying in the background: see `segue status`");
    }
    if (parts_.board.read().record->knobs.paused) return VerbResult::refused(paused_text);
    if (const Status there = connected({parts_.board.read().record->authority}); !there)
        return VerbResult::refused(there.error().detail);
    if (!verification_loaded_) {
        if (const Status loaded = load_verification(); !loaded)
            return VerbResult::refused(loaded.error().detail);
    }
    const VerifyState before = parts_.board.read().verify;
    parts_.board.update([](BoardState& state) { state.verify.outcome = VerifyOutcome::running; });
    const auto verified =
        parts_.change.mover.verify({.asked_by = asked_by(arguments),
                                    .build = build_text(),
                                    .rows_per_second = rows_per_second(arguments, config()),
                                    .anew = arguments.value("anew", false)});
    if (!verified) {
        parts_.board.update([&](BoardState& state) { state.verify = before; });
        // It may have found a difference before it broke off: that stands.
        verification_loaded_ = false;
        return VerbResult::refused(
            "verification could not be completed: " + verified.error().detail +
            "\n`segue verify` goes on where it was.");
    }
    // One that went on says nothing of what the background has found since in the tables before.
    const auto standing = parts_.change.mover.verified();
    const bool outdated = verified->verdict == Verdict::equal && standing && *standing &&
                          (*standing)->verdict != Verdict::equal;
    note_verification(outdated ? **standing : *verified);
    parts_.change.journal.event("verify",
                                counted(verified->rows(), "row", "rows") + " compared, " +
                                    counted(verified->differences(), "difference", "differences"));
    if (verified->verdict != Verdict::equal) return tell_verification(*verified);
    if (!standing) {
        parts_.board.update([&](BoardState& state) { state.verify = before; });
        verification_loaded_ = false;
        return VerbResult::refused("what was verified earlier cannot be read: " +
                                   standing.error().detail);
    }
    if (outdated) return tell_verification(**standing);
    // What had been written there by others when it began has been compared.
    const Side follower = other(parts_.board.read().record->authority);
    const Status mended = parts_.change.mover.strays_mended(follower, verified->strays);
    if (mended) return tell_verification(*verified);
    return VerbResult::refused(verification_text(*verified) +
                               ", but the stray writes of earlier stay on record: " +
                               mended.error().detail + "; run `segue verify --anew`");
}

VerbResult Operations::last_verification(const Json&) {
    if (const Status there = connected({parts_.board.read().record->authority}); !there)
        return VerbResult::refused(there.error().detail);
    const auto verified = parts_.change.mover.verified();
    if (!verified) return VerbResult::refused(verified.error().detail);
    if (!*verified) return VerbResult::refused("nothing has been verified yet: run `segue verify`");
    return tell_verification(**verified);
}

VerbResult Operations::tell_verification(const Verification& verification) {
    const auto repairs = parts_.change.mover.repairs(verification.id);
    if (!repairs) return VerbResult::refused(repairs.error().detail);
    const json details =
        verification_details(verification,
                             *repairs,
                             {parts_.config.migration, parts_.board.read().record->migration_id});
    const std::string text = verification_text(verification);
    if (verification.verdict != Verdict::equal) return VerbResult::refused(text, details);
    return VerbResult::done(text, details);
}

// Why a stream that a table has stopped may not be passed on now. Empty: it may.
std::string Operations::refused_passing() const {
    const router::Knobs knobs = parts_.board.read().record->knobs;
    const char* remedy = knobs.mirror == router::Mirror::sync
                             ? "commits wait for the follower: run `segue mirror async` first"
                         : knobs.shift_percent > 0
                             ? "reads are shifted to the follower: run `segue shift 0` first"
                         : knobs.paused ? paused_text
                                        : "";
    if (*remedy == '\0') return "";
    return std::string{"the stream is stopped by a table, and "} + remedy;
}

// Where a table has stopped the stream there is nothing to compare before it goes on.
VerbResult Operations::pass_stopped(const Json& arguments) {
    if (std::string reason = refused_passing(); !reason.empty()) return VerbResult::refused(reason);
    const auto passed = parts_.change.mover.pass_stopped(asked_by(arguments));
    // It may have noted that tables differ before it broke off: that stands.
    verification_loaded_ = false;
    if (!passed) return VerbResult::refused(passed.error().detail);
    std::string tables;
    for (const std::string& table : passed->tables) tables += (tables.empty() ? "" : ", ") + table;
    const std::string text = "the stream goes on; " +
                             counted(passed->changes, "change was", "changes were") +
                             " passed over that did not fit " + tables;
    parts_.change.journal.warning("repair", text);
    VerbResult verified = verify(arguments);
    verified.text = text + "\n" + verified.text;
    return verified;
}

// What is not copied yet has nothing to compare: the table begins anew.
VerbResult Operations::copy_stopped_again() {
    if (parts_.board.read().record->knobs.paused) return VerbResult::refused(paused_text);
    const auto again = parts_.change.mover.copy_stopped_again();
    if (!again) return VerbResult::refused(again.error().detail);
    std::string tables;
    for (const std::string& table : *again) tables += (tables.empty() ? "" : ", ") + table;
    const std::string text = "copied again from the beginning: " + tables;
    parts_.change.journal.warning("repair", text);
    return VerbResult::done(text);
}

VerbResult Operations::repair(const Json& arguments) {
    if (std::string reason = not_moving(); !reason.empty()) return VerbResult::refused(reason);
    const bool copying = parts_.board.read().record->backfill == router::Backfill::copying;
    if (copying && is_stopped(parts_.change.mover.status())) return copy_stopped_again();
    if (std::string reason = not_consistent(); !reason.empty()) return VerbResult::refused(reason);
    std::string passed;
    if (is_stopped(parts_.change.mover.status())) {
        VerbResult verified = pass_stopped(arguments);
        if (parts_.board.read().verify.outcome != VerifyOutcome::different) return verified;
        passed = verified.text + "\n";
    }
    VerbResult repaired = repair_differences(arguments);
    repaired.text = passed + repaired.text;
    return repaired;
}

VerbResult Operations::repair_differences(const Json& arguments) {
    if (const Status there = connected({parts_.board.read().record->authority}); !there)
        return VerbResult::refused(there.error().detail);
    if (!verification_loaded_) {
        if (const Status loaded = load_verification(); !loaded)
            return VerbResult::refused(loaded.error().detail);
    }
    if (parts_.board.read().verify.outcome != VerifyOutcome::different) {
        return VerbResult::done("no difference is known; `segue verify` looks for some");
    }
    const auto repaired = parts_.change.mover.repair(asked_by(arguments));
    if (!repaired) return VerbResult::refused(repaired.error().detail);
    parts_.change.journal.event("repair", counted(repaired->rows, "row", "rows"));
    if (repaired->tables.empty() && !repaired->failed.empty())
        return VerbResult::refused(repair_text(*repaired));
    // Mended is only what a comparison says is equal: of the tables that were written to.
    VerbResult verified = verify(arguments);
    verified.text = repair_text(*repaired) + "\n" + verified.text;
    verified.details["repaired"] = repair_json(repaired->tables);
    verified.details["failed"] = repaired->failed;
    if (!repaired->failed.empty()) verified.exit_code = 1;
    return verified;
}

}  // namespace segue::proxy
