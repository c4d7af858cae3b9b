#include "tests/support/cable.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.hpp"

namespace segue::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int tick_ms = 5;                  // How soon an order is obeyed.
constexpr std::size_t held_max = 8u << 20;  // Bytes on their way; beyond it reading pauses.

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void close_with_reset(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

// One direction of one connection.
struct Lane {
    struct Parcel {
        Clock::time_point due;
        std::string bytes;
    };
    std::deque<Parcel> parcels;
    std::size_t held = 0;
    bool ended = false;   // Nothing more will be read.
    bool closed = false;  // And that was passed on.

    // False when the connection is gone.
    bool take(int from, Clock::duration delay) {
        char buffer[65536];
        const ssize_t size = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        if (size == 0) {
            ended = true;
            return true;
        }
        held += static_cast<std::size_t>(size);
        parcels.push_back({Clock::now() + delay, {buffer, static_cast<std::size_t>(size)}});
        return true;
    }

    bool give(int to) {
        while (!parcels.empty() && parcels.front().due <= Clock::now()) {
            std::string& bytes = parcels.front().bytes;
            const ssize_t size = send(to, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (size < 0) return errno == EAGAIN || errno == EINTR;
            held -= static_cast<std::size_t>(size);
            bytes.erase(0, static_cast<std::size_t>(size));
            if (!bytes.empty()) return true;
            parcels.pop_front();
        }
        if (ended && parcels.empty() && !closed) {
            shutdown(to, SHUT_WR);
            closed = true;
        }
        return true;
    }
};

}  // namespace

struct Cable::Joint {
    int ends[2] = {-1, -1};  // Who connected; whom it wants.
    Lane lanes[2];           // lanes[i] leads away from ends[i].
    bool forgotten = false;

    ~Joint() {
        for (const int end : ends) {
            if (end >= 0) close_with_reset(end);
        }
    }
    bool over() const { return lanes[0].closed && lanes[1].closed; }
    short wants(int i) const {
        if (ends[i] < 0) return 0;
        const bool reads = !lanes[i].ended && lanes[i].held < held_max;
        const Lane& other = lanes[1 - i];
        const bool writes = !other.parcels.empty() && other.parcels.front().due <= Clock::now();
        return static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    }
};

Cable::Cable(int to_port) : port_(free_port()), to_port_(to_port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in address = loopback(port_);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, SOMAXCONN) != 0) {
        std::abort();
    }
    thread_ = std::thread{[this] { run(); }};
}

Cable::~Cable() {
    stopping_ = true;
    thread_.join();
    joints_.clear();
    close(listener_);
}

// Returns when it is so: a cut that is mended at once was a cut.
void Cable::order(State state) {
    state_ = state;
    while (obeyed_ != state) pause_between_polls();
}

void Cable::cut() { order(State::cut); }
void Cable::silence() { order(State::silent); }
void Cable::mend() { order(State::whole); }
void Cable::delay(std::chrono::milliseconds each_way) { delay_ms_ = each_way.count(); }

void Cable::accept_one() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    auto joint = std::make_unique<Joint>();
    joint->ends[0] = client;
    const State state = state_;
    if (state == State::cut) return;  // Its destructor resets it.
    if (state == State::silent) {
        joint->forgotten = true;
    } else {
        const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        joint->ends[1] = server;
        const sockaddr_in address = loopback(to_port_);
        if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            return;
        const int yes = 1;
        for (const int end : joint->ends)
            setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    joints_.push_back(std::move(joint));
}

void Cable::carry() {
    const auto delay = std::chrono::milliseconds{delay_ms_.load()};
    std::erase_if(joints_, [&](const std::unique_ptr<Joint>& joint) {
        if (joint->forgotten) return false;
        for (const int i : {0, 1}) {
            Lane& lane = joint->lanes[i];
            const bool reads = !lane.ended && lane.held < held_max;
            if (reads && !lane.take(joint->ends[i], delay)) return true;
            if (!lane.give(joint->ends[1 - i])) return true;
        }
        return joint->over();
    });
}

void Cable::run() {
    while (!stopping_) {
        const State state = state_;
        if (state == State::cut) joints_.clear();
        if (state == State::silent) {
            for (const auto& joint : joints_) joint->forgotten = true;
        }
        obeyed_ = state;
        std::vector<pollfd> fds{{listener_, POLLIN, 0}};
        for (const auto& joint : joints_) {
            if (joint->forgotten) continue;
            for (const int i : {0, 1}) fds.push_back({joint->ends[i], joint->wants(i), 0});
        }
        poll(fds.data(), fds.size(), tick_ms);
        if (fds[0].revents != 0) accept_one();
        carry();
    }
}

}  // namespace segue::test
