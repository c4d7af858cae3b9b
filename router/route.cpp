#include "router/route.hpp"

namespace segue::router {

Plan route(Backfill backfill,
           const Knobs& knobs,
           ReadIntent intent,
           FollowerConnection connection,
           Shares& shares) {
    Plan plan;
    if (backfill != Backfill::consistent) return plan;
    if (intent == ReadIntent::other || intent == ReadIntent::authority_only) return plan;
    if (connection == FollowerConnection::none) return plan;

    const bool ready = connection == FollowerConnection::ready;
    if (shares.shift.take(knobs.shift_percent)) {
        if (ready) {
            plan.answers = Answerer::follower;
            return plan;  // Nothing is compared: the authority is not asked.
        }
        plan.want_connection = true;
        shares.shift.give_back();
    }
    if (intent == ReadIntent::comparable_read && shares.shadow.take(knobs.shadow_percent)) {
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
