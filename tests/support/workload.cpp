#include "tests/support/workload.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "tests/support/process.hpp"
#include "tests/support/workload_worker.hpp"

namespace segue::test {

Workload::Workload(WorkloadOptions options)
    : options_(std::move(options)), two_phase_(options_.two_phase) {}

Workload::~Workload() { stop(); }

void Workload::start() {
    stopping_ = false;
    for (int worker = 0; worker < options_.workers; ++worker) {
        threads_.emplace_back([this, worker] {
            Worker{*this, options_.first_worker + worker}.run();
        });
    }
}

void Workload::stop() {
    {
        const std::scoped_lock lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

bool Workload::wait_for_more(std::int64_t transactions, std::chrono::seconds limit) {
    const std::int64_t wanted = committed_ + transactions;
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, limit * busy_factor, [&] { return committed_ >= wanted; });
}

WorkloadReport Workload::report() const {
    WorkloadReport report;
    const std::scoped_lock lock{mutex_};
    for (const Attempt& attempt : journal_) {
        switch (attempt.outcome) {
            case Outcome::committed:
                ++report.committed;
                break;
            case Outcome::aborted:
                ++report.aborted;
                break;
            case Outcome::in_doubt:
                ++report.in_doubt;
                break;
        }
    }
    report.connections_lost = connections_lost_;
    report.serialization_failures = serialization_failures_;
    report.errors = errors_;
    report.longest = std::chrono::milliseconds{longest_us_ / 1000};
    return report;
}

std::vector<Attempt> Workload::journal() const {
    const std::scoped_lock lock{mutex_};
    return journal_;
}

void Workload::record(const Attempt& attempt, std::chrono::microseconds took) {
    std::int64_t longest = longest_us_;
    while (took.count() > longest && !longest_us_.compare_exchange_weak(longest, took.count())) {
    }
    const std::scoped_lock lock{mutex_};
    journal_.push_back(attempt);
    if (attempt.outcome == Outcome::committed) {
        ++committed_;
        changed_.notify_all();
    }
}

void Workload::note_error(const std::string& text) {
    const std::scoped_lock lock{mutex_};
    if (errors_.size() < errors_max) errors_.push_back(text);
}

bool Workload::pause() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::milliseconds{20}, [&] { return stopping_.load(); });
}

void expect_no_client_noticed(const WorkloadReport& report) {
    EXPECT_EQ(report.connections_lost, 0);
    EXPECT_EQ(report.in_doubt, 0);
    for (const std::string& error : report.errors) ADD_FAILURE() << "a client saw: " << error;
}

void expect_journal(const std::string& url, const std::vector<Attempt>& journal) {
    for (const std::string& problem : check_journal(url, journal)) ADD_FAILURE() << problem;
}

}  // namespace segue::test
