#pragma once
// Reads that the authority has answered are executed on the follower as well, timed and compared.
// The client never waits: jobs wait in a bounded queue (full: dropped and counted), workers run
// them read-only on connections that were logged in and prepared as the session itself, and what
// looks different counts only after both sides have been asked in one proven-equal pair of
// snapshots, which is done for one read at a time, and not for every read of one statement.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backfill/mover.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/reply.hpp"
#include "proxy/backend.hpp"
#include "proxy/positions.hpp"
#include "proxy/reads.hpp"
#include "proxy/shadow_confirm.hpp"

namespace segue::proxy {

inline constexpr std::size_t shadow_queue_max = 1000;
inline constexpr std::size_t shadow_request_size_max = 64 * 1024;
inline constexpr std::size_t shadow_connections_max = 16;
inline constexpr int shadow_workers = 2;
// Statements on the follower are given up after this, and dropped.
inline constexpr std::chrono::seconds shadow_statement_max{30};
// For the follower to reach the authority's answer; beyond it the job is dropped.
inline constexpr std::chrono::seconds shadow_wait_max{5};
inline constexpr std::chrono::seconds twin_wait_max{5};
// Of both answers, where they must be held side by side: floating point numbers may differ in their
// last digits. Else the number of rows does not matter.
inline constexpr std::size_t confirmed_rows_max = 100000;

struct ShadowJob {
    Hash128 statement;
    std::string text;
    std::string request;  // As the client sent it.
    std::string parse;    // A Parse message that must precede it; may be empty.
    bool simple = false;
    bool comparable = true;  // Else the two executions are only timed.
    bool order_defined = false, limited = false;
    Side authority = Side::source;
    std::string identity;  // Which connections may run it: see `identity_of`.
    ReplyDigest answer;
    std::vector<std::uint32_t> column_types;
    std::chrono::microseconds latency{0};
    std::shared_ptr<const backfill::postgres::PlanContext> context;
};

// Names everything that a read's result may depend on beside the data: user, database, startup
// parameters, settings, and whose type OIDs the client knows.
std::string identity_of(const StartupParameters& startup,
                        const protocol::postgres::SessionState& state,
                        Side client_types);

struct ShadowPeers {
    Reads* reads = nullptr;
    Positions* positions = nullptr;  // Null: the follower is not waited for.
    backfill::AppliedPosition* applied[2] = {nullptr, nullptr};  // By index(side) of the stream.
    // Twins for confirmation, in which that role asks; null: nothing can be confirmed.
    std::function<Result<std::unique_ptr<backfill::Twin>>(const std::string& role,
                                                          std::chrono::steady_clock::time_point)>
        open_twin;
    // Has the rows of these tables compared, which a read has read that differed then; null: nobody
    // is to.
    std::function<void(const std::vector<backfill::Verification::TableName>&, backfill::WallTime)>
        suspect;
    // A statement whose difference is confirmed counts as unconfirmed for so long, whatever looks
    // different.
    std::chrono::seconds confirmed_for{10};
};

class Shadow {
public:
    explicit Shadow(ShadowPeers peers) : peers_(std::move(peers)) {}
    ~Shadow();  // stop()
    void start();
    void stop();

    // Any thread; never waits. A job that is not taken is counted as shed.
    void push(ShadowJob job);
    // A connection for that identity on that side would be used; to be followed by `give` soon.
    bool wants_connection(const std::string& identity, Side follower) const;
    bool has_connection(const std::string& identity, Side follower) const;
    void give(const std::string& identity, Backend connection);

private:
    struct Idle {
        std::string identity;
        Backend backend;
    };
    void work();
    // Else reads are not shadowed any more, or another side answers them: what waits is shed.
    bool is_wanted(const ShadowJob& job) const;
    void run(ShadowJob job);
    std::optional<Confirmation> judge(const ShadowJob& job,
                                      const ReplyDigest& digest,
                                      Transport& follower);
    std::optional<Confirmation> ask_both(const ShadowJob& job,
                                         bool order_defined,
                                         Transport& follower);
    std::optional<Backend> take_connection(const ShadowJob& job);
    void put_connection(const std::string& identity, Backend backend);
    bool wait_until_fresh(const ShadowJob& job, int event_fd);

    ShadowPeers peers_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<ShadowJob> queue_;
    std::vector<Idle> idle_;           // Oldest first.
    std::map<std::string, int> busy_;  // By identity: connections in use.
    std::mutex confirming_;            // One confirmation at a time.
    AskedLately asked_lately_;
    FollowedUp followed_up_;
    std::vector<std::thread> threads_;
    std::atomic<bool> stopping_ = false;  // Changed under `mutex_`.
};

}  // namespace segue::proxy
