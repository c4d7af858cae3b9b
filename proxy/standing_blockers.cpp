#include "proxy/standing_blockers.hpp"

#include <algorithm>
#include <utility>

namespace segue::proxy {

namespace {

constexpr std::chrono::milliseconds authority_poll{500};
// The steps make it good by themselves.
constexpr const char* made_good = "unfenced_table";

bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

bool SeenBlockers::note(std::vector<std::string> found) {
    std::vector<std::string> standing;
    for (const std::string& one : found) {
        if (!known_ || contains(seen_, one)) standing.push_back(one);
    }
    known_ = true;
    standing_ = std::move(standing);
    seen_ = std::move(found);
    return standing_.size() < seen_.size();
}

void StandingBlockers::start() {
    thread_ = std::thread{[this] { loop(); }};
}

void StandingBlockers::end_soon() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
}

void StandingBlockers::stop() {
    end_soon();
    if (thread_.joinable()) thread_.join();
}

std::vector<std::string> StandingBlockers::against_leaving(std::optional<Side> authority) const {
    if (!authority) return {};
    const std::lock_guard lock{mutex_};
    if (authority_ == authority && seen_.known()) return seen_.standing();
    return {"whether both databases allow it is not known yet" +
            (problem_.empty() ? "" : ": " + problem_)};
}

void StandingBlockers::loop() {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
        lock.unlock();
        turn();
        lock.lock();
        changed_.wait_for(lock, authority_poll, [&] { return stopping_; });
    }
}

void StandingBlockers::turn() {
    const std::optional<Side> authority = sources_.authority();
    const bool may_look = authority && sources_.may_look();
    if (authority != authority_) {
        const std::lock_guard lock{mutex_};
        authority_ = authority;
        seen_ = {};
        problem_.clear();
        next_ = sources_.now();
        steps_ = sources_.make_steps();
    }
    if (!authority && sources_.now() >= next_) {
        sources_.otherwise(*steps_);
        next_ = sources_.now() + otherwise_every;
    }
    if (!may_look || sources_.now() < next_) return;
    const Clock::duration pause = look();
    next_ = sources_.now() + pause;
}

StandingBlockers::Clock::duration StandingBlockers::look() {
    const auto begun = sources_.now();
    const auto blockers = steps_->blockers(*authority_);
    const Clock::duration took = sources_.now() - begun;
    std::vector<std::string> found;
    if (blockers) {
        for (const backfill::Blocker& one : *blockers) {
            if (one.code != made_good) found.push_back(one.text);
        }
    }
    const std::lock_guard lock{mutex_};
    problem_ = blockers ? "" : blockers.error().detail;
    if (!blockers) return std::max<Clock::duration>(blockers_retry, blockers_look_share * took);
    const bool doubt = seen_.note(std::move(found));
    return doubt ? std::max<Clock::duration>(blockers_doubt, blockers_doubt_share * took)
                 : std::max<Clock::duration>(blockers_look_every, blockers_look_share * took);
}

}  // namespace segue::proxy
