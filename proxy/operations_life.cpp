#include <openssl/rand.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "proxy/control_moves.hpp"
#include "proxy/findings.hpp"
#include "proxy/operations.hpp"
#include "proxy/status.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

constexpr std::chrono::milliseconds start_poll{50};

// 128 random bits as hex.
std::string new_migration_id() {
    unsigned char bits[16] = {};
    RAND_bytes(bits, sizeof bits);
    std::string text;
    for (const unsigned char byte : bits) {
        constexpr const char* digits = "0123456789abcdef";
        text.push_back(digits[byte >> 4]);
        text.push_back(digits[byte & 15]);
    }
    return text;
}

}  // namespace

// Prepared transactions come and go, and the slot waits for them as well: only one that stays for
// as long as the start waits refuses it.
Result<std::vector<backfill::Finding>> Operations::preflight_of_start() {
    const auto deadline = backfill::Clock::now() + start_wait;
    for (;;) {
        auto findings = parts_.preflight();
        if (!findings) return findings;
        const bool passing =
            std::all_of(findings->begin(), findings->end(), [](const backfill::Finding& one) {
                return one.severity != backfill::Severity::fail ||
                       one.code == "prepared_transaction";
            });
        const bool over = parts_.change.stopping || backfill::Clock::now() >= deadline;
        if (!passing || over || !has_failure(*findings)) return findings;
        std::this_thread::sleep_for(start_poll);
    }
}

VerbResult Operations::start(const Json&) {
    if (parts_.config.move_percent > 0) {
        return VerbResult::refused(
            "[development] move_percent is set: sessions are moved at random; take it out and name "
            "the target's URL");
    }
    const BoardState state = parts_.board.read();
    if (state.record && state.record->phase == router::Phase::finished) {
        return VerbResult::refused(
            "this migration is finished; to begin another one stop `segue run`, drop schema segue "
            "on both sides, and start it again");
    }
    if (state.record && state.record->epoch > 0 &&
        state.record->backfill == router::Backfill::none) {
        return VerbResult::refused(copy_invalid);
    }
    const bool prepared = state.record && state.record->backfill != router::Backfill::none;
    if (prepared && mover_started_) return started_already();
    if (!prepared) {
        const auto findings = preflight_of_start();
        if (!findings) return VerbResult::refused(findings.error().detail);
        if (has_failure(*findings)) {
            return VerbResult::refused("`segue check` fails: " + failures_line(*findings) + "\n" +
                                           findings_text(*findings, FindingsShown::failures),
                                       findings_json(*findings));
        }
    }
    ControlRecord record;
    record.migration = parts_.config.migration;
    record.migration_id = new_migration_id();
    if (state.record) record = *state.record;
    return begin_copying(std::move(record));
}

Status Operations::both_take_part() const {
    const BoardState state = parts_.board.read();
    for (const Side side : {Side::source, Side::target}) {
        const auto read = parts_.change.steps.control(side).read();
        const std::string where = "the " + std::string{name(side)};
        if (!read) return Error{Errc::closed, where + " cannot be reached: " + read.error().detail};
        if (*read || state.record->backfill == router::Backfill::none) continue;
        return Error{Errc::refused,
                     where + " holds no record of this migration: is [" + std::string{name(side)} +
                         "] url that of the database that is moved? If that was dropped on "
                         "purpose, drop schema segue, the publication and the slots of this "
                         "migration on the other side"};
    }
    return Done{};
}

// A mover that was started goes on by itself, also after runs that failed: between two of them
// nothing is to be prepared, and preparing again would be in the way of the next one.
VerbResult Operations::started_already() {
    const std::string begun =
        "started already: " + std::string{name(parts_.board.read().record->backfill)};
    if (const Status both = both_take_part(); !both && both.error().code == Errc::closed) {
        return VerbResult::done(begun + "\n" + both.error().detail +
                                "\nIt goes on by itself when that side is back.");
    } else if (!both) {
        return VerbResult::refused(both.error().detail);
    }
    const auto deadline = backfill::Clock::now() + start_wait;
    backfill::MoverStatus status = parts_.change.mover.status();
    while (!status.running && !parts_.change.stopping && backfill::Clock::now() < deadline) {
        std::this_thread::sleep_for(start_poll);
        status = parts_.change.mover.status();
    }
    note_mover_failure();
    std::string problems;
    for (const std::string& problem : status.problems) problems += "\n" + problem;
    if (!status.running)
        return VerbResult::refused("started already, but the mover does not run" + problems);
    return VerbResult::done(begun + problems);
}

VerbResult Operations::begin_copying(ControlRecord record) {
    const Side authority = record.authority;
    // An earlier start that did not come to its end has chosen the id already.
    for (const Side side : {Side::source, Side::target}) {
        const auto earlier = parts_.change.steps.control(side).read();
        if (!earlier) return VerbResult::refused(earlier.error().detail);
        if (*earlier && (*earlier)->migration == record.migration)
            record.migration_id = (*earlier)->migration_id;
    }
    if (const Status prepared = parts_.change.steps.prepare(record); !prepared) {
        // As a run that begins now would find it, so that finish can put back what is there.
        const auto begun = read_record(parts_.change.steps.control(authority), authority);
        if (begun && begun->migration_id == record.migration_id) publish(*begun);
        return VerbResult::refused(prepared.error().detail);
    }
    const auto written = read_record(parts_.change.steps.control(authority), authority);
    if (!written) return VerbResult::refused(written.error().detail);
    publish(*written);
    parts_.change.journal.set_durable(true);
    // Only now, so that a start that did not come to its end is not taken for a copy that can go
    // on.
    if (written->backfill == router::Backfill::none) {
        const auto copying = update_record([](ControlRecord& next) {
            next.backfill = router::Backfill::copying;
            next.knobs.mirror = router::Mirror::async;
            return allowed;
        });
        if (!copying) return VerbResult::refused(copying.error().detail);
    }
    start_mover();
    if (!mover_started_) return VerbResult::refused(parts_.board.read().mover_problem);
    const auto deadline = backfill::Clock::now() + start_wait;
    while (!parts_.change.stopping && backfill::Clock::now() < deadline) {
        const backfill::MoverStatus status = parts_.change.mover.status();
        if (status.running && status.backfill != router::Backfill::none) {
            parts_.change.journal.event("backfill", "copying has begun");
            return VerbResult::done("copying has begun; `segue status --watch` shows how it goes");
        }
        std::this_thread::sleep_for(start_poll);
    }
    note_mover_failure();
    return VerbResult::refused("copying has not begun within " +
                               std::to_string(start_wait.count() / 1000) +
                               " s: see the log and `segue status`");
}

VerbResult Operations::finish(const Json& arguments) {
    const BoardState state = parts_.board.read();
    if (!state.record)
        return VerbResult::refused("nothing is being moved: there is nothing to finish");
    const bool unfence = arguments.value("unfence", false);
    const bool finished = state.record->phase == router::Phase::finished;
    const Status both = both_take_part();
    // An earlier one may have ended in the middle, after its tombstones: what is left is put back.
    const VerbResult already =
        VerbResult::done("finished already: the " + std::string{name(state.record->authority)} +
                         " is the authority");
    if (finished && !unfence && !both) return already;
    // Both sides are put back, so both must be there before anything is given up.
    if (!both) return VerbResult::refused(both.error().detail);
    if (!finished && parts_.change.mover.status().moved_by_another) {
        return VerbResult::refused(
            "another Segue moves this migration, and its clients would be left where they are: run "
            "`segue finish` there, or stop that one first");
    }
    const Unmended unmended_now = finished ? Unmended{} : unmended();
    const std::string differing = unmended_now.text();
    const bool all_accepted = arguments.value("accept_differences", false);
    const std::string why = line_argument(arguments, "accept_differing_reads");
    const bool accepted = all_accepted || (unmended_now.rows.empty() && !why.empty());
    if (!differing.empty() && !accepted) {
        return VerbResult::refused(differing +
                                   ": nobody compares or mends anything after this. Run `segue "
                                   "repair`, which copies the rows again from the " +
                                   std::string{name(state.record->authority)} +
                                   ", and `segue verify`; or `segue finish --accept-differences`");
    }
    if (!finished && state.record->backfill != router::Backfill::none) {
        // Durable first: from here on nothing waits for the follower, also after a restart.
        const auto off = update_record(
            [](ControlRecord& record) {
                record.knobs = router::Knobs{};
                return allowed;
            },
            parts_.change.mover.lease(state.record->authority));
        if (!off) return VerbResult::refused(off.error().detail);
        publish(*off);
    }
    parts_.change.mover.stop();
    mover_started_ = false;
    ControlRecord tombstone = *parts_.board.read().record;
    tombstone.phase = router::Phase::finished;
    if (const Status done = parts_.change.steps.finish(tombstone, unfence); !done) {
        return VerbResult::refused(done.error().detail + "\nRun `segue finish" +
                                   (differing.empty() ? "" : " --accept-differences") +
                                   (unfence ? " --unfence" : "") + "` again when that is mended.");
    }
    if (finished && !unfence) return already;
    parts_.change.sessions.drop_other_connections();
    publish(tombstone);
    const std::string of_what =
        differing.empty() ? "" : "; accepted: " + differing + (why.empty() ? "" : " (" + why + ")");
    parts_.change.journal.event("finish",
                                "the move is over; the " + std::string{name(tombstone.authority)} +
                                    " is the authority" + of_what);
    return VerbResult::done(
        "finished: the " + std::string{name(tombstone.authority)} + " is the authority, " +
        (unfence ? "the other side's fence is open" : "the other side stays fenced") +
        "; schema segue keeps what happened on both (`segue events`)" + of_what);
}

// What is known to differ, where the target is to stay the truth. Otherwise to finish gives the
// target up.
Operations::Unmended Operations::unmended() {
    if (parts_.board.read().record->authority == Side::source) return {};
    Unmended all;
    const auto add = [&](const std::string& what) {
        all.rows += (all.rows.empty() ? "" : "; ") + what;
    };
    // Read anew: the background may have found something since the last tick.
    const Status there = connected({Side::target});
    const Status loaded = there ? load_verification() : there;
    if (!loaded) add("what was verified is not known: " + loaded.error().detail);
    const BoardState state = parts_.board.read();
    if (state.verify.outcome == VerifyOutcome::different) add("verification found differences");
    const Side follower = other(state.record->authority);
    if (parts_.change.mover.strays(follower) > 0)
        add("somebody else than Segue wrote to the " + std::string{name(follower)});
    const ShadowReport shadow = parts_.change.sessions.shadow_report();
    if (const std::string rows = rows_in_question(shadow, state.verify); !rows.empty()) add(rows);
    if (statements_that_differ(shadow) > 0)
        all.reads =
            "reads are answered differently (`segue statements`; `segue statements --forget` "
            "begins to count anew)";
    return all;
}

}  // namespace segue::proxy
