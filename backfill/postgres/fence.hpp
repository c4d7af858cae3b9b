#pragma once
// The fence: the state inside a database in which nobody but the mover can write (research:
// statement triggers that read a sequence, because a sequence is durable and outside of snapshots).
// Two parts prove each other: the flag refuses whoever begins to write after the flip; the advisory
// lock, which every writer shares, and the snapshot after the flip tell when those who began before
// are through.

#include <memory>
#include <string>
#include <vector>

#include "backfill/postgres/link.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

inline constexpr const char* fence_trigger = "segue_fence";

struct FenceSettings {
    Side side = Side::source;
    std::string url;
    std::string migration_id;
    std::vector<std::string> exclude;
};

class Fence {
public:
    explicit Fence(FenceSettings settings);

    // The functions, and the DDL triggers where we are superuser. Needs schema segue. Idempotent.
    Status install();
    // Tables, partitioned ones included, that an application could write without meeting the fence.
    Result<std::vector<std::string>> unarmed();
    // Gives each of them its trigger: one table at a time, a short lock timeout, again until the
    // deadline.
    Status arm(Deadline deadline);

    // Only the flag: for a side on which nobody can have written yet.
    Status flip(bool closed, Deadline deadline);
    // The flag, and the proof that no writer is left. From success on a session holds the lock
    // exclusively. At the deadline it fails with the flag still closed: the caller opens the fence
    // again.
    Status close(Deadline deadline);
    // The same session still holds the lock, so nothing can have written in between.
    bool held();
    void release_lock();
    Status open(Deadline deadline);
    Result<bool> closed();

    // Triggers and functions; the flag with them. One table at a time, until the deadline.
    Status remove(Deadline deadline);

private:
    Status each_table(const std::string& which,
                      const std::string& sql_before_table,
                      const std::string& sql_after_table,
                      Deadline deadline);
    Status await_older_transactions(Deadline deadline);
    Status take_lock(Deadline deadline);
    std::string lock_holders(const std::string& condition);

    FenceSettings settings_;
    Link link_;       // Statements.
    Link lock_link_;  // The session that holds the lock.
};

}  // namespace segue::backfill::postgres
