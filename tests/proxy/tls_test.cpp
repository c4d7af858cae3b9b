// The ways to the servers and from the clients: certificates, direct TLS, Unix sockets.

#include "proxy/tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "protocol/postgres/messages_startup.hpp"
#include "tests/proxy/login_rig.hpp"
#include "tests/support/postgres_versions.hpp"

namespace segue::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const ServerOptions tls_scram{.auth = ServerAuth::scram, .tls = true, .tls_only = true};

// Its whole pg_hba.conf.
void set_access(const PostgresServer& server, const std::string& lines) {
    test::write_file(server.data() / "pg_hba.conf", "local all all trust\n" + lines + "\n");
    server.run("SELECT pg_reload_conf()");
}

struct Verified {
    const char* host;
    const char* sslmode;
    const char* refusal;  // Null: let in.
};

TEST(ServerTls, VerifiesTheServersCertificateAsAsked) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{tls_scram};
    create_roles(source);
    const PostgresServer stranger{ServerOptions{.tls = true}};
    const Verified ways[] = {
        {"127.0.0.1", "verify-full", nullptr},
        {"localhost", "verify-full", nullptr},
        {"127.0.0.2", "verify-ca", nullptr},
        {"127.0.0.2", "verify-full", "mismatch"},
        {"127.0.0.2", "require", nullptr},
    };
    for (const Verified& way : ways) {
        SCOPED_TRACE(std::string{way.host} + " " + way.sslmode);
        ServerConfig config = config_of(source);
        config.tls_host = way.host;
        config.sslmode = way.sslmode;
        config.sslrootcert = source.certificate();
        Front front{config, config, false, source};
        front.run();
        const Client client = connect(front.url("app", "secret"));
        if (way.refusal == nullptr) {
            expect_logged_in(client, front, source);
            continue;
        }
        EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr(way.refusal));
        EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("the source ("));
    }
    ServerConfig wrong = config_of(source);
    wrong.sslmode = "verify-ca";
    wrong.sslrootcert = stranger.certificate();
    Front front{wrong, wrong, false, source};
    front.run();
    EXPECT_THAT(PQerrorMessage(connect(front.url("app", "secret")).get()),
                HasSubstr("self-signed certificate"));
}

TEST(ServerTls, AFileThatIsMissingKeepsClientsAwayOnlyAsLongAsItIs) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{tls_scram};
    create_roles(source);
    ServerConfig config = config_of(source);
    config.sslmode = "verify-full";
    config.sslrootcert = source.folder() / "comes-later.crt";
    Front front{config, config, false, source};
    front.run();
    const Client early = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(early.get()), HasSubstr("the source ("));
    EXPECT_THAT(PQerrorMessage(early.get()), HasSubstr("comes-later.crt"));
    std::filesystem::copy_file(source.certificate(), config.sslrootcert);
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source);
}

// Asks every connection for a certificate, which Segue has from the URL.
struct AskingServer {
    AskingServer() : server{tls_scram} {
        create_roles(server);
        const auto path = [this](const char* file) { return (server.folder() / file).string(); };
        test::make_certificate(path("segue.key"), path("segue.crt"), "app");
        server.run("ALTER SYSTEM SET ssl_ca_file = '" + path("segue.crt") + "'");
        config = config_of(server);
        config.connection = server.socket_url();  // Segue's own way in is not what is tested.
        config.sslmode = "require";
        config.sslcert = path("segue.crt");
        config.sslkey = path("segue.key");
    }
    PostgresServer server;
    ServerConfig config;
};

TEST(ServerTls, ShowsItsCertificateToAServerThatAsksForOne) {
    SEGUE_NEEDS_POSTGRES();
    const AskingServer asking;
    set_access(asking.server, "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
    Front front{asking.config, asking.config, false, asking.server};
    front.run();
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, asking.server);
    EXPECT_THAT(PQerrorMessage(connect(front.url("app", "wrong")).get()),
                HasSubstr("password authentication failed"));
    ServerConfig without = asking.config;
    without.sslcert = without.sslkey = "";
    Front bare{without, without, false, asking.server};
    bare.run();
    EXPECT_THAT(PQerrorMessage(connect(bare.url("app", "secret")).get()),
                HasSubstr("valid client certificate"));
}

// It is Segue's: who comes to Segue without a secret must not become whom the certificate names.
TEST(ServerTls, ItsCertificateLetsNobodyElseIn) {
    SEGUE_NEEDS_POSTGRES();
    const AskingServer asking;
    set_access(asking.server, "hostssl all all 127.0.0.1/32 cert");
    Front front{asking.config, asking.config, false, asking.server};
    front.run();
    const Client client = connect(front.url("app", "whatever"));
    EXPECT_EQ(PQstatus(client.get()), CONNECTION_BAD);
    EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("proves nothing of the client"));
    EXPECT_TRUE(front.sink.sessions.empty());
}

TEST(UnixSockets, FromClientsAndToServers) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{ServerOptions{.tls = true}};
    create_roles(source);
    ServerConfig config = config_of(source);
    config.host = "";
    config.unix_directory = source.folder();
    Front front{config, config, true, source};
    const std::string path = (source.folder() / ".s.PGSQL.6432").string();
    front.run({{"", 0, path}});
    for (const char* sslmode : {"prefer", "disable"}) {
        const Client client = connect("host=" + source.folder().string() +
                                      " port=6432 dbname=postgres user=app sslmode=" + sslmode);
        expect_logged_in(client, front, source);
        EXPECT_EQ(source.value("SELECT client_addr IS NULL FROM pg_stat_activity WHERE pid = " +
                               std::to_string(PQbackendPID(client.get()))),
                  "t");
    }
}

// A client of PostgreSQL 17: TLS from its first byte.
struct DirectClient {
    DirectClient(int port, const std::string& alpn) {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        SSL_set_fd(ssl.get(), fd);
        if (!alpn.empty()) {
            const std::string list = static_cast<char>(alpn.size()) + alpn;
            SSL_set_alpn_protos(ssl.get(),
                                reinterpret_cast<const unsigned char*>(list.data()),
                                static_cast<unsigned>(list.size()));
        }
        shaken = SSL_connect(ssl.get()) == 1;
    }
    ~DirectClient() { ::close(SSL_get_fd(ssl.get())); }

    std::string say(const std::string& message) {
        std::array<char, 4096> heard{};
        if (SSL_write(ssl.get(), message.data(), static_cast<int>(message.size())) <= 0) return {};
        const int size = SSL_read(ssl.get(), heard.data(), static_cast<int>(heard.size()));
        return size > 0 ? std::string{heard.data(), static_cast<std::size_t>(size)} : std::string{};
    }

    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{SSL_CTX_new(TLS_client_method()),
                                                              &SSL_CTX_free};
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl{SSL_new(context.get()), &SSL_free};
    bool shaken = false;
};

TEST(DirectTls, FromAClientThatNamesTheProtocol) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{ServerOptions{.tls = true}};
    Front front{config_of(source), config_of(source), true, source};
    front.run();
    const std::string startup = protocol::postgres::encode_startup(
        {protocol::postgres::protocol_3_0, {{"user", "postgres"}}, {}});
    DirectClient client{front.port(), "postgresql"};
    EXPECT_TRUE(client.shaken);
    EXPECT_THAT(client.say(startup), StartsWith("R"));
    DirectClient wrong{front.port(), "http/1.1"};
    EXPECT_FALSE(wrong.shaken);
    DirectClient silent{front.port(), ""};
    EXPECT_EQ(silent.say(startup), "");
}

TEST(DirectTls, ToAServerThatTakesIt) {
    const auto bin = test::server_binaries(17);
    if (bin.empty()) GTEST_SKIP() << "needs a server of PostgreSQL 17: tests/versions.sh brings it";
    ServerOptions options = tls_scram;
    options.bin = bin;
    const PostgresServer source{options};
    create_roles(source);
    ServerConfig config = config_of(source);
    config.sslmode = "require";
    config.direct_tls = true;
    Front front{config, config, false, source};
    front.run();
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source);
}

}  // namespace
}  // namespace segue::proxy
