#include "proxy/auto_view.hpp"

#include "proxy/operations.hpp"

namespace segue::proxy {

router::Course course_of(const BoardState& board) {
    return board.record ? course_of(*board.record) : router::Course{};
}

router::Course course_of(const backfill::ControlRecord& record) {
    return {record.authority,
            record.knobs.shadow_percent,
            record.knobs.shift_percent,
            record.knobs.paused,
            record.phase == router::Phase::finished,
            record.knobs.shift_scope};
}

namespace {

router::Where where_of(const StatusInputs& inputs, WallTime now) {
    const BoardState& board = inputs.board;
    router::Where where;
    where.blockers = rollback_blockers(inputs);
    where.course_changes = board.course_changes;
    if (!board.record) return where;
    const backfill::ControlRecord& record = *board.record;
    where.begun = true;
    where.course = course_of(board);
    where.consistent = record.backfill == router::Backfill::consistent;
    where.mirror_sync = record.knobs.mirror == router::Mirror::sync;
    const VerifyState& verify = board.verify;
    const bool recent = verify.at && *verify.at >= now - required_verdict_age_max;
    where.verified_equal = verify.outcome == VerifyOutcome::equal && recent;
    where.verified_different = verify.outcome == VerifyOutcome::different;
    where.stray_writes = inputs.mover.stray_writes;
    where.rows_in_question = rows_in_question(inputs.shadow, verify);
    where.differing_statements = statements_that_differ(inputs.shadow);
    return where;
}

router::Counters counters_of(const StatusInputs& inputs) {
    router::Counters counters;
    counters.compared = inputs.shadow.compared;
    counters.different = inputs.shadow.different;
    counters.served = inputs.shift.served_by_follower;
    counters.fallbacks = inputs.shift.fallbacks;
    counters.transactions = inputs.sessions.transactions;
    counters.errors = inputs.sessions.errors;
    // Of a read that the follower answers the authority knows nothing.
    counters.requests = inputs.sessions.requests + inputs.shift.served_by_follower;
    const auto& record = inputs.board.record;
    if (!record || record->phase == router::Phase::finished) return counters;
    const backfill::StreamStatus& stream = inputs.mover.streams[index(record->authority)];
    counters.follower_there = inputs.mover.running && stream.connected && stream.problem.empty();
    // A lag that nobody has measured since the stream broke says nothing.
    if (*counters.follower_there) counters.lag_seconds = stream.lag_seconds;
    return counters;
}

}  // namespace

AutoView auto_view(const StatusInputs& inputs,
                   const std::vector<StatementSums>& sums,
                   WallTime now) {
    AutoView view;
    if (!inputs.board.authority_known) view.closed = "the authority is not known yet: clients wait";
    view.moved_by_another = inputs.mover.moved_by_another;
    if (view.moved_by_another)
        view.closed = "another Segue moves this migration: its own `segue auto` decides";
    view.where = where_of(inputs, now);
    view.figures.counters = counters_of(inputs);
    for (const StatementSums& one : sums)
        view.figures.statements[one.fingerprint] = {one.compared, one.authority, one.follower};
    return view;
}

}  // namespace segue::proxy
