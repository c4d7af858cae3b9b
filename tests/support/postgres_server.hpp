#pragma once
// A throwaway PostgreSQL server: own folder, own port on 127.0.0.1, own socket folder; gone with
// the object. As root the server runs as user postgres. initdb is paid once per test binary, or
// once for all of them that find SEGUE_SERVER_TEMPLATE in their environment (tests/run.sh).

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.hpp"
#include "tests/support/sql.hpp"

namespace segue::test {

enum class ServerAuth { trust, scram, md5, password };
enum class Stop { fast, immediate };

struct ServerOptions {
    ServerAuth auth = ServerAuth::trust;  // Of TCP connections; the unix socket is always trust.
    bool logical = true;                  // wal_level = logical
    bool fsync = false;
    bool tls = false;                        // With a throwaway certificate for localhost.
    bool tls_only = false;                   // hostssl in pg_hba.conf.
    std::vector<std::string> settings = {};  // "name=value", last, so they win.
    std::vector<std::pair<std::string, std::string>> environment = {};  // Added to ours.
    std::filesystem::path bin = {};  // Of another version; empty: the newest installed one.
};

// A throwaway certificate that is its own authority, and its key. `more`: further arguments of
// `openssl req`.
void make_certificate(const std::filesystem::path& key,
                      const std::filesystem::path& certificate,
                      const std::string& name,
                      const std::vector<std::string>& more = {});

// What initdb makes, in `folder`/data: servers begin as copies of it. Readable by user postgres.
void make_server_template(const std::filesystem::path& folder);

class PostgresServer {
public:
    // Where the binaries are, the newest version; empty when there are none.
    static std::filesystem::path binaries();

    // Starts it. The superuser is postgres with the password "postgres".
    explicit PostgresServer(ServerOptions options = {});
    ~PostgresServer();
    PostgresServer(const PostgresServer&) = delete;
    PostgresServer& operator=(const PostgresServer&) = delete;

    void start();
    void stop(Stop mode = Stop::fast);  // Immediate: as a crash, without a checkpoint.
    void restart(Stop mode = Stop::fast);
    bool running() { return process_.running(); }

    int port() const { return port_; }
    const std::filesystem::path& folder() const {
        return folder_;
    }  // Holds data/, sockets, log, server.crt.
    std::filesystem::path data() const { return folder_ / "data"; }
    std::filesystem::path certificate() const { return folder_ / "server.crt"; }
    std::string log() const { return read_file(folder_ / "log"); }
    // Of the version's own.
    std::filesystem::path program(const char* name) const {
        return (options_.bin.empty() ? binaries() : options_.bin) / name;
    }

    // A URL over TCP, or over the unix socket (trust, for the test's own use).
    std::string url(const std::string& database = "postgres",
                    const std::string& user = "postgres",
                    const std::string& password = "postgres") const;
    std::string socket_url(const std::string& database = "postgres",
                           const std::string& user = "postgres") const;

    // On the unix socket as superuser, on a new connection; test failure when it fails.
    Answer run(const std::string& sql, const std::string& database = "postgres") const;
    std::string value(const std::string& sql, const std::string& database = "postgres") const {
        return run(sql, database).value();
    }

private:
    void create();
    void write_access() const;

    ServerOptions options_;
    int port_ = 0;
    std::filesystem::path folder_;
    Child process_;
};

}  // namespace segue::test

// First line of every test that needs a real server.
#define SEGUE_NEEDS_POSTGRES()                                                             \
    if (segue::test::PostgresServer::binaries().empty()) {                                 \
        GTEST_SKIP()                                                                       \
            << "needs a PostgreSQL server: no /usr/lib/postgresql/*/bin/postgres on this " \
               "machine; install the package postgresql";                                  \
    }                                                                                      \
    static_assert(true)
