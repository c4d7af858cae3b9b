#pragma once
// A relay thread driven turn by turn by the test, with socket pairs for clients and servers.
// Nothing sleeps: socket pairs have their bytes at once, so a few turns bring everything to rest.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/relay_thread.hpp"

namespace segue::proxy {

using namespace std::string_literals;
using namespace std::string_view_literals;

inline std::string message(char tag, std::string_view body) {
    const auto size = static_cast<std::uint32_t>(body.size() + 4);
    std::string wire{tag};
    for (int shift = 24; shift >= 0; shift -= 8) wire.push_back(static_cast<char>(size >> shift));
    return wire + std::string{body};
}
inline std::string query(std::string_view sql) { return message('Q', std::string{sql} + '\0'); }
inline std::string ready(char status) { return message('Z', std::string(1, status)); }
inline std::string complete(std::string_view tag) { return message('C', std::string{tag} + '\0'); }

// One end of a socket pair, the test's.
class Peer {
public:
    explicit Peer(int fd) : fd_(fd) {}
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() { close(); }

    void say(std::string_view what) {
        ASSERT_EQ(::send(fd_, what.data(), what.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(what.size()));
    }
    // Everything that is there now.
    std::string heard() {
        std::string all;
        char buffer[65536];
        for (;;) {
            const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got == 0) ended_ = true;
            if (got <= 0) return all;
            all.append(buffer, static_cast<std::size_t>(got));
        }
    }
    // The relay has ended this connection, and everything has been heard.
    bool ended() {
        (void)heard();
        return ended_;
    }
    void end_sending() { ::shutdown(fd_, SHUT_WR); }
    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    int fd() const { return fd_; }

private:
    int fd_;
    bool ended_ = false;
};

struct Pair {
    Pair() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        test_end = std::make_unique<Peer>(ends[0]);
        relay_end = Transport{ends[1]};
    }
    std::unique_ptr<Peer> test_end;
    Transport relay_end;
};

// A session whose client, server and (after add_other) other server are the test's.
struct Scene {
    std::unique_ptr<Peer> client, server, other;
};

class RelayRig {
public:
    explicit RelayRig(RelayPeers peers = {}) : thread(complete_peers(peers)) {}

    Scene adopt(std::uint64_t id, bool with_other = false) {
        Pair client, server, other;
        auto session = std::make_unique<Session>();
        session->id = id;
        session->client = std::move(client.relay_end);
        session->client_pid = static_cast<std::int32_t>(1000 + id);
        session->client_cancel_key = "key" + std::to_string(id);
        session->backend.transport = std::move(server.relay_end);
        session->backend.pid = static_cast<std::int32_t>(1000 + id);
        if (with_other) {
            session->other.emplace();
            session->other->transport = std::move(other.relay_end);
            session->other->side = Side::target;
            session->other->pid = static_cast<std::int32_t>(2000 + id);
            session->other_state.emplace();
        }
        directory.add(*session, 0);
        thread.adopt(std::move(session), "");
        return {std::move(client.test_end),
                std::move(server.test_end),
                with_other ? std::move(other.test_end) : nullptr};
    }

    // Until nothing moves any more.
    void settle() {
        for (int i = 0; i < 12; ++i) thread.turn(std::chrono::milliseconds{0});
    }

    SessionDirectory directory;
    GateStatus gate_status;
    RelayThread thread;

private:
    RelayPeers complete_peers(RelayPeers peers) {
        peers.directory = &directory;
        peers.gate_status = &gate_status;
        // The same tests once more without io_uring (CMakeLists.txt).
        peers.ring = std::getenv("SEGUE_TESTS_BY_EPOLL") == nullptr;
        return peers;
    }
};

}  // namespace segue::proxy
