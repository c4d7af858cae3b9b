#include "proxy/recover.hpp"

#include <array>
#include <future>
#include <utility>
#include <variant>

#include "proxy/control_moves.hpp"
#include "router/recovery.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

constexpr int decisions_max = 8;  // Of one round: no history needs more than four.

struct BothRecords {
    std::array<std::optional<ControlRecord>, 2> records;
    std::array<std::string, 2> unreadable;  // Why; empty: it was read.
    std::array<bool, 2> identity_changed = {false, false};

    router::Reading reading(Side side) const {
        if (!unreadable[index(side)].empty()) return router::Unreadable{};
        const auto& record = records[index(side)];
        if (!record) return router::Absent{};
        return router::SideRecord{
            record->epoch, record->authority, record->phase, identity_changed[index(side)]};
    }
    std::string why_unreadable() const {
        std::string all;
        for (const std::string& why : unreadable) {
            if (!why.empty()) all += (all.empty() ? "" : "; ") + why;
        }
        return all;
    }
    // For clients, who are nobody yet: no server's own words.
    std::string sides_unreadable() const {
        std::string sides;
        for (const Side side : {Side::source, Side::target}) {
            if (unreadable[index(side)].empty()) continue;
            sides += (sides.empty() ? "the " : " and the ") + std::string{name(side)};
        }
        return sides + " cannot be reached";
    }
};

// At once, because a host that does not answer costs the whole connect timeout.
BothRecords read_both(backfill::ChangeSteps& steps) {
    backfill::ControlStore& source = steps.control(Side::source);
    backfill::ControlStore& target = steps.control(Side::target);
    auto target_read = std::async(std::launch::async, [&target] { return target.read(); });
    std::array results = {source.read(), target_read.get()};
    BothRecords both;
    for (const Side side : {Side::source, Side::target}) {
        auto& result = results[index(side)];
        if (result) {
            both.records[index(side)] = *result;
        } else {
            both.unreadable[index(side)] = std::string{name(side)} + ": " + result.error().detail;
        }
    }
    for (const Side side : {Side::source, Side::target}) {
        auto& record = both.records[index(side)];
        if (!record || record->phase == router::Phase::finished) continue;
        const auto changed = steps.identity_changed(*record);
        if (changed) {
            both.identity_changed[index(side)] = *changed;
        } else {
            both.unreadable[index(side)] = changed.error().detail;
        }
    }
    return both;
}

// Empty when both records, as far as there are any, belong to the configured migration and stand
// where they are configured to.
std::string foreign(const BothRecords& both, const std::string& migration) {
    for (const Side side : {Side::source, Side::target}) {
        const auto& record = both.records[index(side)];
        if (record && record->migration == migration && record->side != side) {
            return "the " + std::string{name(side)} + "'s URL leads to the " +
                   std::string{name(record->side)} + " of the migration \"" + migration +
                   "\": correct [source] url and [target] url";
        }
    }
    for (const auto& record : both.records) {
        if (record && record->migration != migration) {
            return "the " + std::string{name(record->side)} + " belongs to the migration \"" +
                   record->migration + "\", the configuration says \"" + migration +
                   "\": correct [migration] name";
        }
    }
    const auto& [source, target] = both.records;
    if (source && target && source->migration_id != target->migration_id) {
        return "source and target hold records of two different migrations of the name \"" +
               migration + "\"";
    }
    return "";
}

class Round {
public:
    Round(backfill::ChangeSteps& steps, Journal& journal, const BothRecords& both)
        : steps_(steps), journal_(journal), both_(both) {}

    // The end of recovery, or nothing: read again and decide anew.
    std::optional<RecoveryRound> act(const router::NoMigration&) {
        return RecoveryRound{.through = true};
    }

    std::optional<RecoveryRound> act(const router::Serve& serve) {
        RecoveryRound round{.through = true, .record = record_for(serve)};
        if (serve.finished) return round;
        if (both_.identity_changed[index(serve.side)]) {
            journal_.warning("recovery",
                             "the " + std::string{name(serve.side)} +
                                 " is another server, or on another timeline, than recorded");
        }
        // A flag outside MVCC cannot be part of the epoch's commit: it may still be closed.
        const auto closed = steps_.fence_is_closed(serve.side);
        if (!closed) return waiting(closed.error().detail);
        if (*closed) {
            if (auto busy = busy_elsewhere(serve.side)) return busy;
            if (const Status opened = steps_.open_fence(serve.side); !opened)
                return waiting(opened.error().detail);
            journal_.event("recovery",
                           "the fence of the " + std::string{name(serve.side)} +
                               " was opened: it is the authority");
        }
        round.follower_behind = !settle_follower(steps_, *round.record);
        return round;
    }
    std::optional<RecoveryRound> act(const router::HoldAndRetry& hold) {
        auto round = waiting(std::string{hold.reason} + " (" + both_.why_unreadable() + ")");
        if (hold.new_clients == router::NewClients::leave)
            round->unreachable = both_.sides_unreadable();
        return round;
    }
    std::optional<RecoveryRound> act(const router::UndoIntent& undo) {
        if (auto busy = busy_elsewhere(undo.old_side)) return busy;
        journal_.event(
            "recovery",
            "a change of authority was interrupted before its point of no return: undone");
        return unless_done(
            undo_intent(steps_, undo.old_side, *both_.records[index(undo.old_side)]));
    }
    std::optional<RecoveryRound> act(const router::AbortEpochFirst& abort) {
        if (auto busy = busy_elsewhere(abort.old_side)) return busy;
        const std::uint64_t epoch = both_.records[index(abort.old_side)]->epoch;
        if (ask_epoch(steps_, other(abort.old_side), epoch) != router::Outcome::unknown)
            return std::nullopt;
        return waiting("the " + std::string{name(other(abort.old_side))} +
                       " did not answer whether epoch " + std::to_string(epoch) + " is committed");
    }
    std::optional<RecoveryRound> act(const router::GoForward& forward) {
        if (auto busy = busy_elsewhere(forward.new_side)) return busy;
        journal_.event(
            "recovery",
            "a change of authority was interrupted after its point of no return: it goes on");
        return unless_done(settle_follower(steps_, *both_.records[index(forward.new_side)]));
    }
    std::optional<RecoveryRound> act(const router::Refuse& refuse) {
        return waiting("refused: " + std::string{refuse.reason} +
                       "; compare table segue.control of both sides");
    }

private:
    // A change that a living Segue has under way is not ours to end, and a fence that it has closed
    // not ours to open: it knows what its mover has been told. One that is frozen loses the lease
    // within seconds.
    std::optional<RecoveryRound> busy_elsewhere(Side side) const {
        const auto holder = steps_.other_mover(side);
        if (!holder || holder->empty()) return std::nullopt;
        return waiting("another Segue (" + *holder + ") is changing the authority");
    }
    std::optional<RecoveryRound> waiting(std::string why) const {
        return RecoveryRound{.waiting_for = std::move(why)};
    }
    std::optional<RecoveryRound> unless_done(const Status& status) const {
        return status ? std::nullopt : waiting(status.error().detail);
    }
    // A tombstone may be on the other side only.
    std::optional<ControlRecord> record_for(const router::Serve& serve) const {
        for (const Side side : {serve.side, other(serve.side)}) {
            const auto& record = both_.records[index(side)];
            if (!record || record->epoch != serve.epoch || record->authority != serve.side)
                continue;
            if (serve.finished == (record->phase == router::Phase::finished)) return record;
        }
        return std::nullopt;
    }

    backfill::ChangeSteps& steps_;
    Journal& journal_;
    const BothRecords& both_;
};

}  // namespace

RecoveryRound recover_once(backfill::ChangeSteps& steps,
                           Journal& journal,
                           const std::string& migration) {
    for (int decision = 0; decision < decisions_max; ++decision) {
        const BothRecords both = read_both(steps);
        if (std::string reason = foreign(both, migration); !reason.empty())
            return {.waiting_for = std::move(reason)};
        const router::Recovery recovery =
            router::recover(both.reading(Side::source), both.reading(Side::target));
        Round round{steps, journal, both};
        auto ended = std::visit([&](const auto& step) { return round.act(step); }, recovery);
        if (ended) return *std::move(ended);
    }
    return {.waiting_for = "the control records keep changing: is another Segue at work?"};
}

}  // namespace segue::proxy
