#pragma once
// Clients that send random transactions and write down what they sent and what they were told.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/random/transactions.hpp"
#include "tests/support/sql.hpp"

namespace segue::test {

struct RandomClientsOptions {
    std::string url;
    std::uint64_t seed = 1;
    unsigned clients = 3;
    std::filesystem::path folder;  // One file a client: every statement, and how it went.
};

// Needs table app.done (client int, number bigint, PRIMARY KEY (client, number)): each transaction
// leaves a row there.
class RandomClients {
public:
    RandomClients(const RandomSchema& schema, RandomClientsOptions options);
    ~RandomClients() { stop(); }

    void start();
    void stop();
    bool wait_for_more(unsigned transactions);

    // What no client may see: errors that do not come from what it sent.
    std::vector<std::string> complaints() const;
    // Acknowledged, as (client, number).
    std::set<std::pair<unsigned, std::uint64_t>> committed() const;
    // A failure of the running test for each transaction that the database lacks, or should lack.
    void expect_all_there(const std::string& url) const;

private:
    void run(unsigned client);
    bool rest();
    void acknowledged(unsigned client, std::uint64_t number);
    void complain(const std::string& what);

    const RandomSchema& schema_;
    const RandomClientsOptions options_;
    std::atomic<bool> stopping_{false};
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::thread> threads_;
    std::set<std::pair<unsigned, std::uint64_t>> committed_;
    std::vector<std::string> complaints_;
};

}  // namespace segue::test
