#include "proxy/journal.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace segue::proxy {

DurableJournal::DurableJournal(std::unique_ptr<backfill::EventLog> events)
    : events_(std::move(events)), thread_([this] { run(); }) {}

DurableJournal::~DurableJournal() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void DurableJournal::event(const std::string& kind, const std::string& detail) {
    spdlog::info("{}: {}", kind, detail);
    push({std::chrono::system_clock::now(), kind, detail, false});
}

void DurableJournal::warning(const std::string& kind, const std::string& detail) {
    spdlog::warn("{}: {}", kind, detail);
    push({std::chrono::system_clock::now(), kind, detail, true});
}

void DurableJournal::set_durable(bool durable) {
    const std::lock_guard lock{mutex_};
    durable_ = durable;
    if (!durable) waiting_.clear();
}

std::uint64_t DurableJournal::dropped() const {
    const std::lock_guard lock{mutex_};
    return dropped_;
}

std::vector<RecentEvent> DurableJournal::recent() const {
    const std::lock_guard lock{mutex_};
    return {recent_.begin(), recent_.end()};
}

void DurableJournal::push(RecentEvent event) {
    const std::lock_guard lock{mutex_};
    if (recent_.size() == events_recent_max) recent_.pop_front();
    recent_.push_back(event);
    if (!durable_) return;
    if (waiting_.size() == events_waiting_max) {
        waiting_.pop_front();
        ++dropped_;
    }
    waiting_.push_back({std::move(event.kind), std::move(event.detail)});
    changed_.notify_one();
}

void DurableJournal::run() {
    std::unique_lock lock{mutex_};
    for (;;) {
        changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
        if (stopping_) return;
        const Entry entry = std::move(waiting_.front());
        waiting_.pop_front();
        lock.unlock();
        for (const Side side : {Side::source, Side::target}) {
            const Status appended = events_->append(side, entry.kind, entry.detail);
            // A side that is down, or has no schema segue, misses this entry: the log has it.
            if (!appended) spdlog::debug("event not written on the {}", name(side));
        }
        lock.lock();
    }
}

}  // namespace segue::proxy
