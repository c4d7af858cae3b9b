#include "proxy/socket_ring.hpp"

#include <poll.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "proxy/outbox.hpp"

namespace segue::proxy {

namespace {

constexpr int buffer_group = 0;
constexpr std::size_t page = 4096;
constexpr int send_flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
constexpr std::size_t too_much_to_send = 1 << 20;
// No addresses, of which other keys are made.
constexpr std::uint64_t cancel_key = 0;
constexpr std::uint64_t epoll_key = ~std::uint64_t{0};
constexpr std::uint64_t send_bit = 4;  // Of a send; callers have the two below it.

RingOutcome outcome_of(int result) {
    if (result > 0) return RingOutcome::bytes;
    if (result == 0) return RingOutcome::ended;
    if (result == -ECANCELED) return RingOutcome::cancelled;
    if (result == -ENOBUFS || result == -EAGAIN || result == -EINTR) return RingOutcome::ready;
    return RingOutcome::broken;
}

// Between two looks at memory that another processor writes.
void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Whatever else a call says can never end well by calling again.
void check_call(int result) {
    assert(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY ||
           result == -ETIME);
}

}  // namespace

void SocketRing::Free::operator()(io_uring_buf_ring* memory) const { std::free(memory); }

std::unique_ptr<SocketRing> SocketRing::open(int epoll_fd, RingSizes sizes) {
    std::unique_ptr<SocketRing> ring{new SocketRing{epoll_fd}};
    return ring->set_up(sizes) ? std::move(ring) : nullptr;
}

bool SocketRing::set_up(RingSizes sizes) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
    parameters.cq_entries = sizes.completions;
    if (io_uring_queue_init_params(sizes.submissions, &ring_, &parameters) < 0) return false;
    opened_ = true;
    buffer_ring_.reset(static_cast<io_uring_buf_ring*>(
        std::aligned_alloc(page, receive_buffers * sizeof(io_uring_buf))));
    if (!buffer_ring_) return false;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(buffer_ring_.get());
    registration.ring_entries = receive_buffers;
    registration.bgid = buffer_group;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) < 0) return false;
    (void)io_uring_register_ring_fd(&ring_);  // Saves the look-up of the descriptor at each call.
    buffers_.resize(receive_buffers * receive_buffer_size);
    gathered_bytes_.resize(gathered_total_max);
    io_uring_buf_ring_init(buffer_ring_.get());
    for (unsigned number = 0; number < receive_buffers; ++number) {
        buffer_in_use_ = number;
        give_buffer_back();
    }
    return io_uring_get_events(&ring_) >= 0 && tells_of_short_sends();
}

// `send` relies on it that a send is tried while it is handed in, and that one that was cut short
// or refused has told so, with what was taken, when that is done.
bool SocketRing::tells_of_short_sends() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
    std::vector<std::byte> much(too_much_to_send);
    const auto told = [&]() -> std::optional<int> {
        io_uring_sqe* asked = io_uring_get_sqe(&ring_);
        io_uring_prep_send(asked, ends[0], much.data(), much.size(), send_flags);
        asked->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_cqe* completed = nullptr;
        if (io_uring_submit(&ring_) != 1 || io_uring_peek_cqe(&ring_, &completed) != 0) return {};
        const int result = completed->res;
        io_uring_cqe_seen(&ring_, completed);
        return result;
    };
    const std::optional<int> cut_short = told();
    const std::optional<int> refused = told();
    const ssize_t there = ::recv(ends[1], much.data(), much.size(), MSG_DONTWAIT);
    ssize_t all = std::max<ssize_t>(there, 0);
    for (ssize_t more = there; more > 0; all += std::max<ssize_t>(more, 0))
        more = ::recv(ends[1], much.data(), much.size(), MSG_DONTWAIT);
    ::close(ends[0]);
    ::close(ends[1]);
    return cut_short && *cut_short > 0 && *cut_short == all && refused && *refused == -EAGAIN;
}

SocketRing::~SocketRing() {
    if (opened_) io_uring_queue_exit(&ring_);
}

io_uring_sqe& SocketRing::entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
        submit();
        entry = io_uring_get_sqe(&ring_);
    }
    return *entry;
}

void SocketRing::receive(int fd, std::uint64_t key) {
    io_uring_sqe& asked = entry();
    io_uring_prep_recv(&asked, fd, nullptr, 0, 0);
    // What was there has just been read: a first attempt would find nothing.
    asked.ioprio |= IORING_RECVSEND_POLL_FIRST;
    asked.flags |= IOSQE_BUFFER_SELECT;
    asked.buf_group = buffer_group;
    io_uring_sqe_set_data64(&asked, key);
}

void SocketRing::cancel(std::uint64_t key) {
    io_uring_sqe& asked = entry();
    io_uring_prep_cancel64(&asked, key, 0);
    asked.flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&asked, cancel_key);
}

// The kernel tries each send while it is handed in, and never later (MSG_DONTWAIT). It tells of one
// only when not everything was taken (MSG_WAITALL makes that a failure, others are skipped).
void SocketRing::send(int fd, Bytes from, Outbox& outbox, std::uint64_t key) {
    assert(from.size() <= gathered_size_max);
    if (gathered_size_ + from.size() > gathered_bytes_.size()) submit();
    io_uring_sqe& asked = entry();
    std::byte* const copy = gathered_bytes_.data() + gathered_size_;
    std::memcpy(copy, from.data(), from.size());
    io_uring_prep_send(&asked, fd, copy, from.size(), send_flags);
    asked.flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&asked, key | send_bit);
    gathered_.push_back({key, &outbox, gathered_size_, from.size()});
    gathered_size_ += from.size();
}

void SocketRing::submit() {
    while (io_uring_sq_ready(&ring_) > 0) check_call(io_uring_submit(&ring_));
    submitted();
}

void SocketRing::watch_epoll() {
    if (std::exchange(epoll_watched_, true)) return;
    io_uring_sqe& asked = entry();
    io_uring_prep_poll_add(&asked, epoll_fd_, POLLIN);
    io_uring_sqe_set_data64(&asked, epoll_key);
}

void SocketRing::begin_wait() {
    if (buffer_in_use_) give_buffer_back();
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
    watch_epoll();
}

void SocketRing::look(std::chrono::microseconds longest) {
    begin_wait();
    submit();
    const auto until = std::chrono::steady_clock::now() + longest;
    while (entries_.empty()) {
        // The kernel has something, but lets it complete only inside a call.
        const unsigned flags = io_uring_smp_load_acquire(ring_.sq.kflags);
        if ((flags & IORING_SQ_TASKRUN) != 0 || std::chrono::steady_clock::now() >= until) return;
        relax();
    }
}

void SocketRing::wait(std::chrono::milliseconds timeout) {
    begin_wait();
    if (!entries_.empty() || timeout.count() == 0) {
        check_call(io_uring_submit_and_get_events(&ring_));
    } else if (timeout.count() < 0) {
        check_call(io_uring_submit_and_wait(&ring_, 1));
    } else {
        __kernel_timespec time{timeout.count() / 1000, timeout.count() % 1000 * 1'000'000};
        io_uring_cqe* first = nullptr;
        check_call(io_uring_submit_and_wait_timeout(&ring_, &first, 1, &time, nullptr));
    }
    submit();  // What an interrupted call has left.
}

// Everything that was to be sent has been tried. What was refused is behind all that has completed
// before, also in the kernel's own list.
void SocketRing::submitted() {
    take_completed();
    while (io_uring_cq_has_overflow(&ring_)) {
        check_call(io_uring_get_events(&ring_));
        take_completed();
    }
    gathered_.clear();
    gathered_size_ = 0;
    ++submission_;
}

void SocketRing::take_completed() {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* completed = nullptr;
    io_uring_for_each_cqe(&ring_, head, completed) {
        ++count;
        if (completed->user_data == cancel_key) continue;
        const bool refused =
            completed->user_data != epoll_key && (completed->user_data & send_bit) != 0;
        if (refused) take_refused(completed->user_data & ~send_bit, completed->res);
        entries_.push_back({completed->user_data, completed->res, completed->flags});
    }
    io_uring_cq_advance(&ring_, count);
}

void SocketRing::take_refused(std::uint64_t key, int result) {
    const auto found = std::find_if(gathered_.begin(),
                                    gathered_.end(),
                                    [key](const Gathered& sent) { return sent.key == key; });
    // Told later, its bytes would be gone, and the stream with them.
    assert(found != gathered_.end());
    const Bytes all{gathered_bytes_.data() + found->begin, found->size};
    const bool later = result >= 0 || result == -EAGAIN || result == -EINTR;
    found->outbox->refused(all.subspan(static_cast<std::size_t>(std::max(result, 0))), !later);
}

void SocketRing::give_buffer_back() {
    io_uring_buf_ring_add(buffer_ring_.get(),
                          buffer(*buffer_in_use_),
                          receive_buffer_size,
                          static_cast<unsigned short>(*buffer_in_use_),
                          io_uring_buf_ring_mask(receive_buffers),
                          0);
    io_uring_buf_ring_advance(buffer_ring_.get(), 1);
    buffer_in_use_.reset();
}

RingCompletion SocketRing::completion(const Entry& from) {
    RingCompletion completion{from.key, outcome_of(from.result), {}, false};
    if ((from.flags & IORING_CQE_F_BUFFER) != 0)
        buffer_in_use_ = from.flags >> IORING_CQE_BUFFER_SHIFT;
    if (completion.outcome != RingOutcome::bytes) return completion;
    const auto size = static_cast<std::size_t>(from.result);
    completion.bytes = {buffer(*buffer_in_use_), size};
    completion.filled = size == receive_buffer_size;
    return completion;
}

std::optional<RingCompletion> SocketRing::next() {
    if (buffer_in_use_) give_buffer_back();
    while (next_ < entries_.size() && entries_[next_].key == cancel_key) ++next_;
    if (next_ == entries_.size()) return std::nullopt;
    const Entry next = entries_[next_++];
    if (next.key == epoll_key) {
        epoll_watched_ = false;
        return RingCompletion{epoll_key, RingOutcome::epoll, {}, false};
    }
    if ((next.key & send_bit) != 0)
        return RingCompletion{next.key & ~send_bit, RingOutcome::unsent, {}, false};
    return completion(next);
}

bool SocketRing::taken() const {
    return std::all_of(entries_.begin() + static_cast<std::ptrdiff_t>(next_),
                       entries_.end(),
                       [](const Entry& left) { return left.key == cancel_key; });
}

RingCompletion SocketRing::await(std::uint64_t key) {
    if (buffer_in_use_) give_buffer_back();
    for (;;) {
        const auto found = std::find_if(entries_.begin() + static_cast<std::ptrdiff_t>(next_),
                                        entries_.end(),
                                        [key](const Entry& of) { return of.key == key; });
        if (found != entries_.end()) {
            const Entry awaited = *found;
            found->key = cancel_key;  // Passed over in its turn.
            return completion(awaited);
        }
        check_call(io_uring_submit_and_wait(&ring_, 1));
        submit();
    }
}

}  // namespace segue::proxy
