#pragma once
// One connected, non-blocking socket, plain or with TLS on it. Reads and writes never wait; who
// waits is the caller: the control plane by Asio (wait.hpp), the relay by its own epoll. Owned by
// one thread at a time.

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>

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

    // For who sends by himself: appends what has to go over the socket for `from`, with TLS its
    // records. False: the connection is broken. Everything that was sealed goes out, in order and
    // before anything that is written by write_some.
    bool seal(Bytes from, std::string& into);
    // Writes such bytes.
    IoOutcome write_sealed(Bytes from);

    // True when there is input that no readiness of the descriptor will announce: bytes that TLS
    // holds, decrypted or not, or what a receive by others has brought.
    bool has_buffered_input() const;

    // Somebody else reads this socket (socket_ring.hpp) until `received`: reads find nothing.
    void receiving() { input_.receiving = true; }
    // What that has brought comes before anything that is read here. `more`: there is probably more
    // in the socket. `end`: how the stream has ended, `ok` if it has not. What is left of `bytes`
    // when they are about to go is kept by `keep_received`.
    void received(Bytes bytes, bool more, Io end);
    void keep_received();
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
    // What a receive by others has brought.
    struct Input {
        bool receiving = false;
        bool more = false;
        Io end = Io::ok;
        Bytes bytes;            // Somebody else's,
        std::string kept;       // or ours; one of the two is empty.
        std::size_t taken = 0;  // Of `kept`.

        bool has_some() const { return !bytes.empty() || !kept.empty(); }
    };

    // OpenSSL's way to the socket.
    struct Bio;

    IoOutcome read_socket(MutableBytes into);
    IoOutcome take_received(MutableBytes into);
    void tell_bio();

    int fd_ = -1;
    std::unique_ptr<SSL, FreeSsl> ssl_;
    Input input_;
    std::string* sealing_ = nullptr;  // Where TLS writes to in place of the socket.
    std::string unasked_;             // What TLS wrote while it read, after something was sealed.
    bool seals_ = false;
};

}  // namespace segue::proxy
