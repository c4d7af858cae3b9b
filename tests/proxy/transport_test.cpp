#include "proxy/transport.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace segue::proxy {
namespace {

struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// A TLS session without certificates over a socket pair; the peer's records can be cut where the
// test wants.
class TlsPair {
public:
    TlsPair() {
        SSL_CTX_set_max_proto_version(context_.get(), TLS1_2_VERSION);
        SSL_CTX_set_dh_auto(context_.get(), 1);
        EXPECT_EQ(SSL_CTX_set_cipher_list(context_.get(), "ADH-AES128-GCM-SHA256:@SECLEVEL=0"), 1);
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        ours = Transport{ends[0]};
        peer_ = Transport{ends[1]};
        ours.start_tls(SSL_new(context_.get()));
        peer_.start_tls(SSL_new(context_.get()));
        SSL_set_accept_state(ours.ssl());
        SSL_set_connect_state(peer_.ssl());
        for (int i = 0; i < 8; ++i) {
            SSL_do_handshake(peer_.ssl());
            SSL_do_handshake(ours.ssl());
        }
        EXPECT_TRUE(SSL_is_init_finished(ours.ssl()));
        SSL_set_read_ahead(ours.ssl(), 1);
        SSL_set0_wbio(peer_.ssl(), BIO_new(BIO_s_mem()));
    }

    std::string record(std::string_view body) {
        EXPECT_EQ(SSL_write(peer_.ssl(), body.data(), static_cast<int>(body.size())),
                  static_cast<int>(body.size()));
        std::string wire(4096, '\0');
        const int size =
            BIO_read(SSL_get_wbio(peer_.ssl()), wire.data(), static_cast<int>(wire.size()));
        EXPECT_GT(size, 0);
        wire.resize(static_cast<std::size_t>(size));
        return wire;
    }
    void deliver(std::string_view wire) {
        EXPECT_EQ(::send(peer_.fd(), wire.data(), wire.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(wire.size()));
    }
    // What one read brings; empty when it would have to wait.
    std::string read() {
        std::array<std::byte, 1024> into;
        const IoOutcome got = ours.read_some(into);
        EXPECT_TRUE(got.io == Io::ok || got.io == Io::want_read);
        return std::string{text(Bytes{into}.first(got.size))};
    }

private:
    std::unique_ptr<SSL_CTX, FreeContext> context_{SSL_CTX_new(TLS_method())};
    Transport peer_;

public:
    Transport ours;  // After the peer's: it says goodbye when it is closed, to a socket that is
                     // still there.
};

TEST(Transport, TellsOfARecordThatWasReadAhead) {
    TlsPair pair;
    const std::string first = pair.record("one");
    pair.deliver(first + pair.record("two"));
    EXPECT_EQ(pair.read(), "one");
    EXPECT_TRUE(pair.ours.has_buffered_input());
    EXPECT_EQ(pair.read(), "two");
    EXPECT_FALSE(pair.ours.has_buffered_input());
}

// Who believed in buffered input here would ask again and again without a wait.
TEST(Transport, LeavesTheRestOfAnIncompleteRecordToReadinessAtEveryCut) {
    TlsPair pair;
    for (std::size_t cut = 1;; ++cut) {
        const std::string first = pair.record("first"), wire = pair.record("second");
        if (cut == wire.size()) break;
        SCOPED_TRACE(cut);
        pair.deliver(first + wire.substr(0, cut));
        EXPECT_EQ(pair.read(), "first");
        if (pair.ours.has_buffered_input()) {
            EXPECT_EQ(pair.read(), "");
        }
        EXPECT_FALSE(pair.ours.has_buffered_input());
        pair.deliver(wire.substr(cut));
        EXPECT_EQ(pair.read(), "second");
    }
}

TEST(Transport, SparesConnectionsInsideOneMachineACongestionControl) {
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(::bind(listening, generic, size), 0);
    ASSERT_EQ(::listen(listening, 1), 0);
    ASSERT_EQ(::getsockname(listening, generic, &size), 0);
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    constexpr std::string_view another =
        "cubic";  // Where there is no such thing, ours is the default.
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, another.data(), another.size());
    ASSERT_EQ(::connect(fd, generic, size), 0);
    const Transport transport{fd};
    std::array<char, 16> name{};
    size = name.size();
    ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size), 0);
    EXPECT_STREQ(name.data(), "reno");
    ::close(listening);
}

}  // namespace
}  // namespace segue::proxy
