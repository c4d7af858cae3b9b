#pragma once
// Where every change of state is told: the log at once, and segue.event on both sides, best effort.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backfill/event_log.hpp"

namespace segue::proxy {

struct RecentEvent {
    std::chrono::system_clock::time_point at;
    std::string kind, detail;
    bool warning = false;
};

class Journal {
public:
    virtual ~Journal() = default;
    // Does not wait; any thread. `detail` never holds SQL text, values or credentials.
    virtual void event(const std::string& kind, const std::string& detail) = 0;
    // The same, for what the operator must see.
    virtual void warning(const std::string& kind, const std::string& detail) = 0;
    // Whether the databases have a schema segue to write into.
    virtual void set_durable(bool durable) = 0;
};

// Events not yet written; beyond it the oldest are dropped and counted: the log has them all the
// same.
inline constexpr std::size_t events_waiting_max = 1000;
// Those that are kept for whoever looks on, whether the databases can keep them or not.
inline constexpr std::size_t events_recent_max = 200;

class DurableJournal : public Journal {
public:
    explicit DurableJournal(std::unique_ptr<backfill::EventLog> events);
    ~DurableJournal() override;  // Ends the thread; what waits is only in the log.

    void event(const std::string& kind, const std::string& detail) override;
    void warning(const std::string& kind, const std::string& detail) override;

    void set_durable(bool durable) override;
    std::uint64_t dropped() const;
    std::vector<RecentEvent> recent() const;  // Of this process, oldest first. Any thread.

private:
    struct Entry {
        std::string kind, detail;
    };
    void push(RecentEvent event);
    void run();

    std::unique_ptr<backfill::EventLog> events_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Entry> waiting_;
    std::deque<RecentEvent> recent_;
    std::uint64_t dropped_ = 0;
    bool durable_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace segue::proxy
