#include "router/route.hpp"

namespace segue::router {

namespace {

bool is_shifted(ShiftClaim claim, const Knobs& knobs, Shares& shares) {
    switch (claim) {
        case ShiftClaim::none:
        case ShiftClaim::uncertain:
            return false;
        case ShiftClaim::share:
            return shares.shift.take(knobs.shift_percent);
        case ShiftClaim::whole:
            return true;
    }
    return false;
}

}  // namespace

Plan route(Backfill backfill,
           const Knobs& knobs,
           ReadIntent intent,
           FollowerConnection connection,
           ShiftClaim claim,
           Shares& shares) {
    Plan plan;
    if (backfill != Backfill::consistent) return plan;
    if (!is_for_follower(intent)) return plan;
    if (connection == FollowerConnection::none) return plan;

    const bool ready = connection == FollowerConnection::ready;
    if (is_shifted(claim, knobs, shares)) {
        if (ready) {
            plan.answers = Answerer::follower;
            return plan;  // Nothing is compared: the authority is not asked.
        }
        plan.want_connection = true;
        if (claim == ShiftClaim::share) shares.shift.give_back();
    }
    if (claim == ShiftClaim::uncertain && !ready) plan.want_connection = true;
    if (shares.shadow.take(knobs.shadow_percent)) {
        if (ready) {
            plan.shadow = true;
        } else {
            plan.want_connection = true;
            shares.shadow.give_back();
        }
    }
    return plan;
}

}  // namespace segue::router
