#pragma once
// TLS toward clients and toward servers. Contexts are made once and only read afterwards.

#include <boost/asio/awaitable.hpp>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "proxy/transport.hpp"
#include "proxy/wait.hpp"

namespace segue::proxy {

struct FreeTlsContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTlsContext>;

// Segue as the server.
class ClientTls {
public:
    // PEM files; an Error names the file.
    static Result<std::unique_ptr<ClientTls>> make(const std::string& certificate_file, const std::string& key_file);

    // The handshake on `client`, of which nothing has been read ahead. `direct`: without SSLRequest, so that the client must have
    // offered ALPN "postgresql".
    boost::asio::awaitable<Status> accept(Transport& client, bool direct, Deadline deadline) const;
    // tls-server-end-point: the hash of our certificate, for channel binding.
    const std::string& binding() const { return binding_; }

private:
    ClientTls(TlsContext context, std::string binding) : context_(std::move(context)), binding_(std::move(binding)) {}
    TlsContext context_;
    std::string binding_;
};

// libpq's sslmode.
enum class SslMode : std::uint8_t { as_client, disable, allow, prefer, require, verify_ca, verify_full };
Result<SslMode> parse_sslmode(const std::string& text);

// Segue as the client of one server.
class ServerTls {
public:
    static Result<std::unique_ptr<ServerTls>> make(const ServerConfig& server);

    SslMode mode() const { return mode_; }
    // The handshake, and the certificate's check as far as the mode asks for one.
    boost::asio::awaitable<Status> connect(Transport& server, Deadline deadline) const;

private:
    ServerTls(TlsContext context, SslMode mode, std::string host)
        : context_(std::move(context)), mode_(mode), host_(std::move(host)) {}
    TlsContext context_;
    SslMode mode_;
    std::string host_;
};

// tls-server-end-point of the server at the other end; empty without TLS.
std::string peer_binding(const Transport& server);

}  // namespace segue::proxy
