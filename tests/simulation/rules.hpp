#pragma once
// What the world of the simulation keeps to, each under the number of the law it comes from
// (DESIGN 3). A mutant is a world without one of them: there a seed must be found that ends in a
// violation. What the real code decides by itself is not among them.

namespace segue::simulation {

struct Rules {
    // 1. One order.
    bool apply_in_stream_order = true;
    // 2. One writer.
    bool fence_refuses_writers = true;
    bool apply_strictly = true;
    bool strays_are_counted = true;
    // 3. Atomic progress.
    bool progress_with_the_rows = true;
    bool progress_beyond_the_chunks = true;  // Before the copy is on record as consistent.
    bool remember_commits_beyond = true;
    bool confirm_only_what_is_durable = true;
    bool unseen_are_durable = true;
    // 4. Visibility is not stream order.
    bool snapshot_sees_what_was_dispatched = true;
    bool wait_for_the_log_end = true;
    bool park_what_the_twin_does_not_see = true;
    bool drain_before_comparing = true;
    // 5. Fence, then read the position.
    bool fence_waits_for_writers = true;
    bool wait_for_the_tickets = true;
    // 6. No cutover without a way back.
    bool way_back_before_consistent = true;
    // 7. Intent before action.
    bool recover_before_serving = true;
    // 8. Never guess an outcome.
    bool lost_answer_is_unknown = true;
    // 9. Unsure is the safe side.
    bool unreadable_is_not_absent = true;
    // The gate of `mirror sync`.
    bool token_after_the_answer = true;
    bool release_at_the_token = true;
};

}  // namespace segue::simulation
