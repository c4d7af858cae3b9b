#include "proxy/control_moves.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace segue::proxy {

using backfill::ControlRecord;
using backfill::Written;
using router::Outcome;
using router::Phase;

namespace {

constexpr std::chrono::milliseconds glance_pause{10};

}  // namespace

std::optional<ControlRecord> glance(backfill::ControlStore& store, int times_max) {
    for (int times = 1;; ++times) {
        auto record = store.glance();
        if (record || times >= times_max) return record;
        std::this_thread::sleep_for(glance_pause);
    }
}

Result<ControlRecord> read_record(backfill::ControlStore& store, Side side) {
    auto read = store.read();
    if (!read) {
        Error named = read.error();
        named.detail = "the " + std::string{name(side)} + ": " + named.detail;
        return named;
    }
    if (!*read) {
        return Error{Errc::refused,
                     "the " + std::string{name(side)} +
                         " has no control record: has `segue start` been run?"};
    }
    return **read;
}

ControlRecord as_told(const ControlRecord& own, std::uint64_t epoch, Side authority, Phase phase) {
    ControlRecord next = own;
    next.epoch = epoch;
    next.authority = authority;
    next.phase = phase;
    next.attempt = own.attempt + 1;
    next.shift_not_understood = false;
    return next;
}

Status undo_intent(backfill::ChangeSteps& steps, Side old_side, const ControlRecord& ours) {
    backfill::ControlStore& store = steps.control(old_side);
    const auto record = read_record(store, old_side);
    if (!record) return record.error();
    if (record->epoch > ours.epoch) return Done{};
    if (record->phase == Phase::steady && record->attempt > ours.attempt) return Done{};
    if (record->phase == Phase::finished) return Error{Errc::refused, "the migration is finished"};
    ControlRecord next = as_told(*record, record->epoch, record->authority, Phase::steady);
    next.attempt = std::max(record->attempt, ours.attempt) + 1;
    const auto written = store.compare_and_set(*record, next);
    if (!written) return written.error();
    switch (*written) {
        case Written::yes:
            return Done{};
        case Written::conflict:
            return Error{Errc::refused,
                         "the control record was changed by somebody else meanwhile"};
        case Written::unknown:
            return Error{Errc::in_doubt,
                         "the answer of the " + std::string{name(old_side)} + " was lost"};
    }
    return Done{};
}

Outcome ask_epoch(backfill::ChangeSteps& steps, Side new_side, std::uint64_t epoch) {
    backfill::ControlStore& store = steps.control(new_side);
    const auto record = read_record(store, new_side);
    if (!record) return Outcome::unknown;
    if (record->epoch >= epoch) {
        // Once the epoch is in the record nobody else can put it there.
        return record->authority == new_side ? Outcome::done : Outcome::failed;
    }
    const auto written =
        store.compare_and_set(*record, as_told(*record, epoch, other(new_side), Phase::steady));
    return written && *written == Written::yes ? Outcome::failed : Outcome::unknown;
}

Status settle_follower(backfill::ChangeSteps& steps, const ControlRecord& authority) {
    if (authority.authority != authority.side)
        return Error{Errc::bad_value, "the record of the follower tells nothing of the authority's"};
    const Side follower = other(authority.side);
    backfill::ControlStore& store = steps.control(follower);
    const auto record = read_record(store, follower);
    if (!record) return record.error();
    if (record->epoch == authority.epoch && record->authority == authority.side &&
        record->phase == Phase::steady) {
        return Done{};
    }
    if (record->epoch > authority.epoch && record->authority != authority.side) {
        return Error{Errc::refused, "the " + std::string{name(follower)} + " has a later epoch"};
    }
    ControlRecord next =
        as_told(*record, std::max(record->epoch, authority.epoch), authority.side, Phase::steady);
    next.backfill = authority.backfill;
    next.knobs = authority.knobs;
    const auto written = store.compare_and_set(*record, next);
    if (!written) return written.error();
    if (*written == Written::yes) return Done{};
    return Error{Errc::in_doubt,
                 "the " + std::string{name(follower)} + "'s control record was not written"};
}

}  // namespace segue::proxy
