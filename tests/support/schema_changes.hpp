#pragma once
// Clients that change the schema while their database is moved, and keep what was acknowledged.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/postgres_server.hpp"
#include "tests/support/schema_commands.hpp"
#include "tests/support/workload.hpp"

namespace segue::test {

// SEGUE_SCHEMA_CHANGES=1: the clients of lives with faults and of random lives do so.
bool schema_changes_wanted();

struct SchemaChangesOptions {
    std::string url;
    std::vector<std::string> shared = {};  // See SchemaCommandsOptions.
    bool functions = true;
    unsigned workers = 2;
    std::uint64_t seed = 1;
    std::function<bool()> may_begin = {};  // Asked again until it is so; empty: at once.
    // Between two transactions: a follower that shares two cores with everything else keeps up.
    std::chrono::milliseconds pause{250};
    std::chrono::milliseconds reconnect_limit{300000};
};

class SchemaChanges {
public:
    // Creates its journal in schema app: before the copy, as the tables' owner.
    static void prepare(const std::string& owner_url);

    explicit SchemaChanges(SchemaChangesOptions options) : options_(std::move(options)) {}
    ~SchemaChanges() { stop(); }

    void start();
    void stop();  // Each worker ends its transaction first.
    // Renames are carried once the copy is consistent.
    void may_rename() { may_rename_ = true; }
    std::int64_t committed() const { return committed_; }
    bool wait_for_more(std::int64_t transactions);

    // What no client may see.
    std::vector<std::string> complaints() const;
    // A test failure for each complaint, and for each transaction that is missing there or should
    // be.
    void expect_right(const std::string& url) const;

private:
    struct Session;
    void run(int worker);
    bool connect(Session& session);
    void one_transaction(Session& session);
    bool said(Session& session, const std::string& sql);
    Outcome end(Session& session, const std::string& verb);
    void note(Session& session, const std::string& sql, const Answer& answer);
    bool rest(std::chrono::milliseconds time);

    const SchemaChangesOptions options_;
    std::atomic<bool> stopping_{false}, may_rename_{false};
    std::atomic<std::int64_t> committed_{0};
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::pair<int, std::int64_t>, Outcome> journal_;
    std::vector<std::string> complaints_;
    std::vector<std::thread> threads_;
};

// What pg_dump says of the schemas of both, but for what is Segue's: a difference a line. Of the
// same version only.
std::vector<std::string> compare_dumps(const PostgresServer& a,
                                       const PostgresServer& b,
                                       const std::string& database);

}  // namespace segue::test
