#include "proxy/positions.hpp"

#include <unistd.h>

#include <utility>

namespace segue::proxy {

namespace {

// Between attempts on a server that cannot be read; who waits for it keeps waiting.
constexpr std::chrono::milliseconds retry_after{100};
// A busy server flushes by itself in less; only a quiet one is worth a ticket.
constexpr std::chrono::milliseconds ticket_after{2};

}  // namespace

Positions::Positions(Server server) : server_(std::move(server)) {}

Positions::~Positions() { stop(); }

void Positions::start() {
    for (const Side side : {Side::source, Side::target}) {
        sides_[index(side)].thread = std::thread{[this, side] { run(side); }};
    }
}

void Positions::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    for (PerSide& state : sides_) {
        state.wake.notify_all();
        if (state.thread.joinable()) state.thread.join();
    }
}

std::uint64_t Positions::ask(Side side) {
    PerSide& state = sides_[index(side)];
    std::uint64_t request = 0;
    {
        const std::lock_guard lock{mutex_};
        request = ++state.asked;
    }
    state.wake.notify_one();
    return request;
}

Token Positions::newest(Side side) const {
    const std::lock_guard lock{mutex_};
    return sides_[index(side)].newest;
}

std::string Positions::problem(Side side) const {
    const std::lock_guard lock{mutex_};
    return sides_[index(side)].problem;
}

void Positions::subscribe(int event_fd) {
    const std::lock_guard lock{mutex_};
    event_fds_.push_back(event_fd);
}

void Positions::unsubscribe(int event_fd) {
    const std::lock_guard lock{mutex_};
    std::erase(event_fds_, event_fd);
}

void Positions::publish(PerSide& state, Token token, const LogEnd& end) {
    const bool news = token.request > state.newest.request;
    if (news) state.newest = token;
    if (state.unflushed && end.flushed >= *state.unflushed) state.unflushed.reset();
    // A later token takes the place of one that the server has flushed meanwhile, so that a busy
    // server is given no tickets and none is forgotten on one that falls quiet.
    if (!state.unflushed && end.flushed < state.newest.position) {
        state.unflushed = state.newest.position;
        state.ticket_at = Clock::now() + ticket_after;
    }
    if (news || state.mark_stale) state.newest.written = end.written;
    if (!news && !state.mark_stale) return;
    state.mark_stale = false;
    const std::uint64_t one = 1;
    for (const int event_fd : event_fds_) {
        // A full counter means that the reader has a wake-up pending already.
        [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
    }
}

Status Positions::flush_if_due(Side side, PerSide& state, std::unique_lock<std::mutex>& lock) {
    if (!state.unflushed || Clock::now() < state.ticket_at) return Done{};
    lock.unlock();
    const Status committed = server_.commit_ticket(side);
    lock.lock();
    if (committed) state.unflushed.reset();
    state.mark_stale = true;
    return committed;
}

void Positions::run(Side side) {
    PerSide& state = sides_[index(side)];
    std::unique_lock lock{mutex_};
    for (;;) {
        const auto something_to_do = [&] {
            return stopping_ || state.mark_stale || state.asked > state.newest.request;
        };
        if (state.unflushed) {
            state.wake.wait_until(lock, state.ticket_at, something_to_do);
        } else {
            state.wake.wait(lock, something_to_do);
        }
        if (stopping_) return;
        // Everything asked up to here is older than the reading that follows; what is asked while
        // it runs waits for the next one.
        const std::uint64_t covers = state.asked;
        lock.unlock();
        const Result<LogEnd> end = server_.read(side);
        lock.lock();
        if (end) publish(state, {covers, end->inserted, end->written}, *end);
        const Status done = end ? flush_if_due(side, state, lock) : Status{end.error()};
        state.problem = done ? std::string{} : done.error().detail;
        if (!done) state.wake.wait_for(lock, retry_after, [this] { return stopping_; });
    }
}

}  // namespace segue::proxy
