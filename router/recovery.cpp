#include "router/recovery.hpp"

#include <array>
#include <optional>

namespace segue::router {

namespace {

struct Readings {
    std::array<Reading, 2> by_side;

    const SideRecord* record(Side side) const {
        return std::get_if<SideRecord>(&by_side[index(side)]);
    }
    bool unreadable(Side side) const {
        return std::holds_alternative<Unreadable>(by_side[index(side)]);
    }
    bool absent(Side side) const { return std::holds_alternative<Absent>(by_side[index(side)]); }
    // The side says of itself: I answer for the data, and nothing is under way.
    bool claims(Side side) const {
        const SideRecord* r = record(side);
        return r != nullptr && r->authority == side && r->phase == Phase::steady;
    }
    bool has_intent(Side side) const {
        const SideRecord* r = record(side);
        return r != nullptr && (r->phase == Phase::switching || r->phase == Phase::deciding);
    }
};

constexpr std::array both_sides = {Side::source, Side::target};

Recovery refuse(std::string_view reason) { return Refuse{reason}; }

// After `finish` there are no more changes of authority, so a tombstone is believed alone. If
// `finish` was interrupted, the other record still says the same epoch and authority.
std::optional<Recovery> by_tombstone(const Readings& readings) {
    const SideRecord* tombstone = nullptr;
    for (const Side side : both_sides) {
        const SideRecord* r = readings.record(side);
        if (r != nullptr && r->phase == Phase::finished &&
            (tombstone == nullptr || r->epoch > tombstone->epoch)) {
            tombstone = r;
        }
    }
    if (tombstone == nullptr) return std::nullopt;
    for (const Side side : both_sides) {
        const SideRecord* r = readings.record(side);
        if (r == nullptr) continue;
        if (r->epoch > tombstone->epoch)
            return refuse("one side says finished, the other has a later epoch");
        if (r->epoch == tombstone->epoch && r->authority != tombstone->authority) {
            return refuse("both sides have the same epoch and name different authorities");
        }
    }
    return Serve{tombstone->authority, tombstone->epoch, true};
}

// `old_side` has an open intent; the other side is what it may have told.
Recovery by_intent(const Readings& readings, Side old_side) {
    const Side new_side = other(old_side);
    const SideRecord& intent = *readings.record(old_side);
    if (intent.authority != old_side)
        return refuse("a side has an intent and is not the authority");
    const SideRecord* told = readings.record(new_side);
    if (told != nullptr) {
        if (readings.has_intent(new_side)) return refuse("both sides have an open intent");
        if (told->epoch > intent.epoch) return refuse("the new side is ahead of the intent");
        if (told->authority == new_side && told->epoch == intent.epoch) {
            // Before `deciding` nobody may commit the epoch.
            if (intent.phase == Phase::switching)
                return refuse("an epoch was committed before it was decided");
            return GoForward{new_side};
        }
        if (told->authority == new_side) return refuse("two sides claim to be the authority");
    }
    if (intent.phase == Phase::switching) {
        if (intent.identity_changed && readings.unreadable(new_side)) {
            return HoldAndRetry{
                "the old side is another server than recorded, and the new side cannot be read"};
        }
        return UndoIntent{old_side};
    }
    if (readings.unreadable(new_side))
        return HoldAndRetry{"a change was being decided, and the new side cannot be read"};
    if (told == nullptr)
        return refuse("a change was being decided, and the new side's record is gone");
    // Equal epochs, and the new side names the old one: "aborted" is on record, a late commit must
    // fail.
    if (told->epoch == intent.epoch) return UndoIntent{old_side};
    return AbortEpochFirst{old_side};
}

Recovery by_claim(const Readings& readings, Side side) {
    const SideRecord& claim = *readings.record(side);
    const SideRecord* second = readings.record(other(side));
    if (second == nullptr) {
        if (claim.identity_changed && readings.unreadable(other(side))) {
            return HoldAndRetry{
                "the authority is another server than recorded, and the other side cannot be read"};
        }
        return Serve{side, claim.epoch, false};
    }
    if (second->authority == side) return Serve{side, claim.epoch, false};
    if (second->epoch == claim.epoch)
        return refuse("both sides have the same epoch and name different authorities");
    // Both claim: after a forced rollback, or a standby that had lost the record. The later epoch
    // is right.
    if (readings.claims(other(side))) {
        return second->epoch > claim.epoch ? Serve{other(side), second->epoch, false}
                                           : Serve{side, claim.epoch, false};
    }
    return refuse("the records contradict each other");
}

}  // namespace

Recovery recover(const Reading& source, const Reading& target) {
    const Readings readings{{source, target}};
    if (const auto tombstone = by_tombstone(readings)) return *tombstone;
    for (const Side side : both_sides) {
        if (readings.has_intent(side)) return by_intent(readings, side);
    }
    for (const Side side : both_sides) {
        if (readings.claims(side)) return by_claim(readings, side);
    }
    // Nobody claims. `start` writes the source's record first, and no verb removes one: a source
    // without a record has never been moved, whatever the target would say.
    if (readings.absent(Side::source)) {
        const SideRecord* told = readings.record(Side::target);
        if (told != nullptr && told->epoch > 0) return refuse("the source's record is gone");
        return NoMigration{};
    }
    if (readings.unreadable(Side::source))
        return HoldAndRetry{"the source cannot be read, and the target is not the authority",
                            NewClients::leave};
    if (readings.unreadable(Side::target))
        return HoldAndRetry{"the target is the authority and cannot be read", NewClients::leave};
    return refuse("no side is the authority");
}

}  // namespace segue::router
