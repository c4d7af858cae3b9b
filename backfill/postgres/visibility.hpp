#pragma once
// Law 4 for readers: a commit comes out of the stream before the authority's own snapshots show it.
// While reads are answered by the follower, a group is committed there when a snapshot of the
// authority sees all of it, so that nobody reads on the follower what the authority does not show
// yet.
//
// The wait is bounded, because what the authority waits for may be us (a mover named in
// synchronous_standby_names), and because applying must go on when the authority does not answer:
// then AppliedPosition::shown() becomes false before the group is committed, and reads go to the
// authority until everything is seen again.

#include <chrono>
#include <functional>
#include <optional>

#include "backfill/applied_position.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/stream_pipe.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

inline constexpr std::chrono::milliseconds visibility_wait_max{50};

// One thread: the applier's.
class Visibility {
public:
    using Open = std::function<Result<MoverLink>()>;  // A connection to the authority.

    // Everything is outlived by its owner's parts. Nothing is shown until it has been seen.
    Visibility(StreamPipe& pipe, AppliedPosition& applied, Open open);

    // Sends the question, if readers want to know, without waiting: the authority answers while the
    // follower works.
    void ask();
    // A follower transaction is about to show every commit at or below `highest`.
    void before_commit(Position highest);
    // Nothing is to be done: the follower shows what it showed.
    void when_idle(Position highest);
    // Any thread. Readers want to know, and have not been told that all is seen.
    bool is_awaited() const { return applied_.shown_wanted() && !applied_.shown(); }

private:
    bool all_seen(Position highest, std::chrono::steady_clock::time_point deadline);
    bool take_answer(std::chrono::steady_clock::time_point deadline);
    void lose_link();

    StreamPipe& pipe_;
    AppliedPosition& applied_;
    Open open_;
    std::optional<MoverLink> link_;
    std::chrono::steady_clock::time_point next_open_;
    bool asked_ = false;
    std::optional<Snapshot> snapshot_;  // The newest answer.
};

}  // namespace segue::backfill::postgres
