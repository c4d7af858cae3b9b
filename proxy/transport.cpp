#include "proxy/transport.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>
#include <utility>

namespace segue::proxy {

namespace {

void set_option(int fd, int level, int option, int value) {
    // Fails harmlessly on Unix sockets, which have none of these.
    (void)::setsockopt(fd, level, option, &value, sizeof value);
}

bool from_this_machine(int fd) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
    if (peer.ss_family == AF_INET) {
        const auto& four = reinterpret_cast<const sockaddr_in&>(peer);
        return ntohl(four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    const auto& six = reinterpret_cast<const sockaddr_in6&>(peer);
    return peer.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
}

// Where nothing can be congested the plainest control is the best: others (bbr) cost a tenth of the
// relay's processor time.
void spare_congestion_control(int fd) {
    constexpr std::string_view plainest = "reno";  // In every kernel, and permitted to everybody.
    if (!from_this_machine(fd)) return;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plainest.data(), plainest.size());
}

constexpr int keepalive_idle_s = 60;
constexpr int keepalive_interval_s = 10;
constexpr int keepalive_probes = 6;

IoOutcome plain_outcome(ssize_t moved, Io would_block) {
    if (moved > 0) return {Io::ok, static_cast<std::size_t>(moved)};
    if (moved == 0) return {Io::closed, 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {would_block, 0};
    return {Io::failed, 0};
}

IoOutcome tls_outcome(SSL* ssl, int result) {
    if (result > 0) return {Io::ok, static_cast<std::size_t>(result)};
    switch (SSL_get_error(ssl, result)) {
        case SSL_ERROR_WANT_READ:
            return {Io::want_read, 0};
        case SSL_ERROR_WANT_WRITE:
            return {Io::want_write, 0};
        case SSL_ERROR_ZERO_RETURN:
            return {Io::closed, 0};
        default:  // OpenSSL's codes; all others end the connection.
            return {Io::failed, 0};
    }
}

int tls_size(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

}  // namespace

struct Transport::Bio {
    static BIO* make(Transport* transport) {
        static BIO_METHOD* const method = make_method();
        BIO* bio = BIO_new(method);
        BIO_set_data(bio, transport);
        BIO_set_init(bio, 1);
        return bio;
    }

private:
    static BIO_METHOD* make_method() {
        BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
        BIO_meth_set_read(method, read);
        BIO_meth_set_write(method, write);
        BIO_meth_set_ctrl(method, control);
        return method;
    }

    static int read(BIO* bio, char* into, int size) {
        auto& transport = *static_cast<Transport*>(BIO_get_data(bio));
        BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY | BIO_FLAGS_IN_EOF);
        const IoOutcome got = transport.read_socket(
            {reinterpret_cast<std::byte*>(into), static_cast<std::size_t>(size)});
        switch (got.io) {
            case Io::ok:
                return static_cast<int>(got.size);
            case Io::want_read:
            case Io::want_write:
                BIO_set_retry_read(bio);
                return -1;
            case Io::closed:
                BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
                return 0;
            case Io::failed:
                return -1;
        }
        return -1;
    }

    static int write(BIO* bio, const char* from, int size) {
        auto& transport = *static_cast<Transport*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        const std::string_view all{from, static_cast<std::size_t>(size)};
        if (transport.sealing_ != nullptr) {
            *transport.sealing_ += all;
            return size;
        }
        const IoOutcome wrote = transport.write_sealed(bytes(all));
        if (wrote.io == Io::ok) return static_cast<int>(wrote.size);
        if (wrote.io == Io::want_write) BIO_set_retry_write(bio);
        return -1;
    }

    static long control(BIO* bio, int command, long, void*) {
        if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }
};

Transport::Transport(int fd) : fd_(fd) {
    if (fd_ < 0) return;
    const int flags = ::fcntl(fd_, F_GETFL);
    if (flags >= 0) (void)::fcntl(fd_, F_SETFL, flags | O_NONBLOCK);
    (void)::fcntl(fd_, F_SETFD, FD_CLOEXEC);
    set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
    spare_congestion_control(fd_);
}

Transport::Transport(Transport&& from) noexcept
    : fd_(std::exchange(from.fd_, -1)),
      ssl_(std::move(from.ssl_)),
      input_(std::exchange(from.input_, {})),
      unasked_(std::exchange(from.unasked_, {})),
      seals_(std::exchange(from.seals_, false)) {
    assert(input_.bytes.empty());
    tell_bio();
}

Transport& Transport::operator=(Transport&& from) noexcept {
    if (this != &from) {
        close();
        fd_ = std::exchange(from.fd_, -1);
        ssl_ = std::move(from.ssl_);
        input_ = std::exchange(from.input_, {});
        unasked_ = std::exchange(from.unasked_, {});
        seals_ = std::exchange(from.seals_, false);
        assert(input_.bytes.empty());
        tell_bio();
    }
    return *this;
}

Transport::~Transport() { close(); }

IoOutcome Transport::read_some(MutableBytes into) {
    if (fd_ < 0) return {Io::failed, 0};
    if (!ssl_) return read_socket(into);
    ERR_clear_error();
    // An answer of TLS's own may not overtake records that somebody else still has to send.
    if (seals_) sealing_ = &unasked_;
    const IoOutcome got =
        tls_outcome(ssl_.get(), SSL_read(ssl_.get(), into.data(), tls_size(into.size())));
    sealing_ = nullptr;
    return got;
}

bool Transport::seal(Bytes from, std::string& into) {
    if (!ssl_) {
        into += text(from);
        return is_open();
    }
    into += std::exchange(unasked_, {});
    seals_ = true;
    ERR_clear_error();
    sealing_ = &into;
    bool good = is_open();
    while (good && !from.empty()) {
        const int wrote = SSL_write(ssl_.get(), from.data(), tls_size(from.size()));
        good = wrote > 0;
        if (good) from = from.subspan(static_cast<std::size_t>(wrote));
    }
    sealing_ = nullptr;
    return good;
}

IoOutcome Transport::write_sealed(Bytes from) {
    if (fd_ < 0) return {Io::failed, 0};
    return plain_outcome(::send(fd_, from.data(), from.size(), MSG_NOSIGNAL), Io::want_write);
}

IoOutcome Transport::read_socket(MutableBytes into) {
    if (input_.has_some()) return take_received(into);
    if (input_.end != Io::ok) return {input_.end, 0};
    if (input_.receiving) return {Io::want_read, 0};
    return plain_outcome(::recv(fd_, into.data(), into.size(), 0), Io::want_read);
}

IoOutcome Transport::take_received(MutableBytes into) {
    const Bytes from =
        input_.kept.empty() ? input_.bytes : bytes(input_.kept).subspan(input_.taken);
    std::size_t size = std::min(from.size(), into.size());
    std::memcpy(into.data(), from.data(), size);
    if (input_.kept.empty()) {
        input_.bytes = from.subspan(size);
    } else {
        input_.taken += size;
        if (input_.taken == input_.kept.size()) input_.kept = {};
    }
    if (!input_.has_some() && std::exchange(input_.more, false) && size < into.size()) {
        const MutableBytes rest = into.subspan(size);
        const IoOutcome got =
            plain_outcome(::recv(fd_, rest.data(), rest.size(), 0), Io::want_read);
        size += got.size;
        if (got.io == Io::closed || got.io == Io::failed) input_.end = got.io;
    }
    return {Io::ok, size};
}

void Transport::received(Bytes bytes, bool more, Io end) {
    assert(input_.receiving && !input_.has_some());
    input_.receiving = false;
    input_.more = more;
    input_.end = end;
    input_.bytes = bytes;
}

void Transport::keep_received() {
    if (input_.bytes.empty()) return;
    input_.kept = text(input_.bytes);
    input_.taken = 0;
    input_.bytes = {};
}

IoOutcome Transport::write_some(Bytes from) {
    if (fd_ < 0) return {Io::failed, 0};
    if (!ssl_) return write_sealed(from);
    if (!unasked_.empty()) {
        const IoOutcome wrote = write_sealed(bytes(unasked_));
        if (wrote.io != Io::ok) return wrote;
        unasked_.erase(0, wrote.size);
        if (!unasked_.empty()) return {Io::want_write, 0};
    }
    ERR_clear_error();
    return tls_outcome(ssl_.get(), SSL_write(ssl_.get(), from.data(), tls_size(from.size())));
}

bool Transport::has_buffered_input() const {
    if (input_.has_some() || input_.end != Io::ok) return true;
    // After a read that found less than a record the descriptor will announce the rest.
    return ssl_ && SSL_want(ssl_.get()) != SSL_READING && SSL_has_pending(ssl_.get()) == 1;
}

void Transport::start_tls(SSL* ssl) {
    ssl_.reset(ssl);
    BIO* bio = Bio::make(this);
    SSL_set_bio(ssl, bio, bio);
}

void Transport::tell_bio() {
    if (ssl_) BIO_set_data(SSL_get_rbio(ssl_.get()), this);
}

void Transport::close() {
    if (fd_ < 0) return;
    if (ssl_ && SSL_is_init_finished(ssl_.get())) {
        ERR_clear_error();
        (void)SSL_shutdown(
            ssl_.get());  // One attempt to say goodbye; the peer's answer is not waited for.
    }
    ssl_.reset();
    ::close(fd_);
    fd_ = -1;
}

void Transport::reset_connection() {
    if (fd_ < 0) return;
    const linger at_once{1, 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ssl_.reset();
    ::close(fd_);
    fd_ = -1;
}

}  // namespace segue::proxy
