#pragma once
// Concurrent clients that write transactions of every kind through one address and keep, in memory,
// what the server acknowledged. Afterwards check_journal tells whether the database agrees.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sql.hpp"

namespace segue::test {

// Creates schema `app` with its tables, triggers and first rows. Once, before the workload.
void create_workload_schema(const std::string& superuser_url, int scale = 1);

enum class Outcome {
    committed,  // The client saw it succeed.
    aborted,    // It rolled back, or the server refused it, or COMMIT was never sent.
    in_doubt,   // COMMIT was sent and no answer came.
};

struct Attempt {
    int worker = 0;
    std::int64_t number = 0;  // Ascending per worker.
    Outcome outcome = Outcome::aborted;
};

struct WorkloadOptions {
    std::string url;  // Through Segue, or directly.
    int workers = 6;
    int first_worker = 0;    // Workloads that run at the same time have workers of their own.
    bool two_phase = false;  // Prepared transactions refuse a cutover: only where none happens.
    bool truncate = true;
    unsigned seed = 1;
    std::chrono::milliseconds reconnect_limit{300000};  // Then the worker gives up (a failure).
};

struct WorkloadReport {
    std::int64_t committed = 0, aborted = 0, in_doubt = 0;
    std::int64_t connections_lost = 0;
    std::int64_t serialization_failures = 0;  // 40001, 40P01: PostgreSQL's own, retried.
    std::vector<std::string> errors;          // Anything else a client saw; at most errors_max.
    std::chrono::milliseconds longest{0};     // Longest single transaction since reset_longest.
};

inline constexpr std::size_t errors_max = 20;
inline constexpr int workers_max = 64;

class Workload {
public:
    explicit Workload(WorkloadOptions options);
    ~Workload();  // Stops.

    void start();
    void stop();  // Each worker ends its transaction first.
    void set_two_phase(bool on) { two_phase_ = on; }

    std::int64_t committed() const { return committed_; }
    // Waits until that many more transactions were acknowledged; false when that takes longer than
    // busy_factor times `limit`.
    bool wait_for_more(std::int64_t transactions,
                       std::chrono::seconds limit = std::chrono::seconds{60});
    void reset_longest() { longest_us_ = 0; }

    WorkloadReport report() const;
    std::vector<Attempt> journal() const;  // All workers', in order per worker.

private:
    friend class Worker;
    void record(const Attempt& attempt, std::chrono::microseconds took);
    void note_error(const std::string& text);
    // Waits a moment between attempts to connect; true when the workload is to stop.
    bool pause();

    WorkloadOptions options_;
    std::atomic<bool> two_phase_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::int64_t> committed_{0}, connections_lost_{0}, serialization_failures_{0};
    std::atomic<std::int64_t> longest_us_{0}, next_number_{1};
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Attempt> journal_;
    std::vector<std::string> errors_;
    std::vector<std::thread> threads_;
};

// Empty when the database at `url` holds every acknowledged transaction exactly once, none that
// aborted, each worker's in its order, and the workload's invariants (sums, chains, triggers'
// output) hold.
std::vector<std::string> check_journal(const std::string& url, const std::vector<Attempt>& journal);

void expect_journal(const std::string& url, const std::vector<Attempt>& journal);

// What no client may see in a planned change of authority: errors, lost connections, commits in
// doubt.
void expect_no_client_noticed(const WorkloadReport& report);

}  // namespace segue::test
