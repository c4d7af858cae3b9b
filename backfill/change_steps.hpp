#pragma once
// The steps of starting, finishing and changing the authority that happen inside the databases, in
// terms of roles (DESIGN 6). The conductor (proxy/) decides the order by router/cutover;
// PostgreSQL's way of doing each is backfill/postgres/change_steps. Every step is idempotent.
// Blocking; one thread at a time.

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backfill/control.hpp"
#include "backfill/mover.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill {

// Why a change of authority is refused, or what a fence met. Code is stable, text names thing and
// remedy.
struct Blocker {
    std::string code;
    std::string text;
};

class ChangeSteps {
public:
    virtual ~ChangeSteps() = default;

    // Step 1, databases' part: prepared transactions, subscriptions, schema hashes, invalid
    // constraints, missing fence triggers on `from`. Empty: none.
    virtual Result<std::vector<Blocker>> blockers(Side from) = 0;

    // Creates what is missing of the fence's triggers on that side, one table at a time with a
    // short lock_timeout and retries until the deadline; leaves the fence open.
    virtual Status arm_fence(Side side, Clock::time_point deadline) = 0;

    // Step 4: flag closed, the exclusive lock obtained, transactions of the snapshot after the flip
    // ended (waits until `deadline`; then fails, the caller undoes). From success until open_fence
    // or release_fence_lock a session of ours holds the lock; fence_held tells whether that session
    // lived throughout.
    virtual Status close_fence(Side side, Clock::time_point deadline) = 0;
    virtual bool fence_held(Side side) = 0;
    virtual void release_fence_lock(Side side) = 0;  // The flag stays closed.
    virtual Status open_fence(Side side) = 0;
    virtual Result<bool> fence_is_closed(Side side) = 0;

    // End of that side's log right now.
    virtual Result<Position> log_end(Side side) = 0;
    // Commits a ticket on that side, synchronously; the answer is a position at or above its
    // commit.
    virtual Result<Position> commit_ticket(Side side) = 0;

    // Step 6: every sequence of `to` is set at or beyond `from`'s value plus a margin; never
    // backwards.
    virtual Status sequences_ahead(Side from, Side to) = 0;

    // Terminates backends on `side` that belong to application_name/pid lists we must not trust:
    // other proxies that have not reported held, and sessions with open transactions older than the
    // fence.
    virtual Status terminate_stale_backends(Side side,
                                            const std::vector<int>& our_backend_pids) = 0;

    virtual ControlStore& control(Side side) = 0;

    // Another process that holds the mover's lease on that side and is alive: a change that is
    // under way there is its own. Empty: nobody.
    virtual Result<std::string> other_mover(Side side) = 0;

    // The record's side is another server, or on another timeline, than when it was recorded.
    virtual Result<bool> identity_changed(const ControlRecord& record) = 0;

    // `start`: roles, schema segue on both sides, control records (the source's first: recovery
    // takes a source without a record for one that was never moved), publications, slots, fence on
    // the target, tables on the target (pg_dump pre-data). Restartable at any instant.
    virtual Status prepare(const ControlRecord& record) = 0;

    // `finish`: drops slots, publications, triggers, replica identities that we set; leaves the
    // tombstone on both sides and the old side fenced unless `unfence`.
    virtual Status finish(const ControlRecord& tombstone, bool unfence) = 0;
};

struct ServerSettings {
    std::string migration;
    std::string url[2];
    std::vector<std::string> exclude;
    bool sync_roles = true;
    std::set<std::string> mapped_roles[2] =
        {};  // Those that the proxy logs in with a password of its own configuration.
    bool full_identity_without_key = true;
    bool carry_ddl = false;
    std::string pg_bin;
    std::uint64_t retained_log_bytes_max = 0;  // For the check: 0 is no cap.
};

std::unique_ptr<ChangeSteps> make_postgres_change_steps(ServerSettings settings);

}  // namespace segue::backfill
