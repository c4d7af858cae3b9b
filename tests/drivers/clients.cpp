#include "tests/drivers/clients.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <sstream>
#include <utility>

#include "tests/support/sql.hpp"

namespace segue::test {

namespace {

using namespace std::chrono_literals;

const std::filesystem::path drivers = DRIVERS_FOLDER;
constexpr auto round_limit = 60s;

ClientKind python(const char* name,
                  const char* file,
                  const std::string& imports,
                  const char* packages) {
    return {name,
            {"/usr/bin/python3", drivers / file},
            {"/usr/bin/python3", "-c", "import " + imports},
            packages};
}

ClientKind node(const char* name, const char* file, const std::string& modules) {
    return {name,
            {"node", drivers / file},
            {"node",
             "-e",
             "const r = require('module').createRequire(process.env.SEGUE_DRIVERS + '/'); for "
             "(const m of '" +
                 modules + "'.split(' ')) r(m)"},
            "nodejs, and SEGUE_DRIVERS set to the folder of tests/drivers/install.sh"};
}

const std::vector<ClientKind> kinds = {
    {"psql", {"bash", drivers / "psql_client.sh"}, {"psql", "--version"}, "postgresql-client"},
    {"pg_restore",
     {"bash", drivers / "pg_restore_client.sh"},
     {"pg_restore", "--version"},
     "postgresql-client"},
    python("psycopg2", "psycopg2_client.py", "psycopg2", "python3-psycopg2"),
    python("psycopg", "psycopg_client.py", "psycopg", "python3-psycopg"),
    python("asyncpg", "asyncpg_client.py", "asyncpg", "python3-asyncpg"),
    python("sqlalchemy", "sqlalchemy_client.py", "sqlalchemy, psycopg2", "python3-sqlalchemy"),
    python("django", "django_client.py", "django, psycopg2", "python3-django"),
    python("odbc",
           "odbc_client.py",
           "pyodbc; assert 'PostgreSQL Unicode' in pyodbc.drivers()",
           "python3-pyodbc odbc-postgresql"),
    {"jdbc",
     {"java", "-cp", "/usr/share/java/postgresql.jar", drivers / "PgjdbcClient.java"},
     {"sh",
      "-c",
      "test -e /usr/share/java/postgresql.jar && java --list-modules | grep -q jdk.compiler"},
     "libpostgresql-jdbc-java default-jdk-headless"},
    node("node", "node_pg_client.mjs", "pg pg-cursor"),
    node("postgresjs", "postgresjs_client.mjs", "postgres"),
    {"pgx",
     {"{}/pgx_client"},
     {"sh",
      "-c",
      "command -v go && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE={}/go exec go build -o "
      "{}/pgx_client " +
          (drivers / "pgx_client.go").string()},
     "golang-go golang-github-jackc-pgx-v4-dev"},
    {"ruby", {"ruby", drivers / "ruby_client.rb"}, {"ruby", "-e", "require 'pg'"}, "ruby-pg"},
    {"perl",
     {"perl", drivers / "dbd_pg_client.pl"},
     {"perl", "-MDBD::Pg", "-e1"},
     "libdbd-pg-perl"},
    {"php",
     {"php", drivers / "php_client.php"},
     {"php",
      "-r",
      "exit(extension_loaded('pgsql') && extension_loaded('pdo_pgsql') && "
      "extension_loaded('pcntl') ? 0 : 1);"},
     "php-cli php-pgsql"},
};

// The folder stands for "{}".
std::vector<std::string> in_folder(std::vector<std::string> words,
                                   const std::filesystem::path& folder) {
    for (std::string& word : words) {
        for (std::size_t at; (at = word.find("{}")) != std::string::npos;)
            word.replace(at, 2, folder);
    }
    return words;
}

}  // namespace

std::vector<ClientKind> all_client_kinds() { return kinds; }

bool can_run(const ClientKind& kind, const std::filesystem::path& folder) {
    return run_command({in_folder(kind.present, folder), {}, 120s}).exit_code == 0;
}

void create_kept_table(const PostgresServer& server) {
    Sql{server.socket_url("shop", "app")}.query(
        "CREATE TABLE app.kept (client text, number int, mood app.mood, price numeric, tags "
        "text[], doc jsonb, raw bytea, "
        "moment timestamptz, PRIMARY KEY (client, number))");
}

std::vector<std::pair<std::string, std::string>> listen_with_tls_of(const PostgresServer& server) {
    return {{"listen", "tls = \"require\""},
            {"listen", "tls_certificate = \"" + server.certificate().string() + "\""},
            {"listen", "tls_key = \"" + (server.folder() / "server.key").string() + "\""}};
}

RunningClient::RunningClient(const ClientKind& kind,
                             const SegueProcess& segue,
                             const std::filesystem::path& root_certificate)
    : name_(kind.name), log_(segue.folder() / (name_ + ".log")) {
    const std::vector<std::pair<std::string, std::string>> environment = {
        {"PGHOST", "127.0.0.1"},
        {"PGPORT", std::to_string(segue.port())},
        {"PGUSER", "app"},
        {"PGPASSWORD", "app"},
        {"PGDATABASE", "shop"},
        {"PGSSLMODE", "verify-full"},
        {"PGSSLROOTCERT", root_certificate},
        // SCRAM-SHA-256-PLUS, for those that have it.
        {"PGCHANNELBINDING", "require"},
        {"PYTHONDONTWRITEBYTECODE", "1"}};
    process_ = Child{{in_folder(kind.program, segue.folder()), environment}, log_, SIGKILL};
}

void RunningClient::expect_works(const PostgresServer& server, int rounds) {
    const int from = last().number;
    const auto works = [&] {
        const Round now = last();
        return now.number >= from + rounds && now.port == server.port();
    };
    const bool worked = eventually(round_limit, [&] { return works() || !process_.running(); }) &&
                        process_.running();
    EXPECT_TRUE(worked) << name_ << ":\n" << read_file(log_);
}

void RunningClient::expect_ends_well() {
    process_.signal(SIGTERM);
    EXPECT_EQ(process_.wait(round_limit), 0) << name_ << ":\n" << read_file(log_);
}

void RunningClient::expect_kept(const PostgresServer& server) const {
    EXPECT_EQ(server.value("SELECT count(*) || ' rounds to ' || max(number) || ', "
                           "right: ' || bool_and(mood = 'busy' AND price = "
                           "number + 0.25 AND tags = ARRAY[client, 'a,b', NULL] AND doc "
                           "= jsonb_build_object('n', number) AND "
                           "raw = set_byte('\\x0000ff', 1, number % 256) AND moment = "
                           "'2026-01-01 00:00+00'::timestamptz + "
                           "number * interval '1 hour') FROM app.kept WHERE client = '" +
                               name_ + "'",
                           "shop"),
              std::to_string(last().number) + " rounds to " + std::to_string(last().number) +
                  ", right: true");
    EXPECT_EQ(server.value("SELECT sum(balance) FROM app.account", "shop"), "200000");
}

RunningClient::Round RunningClient::last() const {
    Round found;
    std::istringstream lines{read_file(log_)};
    for (std::string line; std::getline(lines, line);)
        std::sscanf(line.c_str(), "round %d port %d", &found.number, &found.port);
    return found;
}

}  // namespace segue::test
