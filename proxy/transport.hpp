#pragma once
// One connected, non-blocking socket, plain or with TLS on it. Reads and writes never wait; who
// waits is the caller: the control plane by Asio (wait.hpp), the relay by its own epoll. Owned by
// one thread at a time.

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>

#include "protocol/bytes.hpp"

namespace segue::proxy {

enum class Io : std::uint8_t { ok, want_read, want_write, closed, failed };

struct IoOutcome {
    Io io = Io::ok;
    std::size_t size = 0;  // Bytes moved; above zero exactly when ok.
};

class Transport {
public:
    Transport() = default;
    explicit Transport(
        int fd);  // Takes the descriptor over; makes it non-blocking, TCP_NODELAY, with keepalives.
    Transport(Transport&& from) noexcept;
    Transport& operator=(Transport&& from) noexcept;
    ~Transport();  // Closes.

    // One attempt. `closed` is an orderly end of the peer's stream.
    IoOutcome read_some(MutableBytes into);
    IoOutcome write_some(Bytes from);

    // True when TLS may hold bytes, decrypted or not, that no readiness of the descriptor will
    // announce.
    bool has_buffered_input() const;
    bool is_open() const { return fd_ >= 0; }
    bool uses_tls() const { return ssl_ != nullptr; }
    int fd() const { return fd_; }
    SSL* ssl() const { return ssl_.get(); }

    // From now on bytes go through `ssl`, whose handshake is still to be done (tls.hpp).
    void start_tls(SSL* ssl);
    void close();
    void reset_connection();  // Closes with RST (SO_LINGER 0).

private:
    struct FreeSsl {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };
    int fd_ = -1;
    std::unique_ptr<SSL, FreeSsl> ssl_;
};

}  // namespace segue::proxy
