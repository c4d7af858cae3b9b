// Who is the mover: the lease on both sides, and whether the records say what this process goes by.

#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr Side both_sides[] = {Side::source, Side::target};

Error of_side(Side side, Error error) {
    error.detail = std::string{name(side)} + ": " + error.detail;
    return error;
}

}  // namespace

Status MoverRun::take_leases() {
    for (const Side side : both_sides) {
        auto opened = link(side, LinkKind::writer);
        if (!opened) return opened.error();
        const auto generation = take_lease(
            **opened, shared_.identity, slot_name(shared_.settings.migration, side), interrupts_);
        if (!generation) {
            if (generation.error().code == Errc::timed_out) note_lease(LeaseState::of_another);
            return generation.error();
        }
        generations_[index(side)] = *generation;
        const std::lock_guard lock{shared_.mutex};
        shared_.leases[index(side)] = *generation;
    }
    note_lease(LeaseState::own);
    return Done{};
}

void MoverRun::note_lease(LeaseState lease) {
    const std::lock_guard lock{shared_.mutex};
    shared_.lease = lease;
    if (lease != LeaseState::own) shared_.leases[0] = shared_.leases[1] = std::nullopt;
}

Result<Claims> MoverRun::read_claims(bool both) {
    Claims claims;
    for (const Side side : both_sides) {
        auto opened = link(side, LinkKind::writer);
        auto claim = opened ? read_claim(**opened, shared_.identity.migration_id)
                            : Result<std::optional<Claim>>{opened.error()};
        if (!claim && both) return of_side(side, claim.error());
        if (claim) claims.by_side[index(side)] = *claim;
    }
    return claims;
}

// Only what is newer than what we were told ends a run here. A record that is older, as after a
// failover, is for the checks of the servers to judge; without a reason of theirs it is one itself.
Status MoverRun::expect_authority(const Told& told, const Claims& claims) {
    const Standing found = standing(told, claims);
    switch (found) {
        case Standing::as_told:
            return Done{};
        case Standing::lost:
            record_lost_ = text(found, told);
            return Done{};
        case Standing::changed:
        case Standing::interrupted:
        case Standing::finished:
            note_lease(LeaseState::superseded);
            return Error{Errc::timed_out, text(found, told)};
    }
    return Done{};
}

// All the time: who has no lease may have rolled back by force or finished.
Status MoverRun::expect_authority_still() {
    const Told before = shared_.told();
    Claims claims;
    for (const Side side : both_sides) {
        const std::lock_guard lock{keeper_mutex_[index(side)]};
        auto claim = read_claim(**keepers_[index(side)], shared_.identity.migration_id);
        if (!claim) return of_side(side, claim.error());
        claims.by_side[index(side)] = *claim;
    }
    // A change of our own may have gone on meanwhile.
    return shared_.told() == before ? expect_authority(before, claims) : Status{Done{}};
}

// The lease first: from then on no other mover works, and who has begun a change cannot commit it.
Status MoverRun::take_over() {
    const Status taken = take_leases();
    const bool of_another = !taken && taken.error().code == Errc::timed_out;
    if (of_another) return taken;
    const Told before = shared_.told();
    const auto claims = read_claims(taken.has_value());
    if (!claims) return taken ? Status{claims.error()} : taken;
    if (!(shared_.told() == before))
        return Error{Errc::closed, "the authority was changed while its records were read"};
    const Status expected = expect_authority(before, *claims);
    return taken ? expected : taken;
}

}  // namespace segue::backfill::postgres
