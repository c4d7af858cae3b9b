#include "proxy/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace segue::proxy {

namespace asio = boost::asio;

namespace {

constexpr std::array<unsigned char, 11> alpn = {
    10, 'p', 'o', 's', 't', 'g', 'r', 'e', 's', 'q', 'l'};

std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown reason";
    const char* reason = ERR_reason_error_string(code);
    return reason != nullptr ? reason : "error " + std::to_string(code);
}

TlsContext make_context(const SSL_METHOD* method) {
    TlsContext context{SSL_CTX_new(method)};
    if (!context) return context;
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    // An idle session keeps no record buffers.
    SSL_CTX_set_mode(context.get(),
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                         SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(
        context.get(),
        SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    return context;
}

int select_alpn(SSL*,
                const unsigned char** out,
                unsigned char* out_size,
                const unsigned char* in,
                unsigned in_size,
                void*) {
    unsigned char* selected = nullptr;
    if (SSL_select_next_proto(&selected, out_size, alpn.data(), alpn.size(), in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

// RFC 5929: the hash of the signature's own algorithm, SHA-256 in place of MD5 and SHA-1.
std::string end_point_hash(const X509* certificate) {
    int digest_nid = NID_undef;
    if (certificate == nullptr ||
        !X509_get_signature_info(
            const_cast<X509*>(certificate), &digest_nid, nullptr, nullptr, nullptr)) {
        return {};
    }
    if (digest_nid == NID_md5 || digest_nid == NID_sha1) digest_nid = NID_sha256;
    const EVP_MD* digest = EVP_get_digestbynid(digest_nid);
    if (digest == nullptr) return {};
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    if (X509_digest(certificate, digest, hash.data(), &size) != 1) return {};
    return {reinterpret_cast<const char*>(hash.data()), size};
}

// Runs SSL_accept or SSL_connect to its end.
asio::awaitable<Status> handshake(Transport& transport, const char* with, Deadline deadline) {
    for (;;) {
        ERR_clear_error();
        const int result = SSL_do_handshake(transport.ssl());
        if (result == 1) {
            // A record is taken off the socket with one call, not two. Not before: a handshake
            // waits for readiness, which says nothing of bytes that have been read ahead.
            SSL_set_read_ahead(transport.ssl(), 1);
            co_return Done{};
        }
        Status waited = Done{};
        switch (SSL_get_error(transport.ssl(), result)) {
            case SSL_ERROR_WANT_READ:
                waited = co_await wait_readable(transport, deadline);
                break;
            case SSL_ERROR_WANT_WRITE:
                waited = co_await wait_writable(transport, deadline);
                break;
            default: {  // OpenSSL's codes; all others are the end.
                const long verified = SSL_get_verify_result(transport.ssl());
                std::string why = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                                        : openssl_reason();
                ERR_clear_error();
                co_return Error{Errc::refused,
                                "TLS handshake with the " + std::string{with} + ": " + why};
            }
        }
        if (!waited) co_return waited.error();
    }
}

bool agreed_alpn(const SSL* ssl) {
    const unsigned char* selected = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &selected, &size);
    return size > 0;
}

// Called when a server asks for our certificate.
int note_certificate_shown(SSL* ssl, void*) {
    SSL_set_app_data(ssl, ssl);
    return 1;
}

bool is_address(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> ignored{};
    return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

// Where libpq looks when no sslrootcert is given.
std::string default_root_file() {
    const char* home = std::getenv("HOME");
    return std::string{home != nullptr ? home : "/"} + "/.postgresql/root.crt";
}

}  // namespace

Result<std::unique_ptr<ClientTls>> ClientTls::make(const std::string& certificate_file,
                                                   const std::string& key_file,
                                                   const std::string& client_ca_file) {
    TlsContext context = make_context(TLS_server_method());
    if (!context) return Error{Errc::io, "TLS: " + openssl_reason()};
    if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1) {
        return Error{Errc::refused,
                     "tls_certificate " + certificate_file +
                         ": expected a certificate in PEM: " + openssl_reason()};
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context.get()) != 1) {
        return Error{Errc::refused,
                     "tls_key " + key_file +
                         ": expected the certificate's private key in PEM: " + openssl_reason()};
    }
    if (!client_ca_file.empty()) {
        STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(client_ca_file.c_str());
        if (names == nullptr ||
            SSL_CTX_load_verify_locations(context.get(), client_ca_file.c_str(), nullptr) != 1) {
            return Error{Errc::refused,
                         "tls_client_ca " + client_ca_file + ": " + openssl_reason()};
        }
        SSL_CTX_set_client_CA_list(context.get(), names);
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    }
    // As PostgreSQL does it: no session is resumed, and a client that tried to would fail where
    // certificates are asked for.
    SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context.get(), 0);
    SSL_CTX_set_alpn_select_cb(context.get(), select_alpn, nullptr);
    std::string binding = end_point_hash(SSL_CTX_get0_certificate(context.get()));
    return std::unique_ptr<ClientTls>{new ClientTls(std::move(context), std::move(binding))};
}

asio::awaitable<Status> ClientTls::accept(Transport& client, bool direct, Deadline deadline) const {
    SSL* ssl = SSL_new(context_.get());
    if (ssl == nullptr) co_return Error{Errc::io, "TLS: " + openssl_reason()};
    client.start_tls(ssl);
    SSL_set_accept_state(ssl);
    const Status done = co_await handshake(client, "client", deadline);
    if (!done) co_return done.error();
    if (direct && !agreed_alpn(ssl))
        co_return Error{Errc::refused, "direct TLS without ALPN \"postgresql\""};
    co_return Done{};
}

std::string certified_name(const Transport& client) {
    const X509* shown = client.uses_tls() ? SSL_get0_peer_certificate(client.ssl()) : nullptr;
    if (shown == nullptr || SSL_get_verify_result(client.ssl()) != X509_V_OK) return {};
    std::array<char, 256> name{};  // A role's name has 63 bytes at most.
    const int size = X509_NAME_get_text_by_NID(
        X509_get_subject_name(shown), NID_commonName, name.data(), static_cast<int>(name.size()));
    // A name with a zero in it pretends to be a shorter one.
    if (size <= 0 || std::string_view{name.data()}.size() != static_cast<std::size_t>(size))
        return {};
    return name.data();
}

Result<SslMode> parse_sslmode(const std::string& text) {
    if (text.empty()) return SslMode::as_client;
    if (text == "disable") return SslMode::disable;
    if (text == "allow") return SslMode::allow;
    if (text == "prefer") return SslMode::prefer;
    if (text == "require") return SslMode::require;
    if (text == "verify-ca") return SslMode::verify_ca;
    if (text == "verify-full") return SslMode::verify_full;
    return Error{Errc::refused, "sslmode \"" + text + "\" is unknown"};
}

Result<std::unique_ptr<ServerTls>> ServerTls::make(const ServerConfig& server) {
    const Result<SslMode> mode = parse_sslmode(server.sslmode);
    if (!mode) return mode.error();
    return std::unique_ptr<ServerTls>{new ServerTls(server, *mode)};
}

Status ServerTls::read_roots(SSL_CTX* context) const {
    const bool must_verify = mode_ == SslMode::verify_ca || mode_ == SslMode::verify_full;
    const std::string roots =
        files_.roots.empty() && must_verify ? default_root_file() : files_.roots;
    if (roots == "system") {
        SSL_CTX_set_default_verify_paths(context);
    } else if (!roots.empty() &&
               SSL_CTX_load_verify_locations(context, roots.c_str(), nullptr) != 1) {
        return Error{Errc::refused,
                     "sslrootcert " + roots + " of the URL for " + host_ + " cannot be read (" +
                         openssl_reason() +
                         "): name the file with the CA that signed the server's certificate"};
    }
    // As libpq: root certificates that are given are used, also where only encryption is asked for.
    if (must_verify || !files_.roots.empty()) SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    return Done{};
}

// For servers that ask every connection for a certificate. It is Segue's, and proves nothing of a
// client (showed_certificate).
Status ServerTls::read_certificate(SSL_CTX* context) const {
    if (files_.certificate.empty()) return Done{};
    if (SSL_CTX_use_certificate_chain_file(context, files_.certificate.c_str()) != 1) {
        return Error{Errc::refused,
                     "sslcert " + files_.certificate + " of the URL for " + host_ +
                         " cannot be read: " + openssl_reason()};
    }
    if (SSL_CTX_use_PrivateKey_file(context, files_.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return Error{Errc::refused,
                     "sslkey " + files_.key + " of the URL for " + host_ +
                         " cannot be used: " + openssl_reason()};
    }
    SSL_CTX_set_cert_cb(context, note_certificate_shown, nullptr);
    return Done{};
}

Status ServerTls::read_files() {
    if (context_) return Done{};
    TlsContext context = make_context(TLS_client_method());
    if (!context) return Error{Errc::io, "TLS: " + openssl_reason()};
    // An encrypted key: nobody is there to be asked for its password.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
    if (Status read = read_roots(context.get()); !read) return read;
    if (Status read = read_certificate(context.get()); !read) return read;
    context_ = std::move(context);
    return Done{};
}

Status ServerTls::read_files_again() {
    TlsContext before = std::move(context_);
    const Status read = read_files();
    if (!read) context_ = std::move(before);
    return read;
}

asio::awaitable<Status> ServerTls::connect(Transport& server, Deadline deadline) {
    if (Status read = read_files(); !read) co_return read;
    SSL* ssl = SSL_new(context_.get());
    if (ssl == nullptr) co_return Error{Errc::io, "TLS: " + openssl_reason()};
    server.start_tls(ssl);
    SSL_set_connect_state(ssl);
    SSL_set_alpn_protos(ssl, alpn.data(), alpn.size());
    const bool address = is_address(host_);
    if (!address) SSL_set_tlsext_host_name(ssl, host_.c_str());
    if (mode_ == SslMode::verify_full) {
        if (address) {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host_.c_str());
        } else {
            SSL_set1_host(ssl, host_.c_str());
        }
    }
    const Status done = co_await handshake(server, "server", deadline);
    if (done && direct_ && !agreed_alpn(ssl))
        co_return Error{Errc::refused, "direct TLS without ALPN \"postgresql\""};
    co_return done;
}

bool showed_certificate(const Transport& server) {
    return server.uses_tls() && SSL_get_app_data(server.ssl()) != nullptr;
}

std::string peer_binding(const Transport& server) {
    return server.uses_tls() ? end_point_hash(SSL_get0_peer_certificate(server.ssl()))
                             : std::string{};
}

}  // namespace segue::proxy
