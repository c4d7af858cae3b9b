#include "tests/support/postgres_server.hpp"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <random>

namespace segue::test {

namespace fs = std::filesystem;
using std::chrono::seconds;

namespace {

// PostgreSQL refuses to run as root.
Account server_account() {
    if (geteuid() != 0) return {};
    const passwd* entry = getpwnam("postgres");
    if (entry == nullptr) return {};
    return {static_cast<int>(entry->pw_uid), static_cast<int>(entry->pw_gid)};
}

void own(const fs::path& path) {
    const Account account = server_account();
    if (account.uid < 0) return;
    if (chown(path.c_str(), static_cast<uid_t>(account.uid), static_cast<gid_t>(account.gid)) !=
        0) {
        ADD_FAILURE() << "chown " << path;
    }
}

CommandResult as_server(std::vector<std::string> arguments) {
    CommandResult result = run_command(
        {std::move(arguments), {{"LC_ALL", "C.UTF-8"}}, seconds{120}, server_account()});
    if (result.exit_code != 0) ADD_FAILURE() << result.err << result.out;
    return result;
}

void initialise(const fs::path& initdb, const fs::path& folder) {
    const fs::path password = folder / "password";
    write_file(password, "postgres\n");
    own(password);
    as_server({initdb,
               "-D",
               folder / "data",
               "-U",
               "postgres",
               "-A",
               "trust",
               "-E",
               "UTF8",
               "--locale=C.UTF-8",
               "--no-sync",
               "--pwfile=" + password.string()});
}

// The one that the whole run shares, or one made once per process and removed at its end.
class Template {
public:
    Template() {
        if (const char* shared = std::getenv("SEGUE_SERVER_TEMPLATE"))
            folder_ = std::string_view{shared};
        if (!folder_.empty() && fs::exists(data() / "PG_VERSION")) return;
        folder_ = make_folder("segue-template");
        own_ = true;
        make_server_template(folder_);
    }
    ~Template() {
        std::error_code ignored;
        if (own_) fs::remove_all(folder_, ignored);
    }
    fs::path data() const { return folder_ / "data"; }

private:
    fs::path folder_;
    bool own_ = false;
};

const Template& server_template() {
    static const Template made;
    return made;
}

// Copies would share the system identifier, by which Segue tells servers apart. pg_resetwal keeps
// what it reads from a control file whose checksum is wrong, and writes log and checksum anew.
void give_identity(const fs::path& data) {
    std::random_device random;
    const std::uint64_t identifier = (std::uint64_t{random()} << 31 | random()) >> 1;
    std::fstream control{data / "global/pg_control",
                         std::ios::in | std::ios::out | std::ios::binary};
    control.write(reinterpret_cast<const char*>(&identifier), sizeof identifier);
    control.close();
    as_server({PostgresServer::binaries() / "pg_resetwal", "-f", "-D", data});
}

void make_server_certificate(const fs::path& folder) {
    make_certificate(folder / "server.key",
                     folder / "server.crt",
                     "localhost",
                     {"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"});
    own(folder / "server.key");
    own(folder / "server.crt");
}

const char* method_of(ServerAuth auth) {
    switch (auth) {
        case ServerAuth::trust:
            return "trust";
        case ServerAuth::scram:
            return "scram-sha-256";
        case ServerAuth::md5:
            return "md5";
        case ServerAuth::password:
            return "password";
    }
    std::abort();
}

}  // namespace

void make_server_template(const fs::path& folder) {
    own(folder);
    initialise(PostgresServer::binaries() / "initdb", folder);
    // Copies get a log of their own (give_identity): what is not there is not copied.
    for (const auto& entry : fs::directory_iterator{folder / "data/pg_wal"}) {
        if (entry.is_regular_file()) fs::remove(entry);
    }
}

void make_certificate(const fs::path& key,
                      const fs::path& certificate,
                      const std::string& name,
                      const std::vector<std::string>& more) {
    std::vector<std::string> command = {"openssl",
                                        "req",
                                        "-x509",
                                        "-newkey",
                                        "ec",
                                        "-pkeyopt",
                                        "ec_paramgen_curve:prime256v1",
                                        "-nodes",
                                        "-days",
                                        "2",
                                        "-subj",
                                        "/CN=" + name,
                                        "-keyout",
                                        key,
                                        "-out",
                                        certificate};
    command.insert(command.end(), more.begin(), more.end());
    const CommandResult made = run_command({command});
    if (made.exit_code != 0) ADD_FAILURE() << made.err;
    fs::permissions(key, fs::perms{0600});
}

fs::path PostgresServer::binaries() {
    fs::path newest;
    int version_max = 0;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator{"/usr/lib/postgresql", ignored}) {
        const int version = std::atoi(entry.path().filename().c_str());
        if (version <= version_max || !fs::exists(entry.path() / "bin/postgres")) continue;
        version_max = version;
        newest = entry.path() / "bin";
    }
    return newest;
}

PostgresServer::PostgresServer(ServerOptions options)
    : options_(std::move(options)), port_(free_port()), folder_(make_folder("segue-server")) {
    own(folder_);
    create();
    start();
}

PostgresServer::~PostgresServer() {
    if (process_.running()) stop(Stop::immediate);
    if (std::getenv("SEGUE_KEEP_SERVERS") != nullptr) return;
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void PostgresServer::create() {
    if (options_.bin.empty()) {
        as_server({"cp", "-a", server_template().data(), data()});
        give_identity(data());
    } else {  // Servers without client programs have no pg_resetwal.
        initialise(program("initdb"), folder_);
    }
    if (options_.tls) make_server_certificate(folder_);
    write_access();
    std::string text =
        "listen_addresses='127.0.0.1'\nport=" + std::to_string(port_) +
        "\nunix_socket_directories='" + folder_.string() +
        "'\nshared_buffers=64MB\nmax_connections=200\nmax_wal_senders=20\n" +
        "max_replication_slots=20\nmax_prepared_transactions=20\nlog_line_prefix='%m [%p] %a '\n" +
        "autovacuum_naptime=5s\n";
    text += std::string{"wal_level="} + (options_.logical ? "logical" : "replica") + "\n";
    text += std::string{"fsync="} + (options_.fsync ? "on" : "off") + "\n";
    text += std::string{"password_encryption="} +
            (options_.auth == ServerAuth::md5 ? "md5" : "scram-sha-256") + "\n";
    if (options_.tls) {
        text += "ssl=on\nssl_cert_file='" + (folder_ / "server.crt").string() +
                "'\nssl_key_file='" + (folder_ / "server.key").string() + "'\n";
    }
    for (const std::string& setting : options_.settings) text += setting + "\n";
    std::ofstream{data() / "postgresql.conf", std::ios::app} << text;
}

void PostgresServer::write_access() const {
    const std::string kind = options_.tls_only ? "hostssl " : "host ";
    const std::string method = method_of(options_.auth);
    std::string text = "local all all trust\nlocal replication all trust\n";
    for (const char* database : {"all", "replication"}) {
        text += kind + database + " all 127.0.0.1/32 " + method + "\n";
    }
    write_file(data() / "pg_hba.conf", text);
}

void PostgresServer::start() {
    // A backend of the server before may live for a moment after a crash and keep the shared
    // memory: try again.
    auto environment = options_.environment;
    environment.emplace_back("LC_ALL", "C.UTF-8");
    for (int attempt = 0; attempt < 10; ++attempt) {
        process_ = Child{{{program("postgres"), "-D", data()}, environment, {}, server_account()},
                         folder_ / "log",
                         SIGQUIT};
        const bool ready = eventually(seconds{60}, [&] {
            return !process_.running() || PQping(socket_url().c_str()) == PQPING_OK;
        });
        if (ready && process_.running()) return;
    }
    FAIL() << "the server does not start; its log:\n" << log();
}

void PostgresServer::stop(Stop mode) {
    process_.signal(mode == Stop::fast ? SIGINT : SIGQUIT);
    if (process_.wait(seconds{60}) < 0)
        ADD_FAILURE() << "the server does not stop; its log:\n" << log();
}

void PostgresServer::restart(Stop mode) {
    stop(mode);
    start();
}

std::string PostgresServer::url(const std::string& database,
                                const std::string& user,
                                const std::string& password) const {
    return "postgresql://" + user + ":" + password + "@127.0.0.1:" + std::to_string(port_) + "/" +
           database;
}

std::string PostgresServer::socket_url(const std::string& database, const std::string& user) const {
    return "host=" + folder_.string() + " port=" + std::to_string(port_) + " dbname=" + database +
           " user=" + user;
}

Answer PostgresServer::run(const std::string& sql, const std::string& database) const {
    Sql connection{socket_url(database)};
    if (!connection.connected()) {
        ADD_FAILURE() << connection.error();
        return {};
    }
    return connection.query(sql);
}

}  // namespace segue::test
