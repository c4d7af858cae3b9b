#pragma once
// All client sessions at once: what the conductor asks of them during a change of authority, and
// what status reports. Thread-safe; calls that wait are made from the operator's thread only.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.hpp"
#include "proxy/rows_found.hpp"
#include "router/latency.hpp"
#include "router/side.hpp"

namespace segue::proxy {

struct Pin {
    std::int32_t pid = 0;  // The serving backend's.
    std::string
        why;  // "temporary table", "cursor WITH HOLD", "advisory lock", "open transaction", ...
};

struct SessionsReport {
    std::size_t total = 0;
    std::size_t held = 0;
    std::vector<Pin> pins;  // At most pins_reported_max; pinned counts all.
    std::size_t pinned = 0;
    // In a transaction or a request for longer than long_busy_min. No pins: they end.
    std::vector<Pin> long_busy = {};
    std::uint64_t requests_dropped =
        0;  // Of clients that were gone before their hold ended, since the start.
    // Of clients that have ended, since the start; a statement of its own is one.
    std::uint64_t transactions = 0;
    // Requests that servers answered, and errors among the answers, since the start. Reads that the
    // follower answers are not among them: ShiftReport counts those.
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::size_t answers_waiting = 0;  // Sessions whose answer the gate holds.
    std::chrono::milliseconds longest_answer_wait{0};
};

inline constexpr std::chrono::seconds long_busy_min{10};

// One statement, whatever its values, on both sides. The latencies and rows are those of its last
// executions without an error, see router::latency_window.
struct StatementReport {
    std::uint64_t fingerprint = 0;
    std::string statement;  // Without values.
    std::uint64_t compared = 0, different = 0, unconfirmed = 0;
    std::uint64_t timed = 0;  // Executed on both sides; the answers could not be compared.
    router::Latency authority = {}, follower = {};
    double authority_rows = 0, follower_rows = 0;  // Means.
    bool slower = false;                           // On the follower, beyond the limits.
    // Of one that differs, or of which the whole could not be asked again.
    std::optional<RowsFound> rows = {};

    friend bool operator==(const StatementReport&, const StatementReport&) = default;
};
// All executions of one statement since the start, whatever was forgotten.
struct StatementSums {
    std::string fingerprint;  // As fingerprint_text has it, and since which `forget`.
    std::uint64_t compared = 0;
    std::chrono::microseconds authority{0}, follower{0};
};
struct ShadowReport {
    std::uint64_t compared = 0, equal = 0, different = 0, unconfirmed = 0, timed = 0, shed = 0;
    std::vector<StatementReport> statements = {};  // The most remarkable ones.
    std::vector<StatementReport> slower = {};      // Those by which most time is lost first.
    std::uint64_t slower_count = 0;                // All of them.
    std::uint64_t unmeasured = 0;  // Reads of statements beyond statements_measured_max.
    std::vector<backfill::Suspect> suspects = {};  // Tables that such reads read.
    std::uint64_t rows_different = 0;              // Statements of which rows are named, of all.
    // Statements that differ, of all, and nobody knows whether rows do; when the last one has.
    std::uint64_t rows_unknown = 0;
    backfill::WallTime rows_unknown_at = {};
};
struct ShiftReport {
    std::uint64_t served_by_follower = 0, fallbacks = 0;
    // Where a percentage of sessions is shifted: of those that have sent a read since.
    std::uint64_t sessions_chosen = 0, sessions_reading = 0;
};

struct WaitReport {
    std::chrono::microseconds hold{0};          // Hold to release.
    std::chrono::microseconds longest_wait{0};  // Longest time that one client's request waited.
};

class Sessions {
public:
    using Clock = std::chrono::steady_clock;
    virtual ~Sessions() = default;

    virtual SessionsReport report() const = 0;
    virtual ShadowReport shadow_report() const = 0;
    virtual ShiftReport shift_report() const = 0;
    virtual std::vector<int> backend_pids(Side side) const = 0;  // Ours, of live sessions.

    // Step 1: at each session's next boundary its state is asked of its own backend and restored on
    // a new connection to `side`; the client notices nothing. An Error names the pinned sessions,
    // the login that `side` refused, and the sessions that have been in one transaction or request
    // for all of `busy_max`: a hold would not see their end either.
    virtual Status prestage(Side side,
                            Clock::time_point deadline,
                            std::chrono::milliseconds busy_max) = 0;

    // Step 3: every session stops at its next boundary; new logins wait, but for the time in which
    // a transaction that is open for long is waited for: who comes then is drained after it.
    // Returns once all are held and every session's state stands on `side`. An Error (pinned
    // session, open transaction past the deadline, by pid) leaves the hold in force: the caller
    // releases.
    virtual Status hold(Side side, Clock::time_point drain_deadline) = 0;

    // After the fence: sessions that LISTEN read their old connection up to a notification of their
    // own on `channel`.
    virtual Status drain_notifications(const std::string& channel, Clock::time_point deadline) = 0;
    virtual bool any_listening() const = 0;

    // Step 8: every held session goes on on the other connection. Cannot fail: a session without
    // one is closed with 57P01 (counted).
    virtual void swap(Side side) = 0;

    // Step 9, or after an abort: requests go on, paced.
    virtual WaitReport release() = 0;

    // The gate (mirror sync): returns once every relay thread holds acknowledgements back, or no
    // longer does.
    virtual void set_gate(bool closed) = 0;

    // Another process has changed the authority meanwhile: every client is told with 57P01 to
    // connect again. Sessions of other databases and replication connections stay.
    virtual void end_superseded() = 0;

    // Closes the idle connections to `side` that prestage or a swap left behind.
    virtual void drop_other_connections() = 0;
};

}  // namespace segue::proxy
