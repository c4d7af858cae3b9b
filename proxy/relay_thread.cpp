#include "proxy/relay_thread.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <ctime>
#include <utility>

#include "proxy/relay_slot.hpp"
#include "proxy/socket_ring.hpp"

namespace segue::proxy {

RelayThread::RelayThread(RelayPeers peers)
    : peers_(peers),
      epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      lone_(peers.looking == nullptr ? std::chrono::microseconds{0} : peers.look, peers.looking),
      scratch_(scratch_size) {
    assert(epoll_fd_ >= 0 && wake_fd_ >= 0);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = wake_up;
    [[maybe_unused]] const int added = ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
    assert(added == 0);
    turn_.scratch = scratch_;
    turn_.now = Clock::now();
    turn_.number = 1;
    turn_.shadow = peers_.shadow;
    for (const Side side : {Side::source, Side::target})
        turn_.applied[index(side)] = peers_.applied[index(side)];
    if (peers_.reads != nullptr && peers_.positions != nullptr) reads_.emplace(*peers_.reads);
}

RelayThread::~RelayThread() {
    stop();
    close_ring();
    shift_wanted_ = false;
    set_gate(false);  // Unsubscribes.
    if (subscribed_) subscribe_if_needed();
    slots_.clear();
    ::close(wake_fd_);
    ::close(epoll_fd_);
}

void RelayThread::start() {
    thread_ = std::thread{[this] { run(); }};
}

void RelayThread::stop() {
    {
        const std::lock_guard lock{inbox_mutex_};
        stopped_ = true;
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
    if (thread_.joinable()) thread_.join();
}

void RelayThread::post(Task task) {
    {
        const std::lock_guard lock{inbox_mutex_};
        if (stopped_) return;
        inbox_.push_back(std::move(task));
        if (inbox_.size() > 1) return;  // The wake-up is on its way already.
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void RelayThread::run() {
    for (;;) {
        {
            const std::lock_guard lock{inbox_mutex_};
            if (stopped_) break;
        }
        turn(std::chrono::milliseconds{-1});
    }
    close_ring();
}

bool RelayThread::needs_tick() const {
    const bool bounded = gate_wanted_ && peers_.gate_policy.policy == MirrorPolicy::bounded;
    return holding_ || lends_waiting_ > 0 || bounded || !gated_.empty() || turn_.reads != nullptr ||
           shift_wanted_;
}

void RelayThread::pace() const {
    const std::uint32_t pause =
        peers_.traffic == nullptr ? 0 : peers_.traffic->pace.load(std::memory_order_relaxed);
    if (pause == 0) return;
    if (ring_) ring_->submit();
    const timespec time{0, static_cast<long>(pause) * 1000};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

void RelayThread::turn(std::chrono::milliseconds timeout) {
    if (!buffered_.empty() || !releasing_.empty()) timeout = std::chrono::milliseconds{0};
    if (needs_tick() && (timeout.count() < 0 || timeout > tick)) timeout = tick;

    if (!std::exchange(ring_asked_for_, true) && peers_.ring) open_ring();
    take_events(timeout);
    resume_buffered();
    release_some();
    if (needs_tick() && turn_.now - ticked_at_ >= tick) on_tick();
    end_turn();
    bury();
    pace();
}

void RelayThread::begin_turn() {
    turn_.now = Clock::now();
    if (reads_) refresh_reads();
}

void RelayThread::drain_wake_ups() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
    std::vector<Task> tasks;
    {
        const std::lock_guard lock{inbox_mutex_};
        tasks.swap(inbox_);
    }
    for (Task& task : tasks) task(*this);
    take_tokens();
}

// After anything that may have changed what a session waits for.
void RelayThread::settle(Slot& slot) {
    if (slot.relay.finished()) return remove(slot);
    if (slot.relay.motion() == Motion::stopping && slot.relay.try_stop(turn_.now)) on_stopped(slot);
    if (slot.relay.finished()) return remove(slot);  // Its client had gone.
    if (peers_.move_percent > 0) [[unlikely]]
        force_move_sometimes(slot);
    if (slot.relay.wants_connection(turn_.now) && peers_.prepare) {
        slot.relay.connection_asked(turn_.now);
        peers_.prepare(slot.id);
    }
    if ((slot.relay.has_held_answers() || slot.relay.waits_for_follower()) && !slot.in_gated) {
        slot.in_gated = true;
        gated_.push_back(&slot);
    }
    if (!slot.in_buffered && slot.relay.has_unread_input(turn_.now)) {
        slot.in_buffered = true;
        buffered_.push_back(&slot);
    }
    watch(slot);
}

void RelayThread::watch(Slot& slot) {
    const auto update =
        [this](Watched& watched, Transport* transport, std::uint32_t wanted, std::uint64_t data) {
            if (ring_ && (data & other_bit) == 0)
                wanted = watch_by_ring(watched, transport, wanted, data);
            if (wanted == watched.events) return;
            // Without interest the socket is taken out altogether: epoll reports errors of what it
            // watches whether asked or not, again and again.
            const int operation = watched.events == 0 ? EPOLL_CTL_ADD
                                  : wanted == 0       ? EPOLL_CTL_DEL
                                                      : EPOLL_CTL_MOD;
            epoll_event event{};
            event.events = wanted;
            // Told once, and again whenever the interest changes: level by level epoll would look
            // at each socket a second time to see that it has been read. The end of a stream may
            // come with its last bytes and must be told with them.
            if (watched.once)
                event.events |= (wanted & EPOLLIN) != 0 ? EPOLLET | EPOLLRDHUP : EPOLLET;
            event.data.u64 = data;
            ::epoll_ctl(epoll_fd_, operation, watched.fd, &event);
            watched.events = wanted;
        };
    const auto address = reinterpret_cast<std::uint64_t>(&slot);
    Session* session = slot.relay.session();
    Transport* const client = session == nullptr ? nullptr : &session->client;
    Transport* const server = session == nullptr ? nullptr : &session->backend.transport;
    update(slot.client, client, slot.relay.client_interest(turn_.now), address);
    update(slot.server, server, slot.relay.server_interest(), address | server_bit);
    if (slot.other.events == 0) slot.other.fd = slot.relay.other_fd();
    update(slot.other, nullptr, slot.relay.other_interest(), address | other_bit);
}

// After a swap: the old socket stays open, but nobody listens to it.
void RelayThread::change_server(Slot& slot) {
    if (slot.server.events != 0) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, slot.server.fd, nullptr);
    slot.watch_server(slot.relay.session()->backend.transport);
}

void RelayThread::remove(Slot& slot) {
    if (slot.relay.dropped_request()) ++requests_dropped_;
    count_transactions(slot);
    tell_end(slot, slot.relay.end_cause());
    if (slot.receiver) {
        --lends_waiting_;
        std::exchange(slot.receiver, nullptr)(nullptr);
    }
    if (slot.in_gated) std::erase(gated_, &slot);
    if (slot.in_buffered) std::erase(buffered_, &slot);
    peers_.directory->remove(slot.id);
    slot.removed = true;
    if (ring_) forget_in_ring(slot);
    const auto found = slots_.find(slot.id);
    assert(found != slots_.end());
    graveyard_.push_back(std::move(found->second));
    slots_.erase(found);
    session_count_.store(slots_.size(), std::memory_order_relaxed);
}

void RelayThread::tell_end(const Slot& slot, EndCause cause) {
    if (cause == EndCause::none) return;
    const auto entry = peers_.directory->entry(slot.id);
    if (entry) end_log_.tell(cause, entry->pid, entry->side, turn_.now);
}

RelayThread::Slot* RelayThread::find(std::uint64_t id) {
    const auto found = slots_.find(id);
    return found == slots_.end() ? nullptr : found->second.get();
}

void RelayThread::adopt(std::unique_ptr<Session> session, const std::string& greeting) {
    auto owned = std::make_unique<Slot>(std::move(session));
    Slot& slot = *owned;
    Session& adopted = *slot.relay.session();
    slot.id = adopted.id;
    slot.client = {.fd = adopted.client.fd(), .once = !adopted.client.uses_tls()};
    slot.watch_server(adopted.backend.transport);
    slot.passed_through = adopted.passed_through;
    slots_.emplace(slot.id, std::move(owned));
    session_count_.store(slots_.size(), std::memory_order_relaxed);
    if (ring_) use_ring(slot);
    if (gate_holds()) slot.relay.set_gate(true);
    slot.relay.tell_client(bytes(greeting));
    slot.newcomer = admitting_;
    stop_if_wanted(slot);
    settle(slot);
}

void RelayThread::resume_buffered() {
    for (Slot* slot : std::exchange(buffered_, {})) {
        slot->in_buffered = false;
        slot->relay.resume(turn_);
        settle(*slot);
    }
}

void RelayThread::with_session(std::uint64_t id, const std::function<void(Session&)>& use) {
    Slot* slot = find(id);
    if (slot != nullptr && slot->relay.session() != nullptr) use(*slot->relay.session());
}

void RelayThread::end_all(const std::string& last_words, Whom whom) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, slot] : slots_) {
        if (whom == Whom::everyone || !slot->passed_through) ids.push_back(id);
    }
    for (const std::uint64_t id : ids) {
        Slot& slot = *find(id);
        if (slot.relay.session() == nullptr) {
            remove_away(slot);
            continue;
        }
        leave_ring(slot);
        // Of a commit whose answer is still to come nobody may say that it failed.
        const bool told = whom == Whom::everyone || (slot.relay.session()->boundary.at_boundary() &&
                                                     !slot.relay.has_held_answers());
        if (!slot.relay.finished()) slot.relay.end_with(told ? bytes(last_words) : Bytes{});
        remove(slot);
    }
}

// Closed by whoever has the session, because nobody takes it back. Until then epoll would tell of
// its client.
void RelayThread::remove_away(Slot& slot) {
    if (slot.client.events != 0) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, slot.client.fd, nullptr);
    tell_end(slot, EndCause::being_moved);
    remove(slot);
}

}  // namespace segue::proxy
