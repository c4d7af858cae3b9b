#include "proxy/operator.hpp"

#include <utility>

namespace segue::proxy {

Operator::~Operator() { stop(); }

void Operator::start() {
    thread_ = std::thread{[this] { loop(); }};
}

void Operator::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

std::variant<std::uint64_t, Operator::Refused> Operator::submit(
    const std::string& verb, nlohmann::json arguments, std::optional<std::uint64_t> after) {
    const std::lock_guard lock{mutex_};
    if (stopping_) return Refused{"Segue is stopping"};
    if (after && next_number_ != *after + 1)
        return Refused{"`segue " + jobs_.back().verb + "` was given meanwhile"};
    if (running_)
        return Refused{"`segue " + jobs_.back().verb +
                       "` is running; one thing at a time: try again when it has ended"};
    if (jobs_.size() == results_kept_max) jobs_.pop_front();
    jobs_.push_back({next_number_++,
                     verb,
                     std::move(arguments),
                     std::chrono::steady_clock::now(),
                     std::nullopt});
    running_ = true;
    changed_.notify_all();
    return jobs_.back().number;
}

std::optional<Operator::View> Operator::view(std::uint64_t number) const {
    const std::lock_guard lock{mutex_};
    for (const Job& job : jobs_) {
        if (job.number == number) return View{job.verb, job.result};
    }
    return std::nullopt;
}

std::string Operator::current_verb() const {
    const std::lock_guard lock{mutex_};
    return running_ ? jobs_.back().verb : "";
}

std::optional<std::uint64_t> Operator::last_ended() const {
    const std::lock_guard lock{mutex_};
    return running_ ? std::nullopt : std::optional{next_number_ - 1};
}

void Operator::refuse_impatient() {
    if (!running_ || std::chrono::steady_clock::now() - jobs_.back().since < recovery_wait) return;
    jobs_.back().result =
        VerbResult::refused("Segue is still finding out who the authority is: see `segue status`");
    running_ = false;
}

void Operator::loop() {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
        recover(lock);
        work(lock);
    }
}

void Operator::recover(std::unique_lock<std::mutex>& lock) {
    while (!stopping_) {
        lock.unlock();
        const bool recovered = work_.recover();
        lock.lock();
        if (recovered) return;
        refuse_impatient();
        changed_.wait_for(lock, operator_tick, [&] { return stopping_; });
    }
}

void Operator::work(std::unique_lock<std::mutex>& lock) {
    bool recovered = true;
    while (!stopping_ && recovered) {
        if (running_) {
            const std::string verb = jobs_.back().verb;
            const nlohmann::json arguments = jobs_.back().arguments;
            lock.unlock();
            VerbResult result = work_.run(verb, arguments);
            lock.lock();
            jobs_.back().result = std::move(result);
            running_ = false;
        }
        changed_.wait_for(lock, operator_tick, [&] { return stopping_ || running_; });
        if (stopping_ || running_) continue;
        lock.unlock();
        recovered = work_.tick();
        lock.lock();
    }
}

}  // namespace segue::proxy
