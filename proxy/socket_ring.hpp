#pragma once
// The receives and sends of one relay thread by io_uring (io_uring(7)). The kernel reads a socket
// whose input is wanted as soon as bytes have come, into buffers that all sockets share; what is to
// be sent is gathered; one system call a turn hands both in and brings what has come. What the ring
// does no better stays with the thread's epoll, which the ring watches as one more descriptor.
//
// The kernel reads only inside calls of this (IORING_SETUP_DEFER_TASKRUN), and once for each
// `receive`. Between that and its completion the socket's input is the ring's alone: whoever read
// it himself could overtake bytes that the ring has.
//
// What was asked for names a descriptor until it is handed in: `submit` before one is closed, which
// else may already be another connection's.
//
// Used and destroyed by the thread that opened it.

#include <liburing.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"

namespace segue::proxy {

class Outbox;

// When all are taken, a receive reads nothing and is no more than readiness.
inline constexpr unsigned receive_buffers = 256;
inline constexpr std::size_t receive_buffer_size = 4096;
// Larger pieces are not gathered: copying them would cost more than the call that is saved.
inline constexpr std::size_t gathered_size_max = 8192;
inline constexpr std::size_t gathered_total_max = 64 * 1024;

enum class RingOutcome : std::uint8_t {
    bytes,
    ready,  // Nothing was read, but there may be something.
    ended,  // The peer has ended its stream.
    broken,
    cancelled,  // Nothing was read.
    unsent,     // No receive: a send was refused, wholly or in part, and the outbox knows.
    epoll,      // No receive: the epoll has events.
};

struct RingCompletion {
    std::uint64_t key = 0;
    RingOutcome outcome = RingOutcome::ready;
    Bytes bytes;          // Until the next call of anything here.
    bool filled = false;  // The buffer is full: there may be more.
};

struct RingSizes {
    unsigned submissions = 1024;  // Handed in together; more are handed in earlier.
    // Three for each of ten thousand sessions; beyond them the kernel keeps a list.
    unsigned completions = 32768;
};

class SocketRing {
public:
    // Null where the kernel does not offer it: before 6.1, or forbidden, as in many containers; and
    // where it does not tell of a send that was cut short as it is relied on here.
    static std::unique_ptr<SocketRing> open(int epoll_fd, RingSizes sizes = {});
    ~SocketRing();
    SocketRing(const SocketRing&) = delete;
    SocketRing& operator=(const SocketRing&) = delete;

    // One receive on that socket, of which exactly one completion with that key comes. Keys are
    // addresses of something that outlives it, with one of the two lowest bits for the caller.
    void receive(int fd, std::uint64_t key);
    // The receive with that key completes soon; as `cancelled` if it has read nothing.
    void cancel(std::uint64_t key);

    // Sends a copy of the bytes with the next `submit` or `wait`; by then the socket has taken them
    // all or the outbox has been told (Outbox::refused), and a completion with this key follows. At
    // most one a submission for one outbox, and no more than gathered_size_max bytes.
    void send(int fd, Bytes from, Outbox& outbox, std::uint64_t key);
    // The submission that is being gathered.
    std::uint64_t submission() const { return submission_; }
    void submit();

    // Memory for whoever prepares what is to be sent.
    std::string& scratch() { return scratch_; }

    // Submits and looks, without sleeping, until something has come, for so long at most. `wait`
    // follows, and takes it.
    void look(std::chrono::microseconds longest);
    // Submits and waits until something completes, up to `timeout`; negative: for ever. Returns at
    // once while completions are left.
    void wait(std::chrono::milliseconds timeout);
    std::optional<RingCompletion> next();
    // No completions are left.
    bool taken() const;
    // The completion of the receive with that key, which was cancelled, before its turn.
    RingCompletion await(std::uint64_t key);

private:
    // As io_uring_cqe, of which the kernel wants its place back.
    struct Entry {
        std::uint64_t key;
        int result;
        unsigned flags;
    };
    struct Gathered {
        std::uint64_t key;
        Outbox* outbox;
        std::size_t begin, size;  // In gathered_bytes_.
    };
    struct Free {
        void operator()(io_uring_buf_ring* memory) const;
    };

    explicit SocketRing(int epoll_fd) : epoll_fd_(epoll_fd) {}
    bool set_up(RingSizes sizes);
    io_uring_sqe& entry();
    void watch_epoll();
    void begin_wait();
    bool tells_of_short_sends();
    void submitted();
    void take_completed();
    void take_refused(std::uint64_t key, int result);
    void give_buffer_back();
    RingCompletion completion(const Entry& entry);
    std::byte* buffer(unsigned number) { return buffers_.data() + number * receive_buffer_size; }

    int epoll_fd_;
    bool opened_ = false;
    bool epoll_watched_ = false;
    io_uring ring_{};
    std::unique_ptr<io_uring_buf_ring, Free> buffer_ring_;
    std::vector<std::byte> buffers_;
    std::vector<Entry> entries_;
    std::size_t next_ = 0;
    std::optional<unsigned> buffer_in_use_;  // Of the last completion.
    std::vector<std::byte> gathered_bytes_;  // Of fixed size: the kernel is given addresses in it.
    std::size_t gathered_size_ = 0;
    std::vector<Gathered> gathered_;
    std::string scratch_;
    std::uint64_t submission_ = 1;
};

}  // namespace segue::proxy
