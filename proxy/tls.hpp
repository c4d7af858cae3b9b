#pragma once
// TLS toward clients and toward servers. Contexts are made once and only read afterwards.

#include <openssl/ssl.h>
#include <boost/asio/awaitable.hpp>

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
    // PEM files; an Error names the file. With a `client_ca_file` clients may show a certificate,
    // which must then be signed by it.
    static Result<std::unique_ptr<ClientTls>> make(const std::string& certificate_file,
                                                   const std::string& key_file,
                                                   const std::string& client_ca_file = {});

    // The handshake on `client`, of which nothing has been read ahead. `direct`: without
    // SSLRequest, so that the client must have offered ALPN "postgresql".
    boost::asio::awaitable<Status> accept(Transport& client, bool direct, Deadline deadline) const;
    // tls-server-end-point: the hash of our certificate, for channel binding.
    const std::string& binding() const { return binding_; }

private:
    ClientTls(TlsContext context, std::string binding)
        : context_(std::move(context)), binding_(std::move(binding)) {}
    TlsContext context_;
    std::string binding_;
};

// The common name of the certificate that the client has shown; empty when it has shown none.
std::string certified_name(const Transport& client);

// libpq's sslmode.
enum class SslMode : std::uint8_t {
    as_client,
    disable,
    allow,
    prefer,
    require,
    verify_ca,
    verify_full
};
Result<SslMode> parse_sslmode(const std::string& text);

// Segue as the client of one server. On one thread.
class ServerTls {
public:
    // An Error only for an unknown sslmode.
    static Result<std::unique_ptr<ServerTls>> make(const ServerConfig& server);

    SslMode mode() const { return mode_; }
    // Reads the files that the URL names. What cannot be read is an Error that names it, and is
    // tried again at the next connection: a file that is missing keeps clients from this server
    // only, and only as long as it is missing.
    Status read_files();
    // Reads them anew, for connections from now on. After an Error those from before are in use.
    Status read_files_again();
    // The handshake, and the certificate's check as far as the mode asks for one.
    boost::asio::awaitable<Status> connect(Transport& server, Deadline deadline);

private:
    ServerTls(const ServerConfig& server, SslMode mode)
        : mode_(mode),
          direct_(server.direct_tls),
          host_(server.tls_host.empty() ? server.host : server.tls_host),
          files_{server.sslrootcert, server.sslcert, server.sslkey} {}
    struct Files {
        std::string roots, certificate, key;
    };
    Status read_roots(SSL_CTX* context) const;
    Status read_certificate(SSL_CTX* context) const;

    TlsContext context_;  // Null until the files have been read.
    SslMode mode_;
    bool direct_;
    std::string host_;
    Files files_;
};

// Whether that server has asked for, and seen, Segue's own certificate. If it then lets a session
// in without a question, that may be because of it, and nobody has asked the client anything.
bool showed_certificate(const Transport& server);

// tls-server-end-point of the server at the other end; empty without TLS.
std::string peer_binding(const Transport& server);

}  // namespace segue::proxy
