#include "proxy/socket_ring.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "proxy/outbox.hpp"
#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t key = 16;

// Both ends of a TCP connection of this machine, whose buffers are small.
std::pair<int, int> tcp_pair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    const int near = ::socket(AF_INET, SOCK_STREAM, 0);
    const int small = 4096;
    ::setsockopt(near, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    EXPECT_EQ(::connect(near, reinterpret_cast<sockaddr*>(&address), size), 0);
    const int far = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    return {near, far};
}

class Ring : public testing::Test {
protected:
    void SetUp() override {
        ring = SocketRing::open(epoll_fd);
        if (!ring) GTEST_SKIP() << "this machine does not permit io_uring";
        const auto [near, far] = tcp_pair();
        socket = Transport{near};
        peer = std::make_unique<Peer>(far);
    }
    void TearDown() override {
        ring.reset();
        ::close(epoll_fd);
    }

    std::optional<RingCompletion> turn() {
        ring->wait(0ms);
        return ring->next();
    }
    RingCompletion wait() {
        ring->wait(5s);
        const auto completion = ring->next();
        EXPECT_TRUE(completion);
        return completion.value_or(RingCompletion{});
    }

    int epoll_fd = ::epoll_create1(0);
    std::unique_ptr<SocketRing> ring;
    Transport socket;
    std::unique_ptr<Peer> peer;
};

TEST_F(Ring, ReceivesOnceForEachTimeItIsAsked) {
    ring->receive(socket.fd(), key);
    EXPECT_FALSE(turn());
    peer->say("one");
    const RingCompletion first = wait();
    EXPECT_EQ(first.key, key);
    EXPECT_EQ(first.outcome, RingOutcome::bytes);
    EXPECT_EQ(text(first.bytes), "one");
    EXPECT_FALSE(first.filled);
    peer->say("two");
    EXPECT_FALSE(turn());
    ring->receive(socket.fd(), key);
    EXPECT_EQ(text(wait().bytes), "two");
}

// A look sends what was gathered, ends with whatever the ring or the epoll has, and takes nothing.
TEST_F(Ring, LooksUntilSomethingHasCome) {
    ring->receive(socket.fd(), key);
    const auto began = std::chrono::steady_clock::now();
    ring->look(2ms);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 2ms);
    EXPECT_FALSE(turn());

    Outbox outbox;
    ring->send(socket.fd(), bytes("asked"), outbox, key);
    std::thread answers{[this] {
        while (peer->heard().empty()) std::this_thread::yield();
        peer->say("answered");
    }};
    ring->look(60s);
    answers.join();
    EXPECT_EQ(text(wait().bytes), "answered");

    const int event = ::eventfd(1, EFD_NONBLOCK);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    ASSERT_EQ(::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event, &wanted), 0);
    ring->look(60s);
    EXPECT_EQ(wait().outcome, RingOutcome::epoll);
    ::close(event);
}

TEST_F(Ring, TellsHowAStreamHasEnded) {
    ring->receive(socket.fd(), key);
    peer->end_sending();
    EXPECT_EQ(wait().outcome, RingOutcome::ended);

    const auto [near, far] = tcp_pair();
    ring->receive(near, key);
    const linger at_once{1, 0};
    ::setsockopt(far, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(far);
    EXPECT_EQ(wait().outcome, RingOutcome::broken);
    ::close(near);
}

TEST_F(Ring, AwaitsTheEndOfAReceive) {
    ring->receive(socket.fd(), key);
    ring->cancel(key);
    EXPECT_EQ(ring->await(key).outcome, RingOutcome::cancelled);
    ring->receive(socket.fd(), key);
    EXPECT_FALSE(turn());
    peer->say("in time");
    ring->wait(5s);  // It is here, but has not been taken.
    ring->cancel(key);
    EXPECT_EQ(text(ring->await(key).bytes), "in time");
    EXPECT_FALSE(turn());
}

TEST_F(Ring, IsReadinessWhenAllBuffersAreTaken) {
    std::vector<std::pair<int, int>> pairs;
    for (unsigned i = 0; i < receive_buffers + 8; ++i) {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        pairs.emplace_back(ends[0], ends[1]);
        ASSERT_EQ(::send(ends[1], "x", 1, 0), 1);
        ring->receive(ends[0], key * (i + 1));
    }
    std::map<RingOutcome, unsigned> seen;
    // A call does so many at a time.
    for (unsigned i = 0; i < receive_buffers; ++i) ring->wait(0ms);
    while (const auto completion = ring->next()) ++seen[completion->outcome];
    EXPECT_EQ(seen[RingOutcome::bytes], receive_buffers);
    EXPECT_EQ(seen[RingOutcome::ready], 8u);
    for (const auto& [near, far] : pairs) {
        ::close(near);
        ::close(far);
    }
}

TEST_F(Ring, WatchesTheEpollAlsoForWhatStaysReady) {
    const int event = ::eventfd(1, EFD_NONBLOCK);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    ASSERT_EQ(::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event, &wanted), 0);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(wait().outcome, RingOutcome::epoll);
    ::close(event);
}

TEST_F(Ring, SendsWhatWasGatheredWithTheNextSubmission) {
    Outbox outbox;
    EXPECT_TRUE(outbox.send(socket, bytes("one "), {ring.get(), key}));
    EXPECT_EQ(peer->heard(), "");
    EXPECT_TRUE(outbox.send(socket, bytes("two"), {ring.get(), key}));
    ring->submit();
    EXPECT_EQ(peer->heard(), "one two");
    EXPECT_FALSE(turn());
}

// As when thousands of sessions stop together: what does not fit waits in a list of the kernel, and
// everything that completes later behind it.
TEST_F(Ring, KnowsOfARefusedSendBehindMoreCompletionsThanItHasRoomFor) {
    constexpr std::uint64_t others = 24;
    ring.reset();
    ring = SocketRing::open(epoll_fd, {.submissions = 8, .completions = 8});
    ASSERT_TRUE(ring);
    const std::string much(1 << 20, 'x');
    while (socket.write_some(bytes(much)).io == Io::ok) continue;  // Until the peer has no room.
    std::vector<std::pair<int, int>> pairs;
    for (std::uint64_t i = 1; i <= others; ++i) {
        pairs.push_back(tcp_pair());
        ring->receive(pairs.back().first, key * (i + 1));
    }
    ring->submit();
    for (const auto& [near, far] : pairs) ::close(far);
    ring->wait(5s);
    Outbox outbox;
    EXPECT_TRUE(outbox.send(socket, bytes("refused"), {ring.get(), key}));
    ring->submit();
    EXPECT_FALSE(outbox.empty());
    std::map<RingOutcome, std::uint64_t> seen;
    while (const auto completion = ring->next()) ++seen[completion->outcome];
    EXPECT_EQ(seen[RingOutcome::ended], others);
    EXPECT_EQ(seen[RingOutcome::unsent], 1u);
    for (const auto& [near, far] : pairs) ::close(near);
}

TEST_F(Ring, TellsTheOutboxOfABrokenConnection) {
    peer->close();
    Outbox outbox;
    for (int i = 0; i < 3 && outbox.empty(); ++i) {
        outbox.send(socket, bytes("x"), {ring.get(), key});
        ring->submit();
    }
    EXPECT_EQ(wait().outcome, RingOutcome::unsent);
    EXPECT_FALSE(outbox.flush(socket));
    EXPECT_FALSE(outbox.send(socket, bytes("x"), {ring.get(), key}));
}

// Pieces of every size, for a peer that is slower: no byte is lost, doubled or overtaken.
class SlowReader {
public:
    SlowReader(SocketRing& ring, Transport& socket, std::function<std::string()> hear)
        : ring_(ring), socket_(socket), hear_(std::move(hear)) {}

    void run() {
        for (int i = 0; i < 4000 && !testing::Test::HasFatalFailure(); ++i) step();
        ring_.submit();
        while (heard_.size() < sent_.size()) {
            ASSERT_TRUE(outbox_.flush(socket_));
            heard_ += hear_();
        }
        EXPECT_GT(refused_, 0);
        EXPECT_TRUE(heard_ == sent_);
    }

private:
    int below(int limit) { return std::uniform_int_distribution{0, limit - 1}(random_); }

    void step() {
        std::string piece(static_cast<std::size_t>(1 + below(below(4) == 0 ? 12000 : 200)), ' ');
        for (char& letter : piece) letter = static_cast<char>('a' + below(26));
        if (outbox_.empty() || below(3) == 0) {
            ASSERT_TRUE(outbox_.send(socket_, bytes(piece), {&ring_, key}));
            sent_ += piece;
        }
        if (below(2) == 0) ring_.wait(0ms);
        while (const auto completion = ring_.next()) {
            ASSERT_EQ(completion->outcome, RingOutcome::unsent);
            ++refused_;
        }
        if (below(20) == 0) heard_ += hear_();
        ASSERT_TRUE(outbox_.flush(socket_));
    }

    SocketRing& ring_;
    Transport& socket_;
    std::function<std::string()> hear_;
    std::minstd_rand random_{1};
    Outbox outbox_;
    std::string sent_, heard_;
    int refused_ = 0;
};

TEST_F(Ring, KeepsTheOrderForASlowReader) {
    SlowReader{*ring, socket, [this] { return peer->heard(); }}.run();
}

TEST_F(Ring, KeepsTheOrderOfTlsRecordsForASlowReader) {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{SSL_CTX_new(TLS_method()),
                                                                    SSL_CTX_free};
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_dh_auto(context.get(), 1);
    ASSERT_EQ(SSL_CTX_set_cipher_list(context.get(), "ADH-AES128-GCM-SHA256:@SECLEVEL=0"), 1);
    const auto [near, far] = tcp_pair();
    socket = Transport{near};
    Transport reader{far};
    socket.start_tls(SSL_new(context.get()));
    reader.start_tls(SSL_new(context.get()));
    SSL_set_accept_state(socket.ssl());
    SSL_set_connect_state(reader.ssl());
    while (!SSL_is_init_finished(socket.ssl()) || !SSL_is_init_finished(reader.ssl())) {
        SSL_do_handshake(reader.ssl());
        SSL_do_handshake(socket.ssl());
    }
    const auto hear = [&reader] {
        std::string all;
        std::array<std::byte, 65536> scratch;
        for (IoOutcome got; (got = reader.read_some(scratch)).io == Io::ok;)
            all += text(Bytes{scratch}.first(got.size));
        return all;
    };
    SlowReader{*ring, socket, hear}.run();
}

}  // namespace
}  // namespace segue::proxy
