// Unmodified clients of others through Segue, over TLS and SCRAM, across cutovers and rollbacks on
// live connections: they must not notice.
//
// A client connects by PG* variables and works in rounds, without a pause, until SIGTERM; then it
// finishes its round, disconnects and ends with 0. Whatever it did not expect ends it with another
// code. A round does what users of that driver do: one transaction that keeps the round's row in
// app.kept, through every kind of parameter the driver has; reading it back; the session's own
// setting; transfers between two accounts of its own; batches, pipelines, COPY, large results,
// catalog questions; an error inside a transaction and going on after it; a statement cancelled or
// timed out; a notification to itself; a new connection. At the end of round N it says "round N
// port P": the row is acknowledged, and the server on port P kept it.

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <sstream>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

const std::filesystem::path drivers = DRIVERS_FOLDER;
constexpr auto round_limit = 60s;
constexpr int rounds_a_phase = 2;

struct ClientKind {
    const char* name;                  // As it calls itself in app.kept.
    std::vector<std::string> program;  // "{}" is a folder for what it has to build first.
    std::vector<std::string>
        present;  // Ends with 0 when it can run here; builds what has to be built.
    const char* packages;

    friend void PrintTo(const ClientKind& kind, std::ostream* out) { *out << kind.name; }
};

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

const ClientKind kinds[] = {
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

class RunningClient {
public:
    RunningClient(const ClientKind& kind,
                  Migration& move,
                  const std::filesystem::path& root_certificate)
        : name_(kind.name), log_(move.segue().folder() / (name_ + ".log")) {
        const std::vector<std::pair<std::string, std::string>> environment = {
            {"PGHOST", "127.0.0.1"},
            {"PGPORT", std::to_string(move.segue().port())},
            {"PGUSER", "app"},
            {"PGPASSWORD", "app"},
            {"PGDATABASE", "shop"},
            {"PGSSLMODE", "verify-full"},
            {"PGSSLROOTCERT", root_certificate},
            // SCRAM-SHA-256-PLUS, for those that have it.
            {"PGCHANNELBINDING", "require"},
            {"PYTHONDONTWRITEBYTECODE", "1"}};
        process_ =
            Child{{in_folder(kind.program, move.segue().folder()), environment}, log_, SIGKILL};
    }

    // It goes on working, and that server keeps what it writes.
    void expect_works(const PostgresServer& server) {
        const int from = last().number;
        const auto works = [&] {
            const Round now = last();
            return now.number >= from + rounds_a_phase && now.port == server.port();
        };
        const bool worked =
            eventually(round_limit, [&] { return works() || !process_.running(); }) &&
            process_.running();
        EXPECT_TRUE(worked) << name_ << ":\n" << read_file(log_);
    }

    // It ends with 0, and both servers have what was acknowledged to it, once.
    void expect_ends_well(Migration& move) {
        process_.signal(SIGTERM);
        EXPECT_EQ(process_.wait(round_limit), 0) << name_ << ":\n" << read_file(log_);
        move.expect_equal_soon();
        EXPECT_EQ(move.source().value("SELECT count(*) || ' rounds to ' || max(number) || ', "
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
        EXPECT_EQ(move.source().value("SELECT sum(balance) FROM app.account", "shop"), "200000");
    }

private:
    struct Round {
        int number = 0, port = 0;
    };
    Round last() const {
        Round found;
        std::istringstream lines{read_file(log_)};
        for (std::string line; std::getline(lines, line);)
            std::sscanf(line.c_str(), "round %d port %d", &found.number, &found.port);
        return found;
    }

    std::string name_;
    std::filesystem::path log_;
    Child process_;
};

// One migration for all: a client leaves it as it found it.
class Clients : public testing::TestWithParam<ClientKind> {
protected:
    static void SetUpTestSuite() {
        if (PostgresServer::binaries().empty()) return;
        MigrationOptions options;
        options.source.tls = options.source.tls_only = options.target.tls =
            options.target.tls_only = true;
        certificates_ =
            std::make_unique<PostgresServer>(options.source);  // Lends Segue its certificate.
        options.lines = {
            {"listen", "tls = \"require\""},
            {"listen", "tls_certificate = \"" + certificates_->certificate().string() + "\""},
            {"listen", "tls_key = \"" + (certificates_->folder() / "server.key").string() + "\""},
            // A client that waits a second for its own timeout is no reason to give up.
            {"cutover", "drain_ms = 10000"},
            {"cutover", "deadline_ms = 20000"}};
        certificates_->stop();
        move_ = std::make_unique<Migration>(options);
        Sql{move_->source().socket_url("shop", "app")}.query(
            "CREATE TABLE app.kept (client text, number int, mood app.mood, price numeric, tags "
            "text[], doc jsonb, raw bytea, "
            "moment timestamptz, PRIMARY KEY (client, number))");
        consistent_ = move_->copy();
    }
    static void TearDownTestSuite() {
        move_.reset();
        certificates_.reset();
    }

    void SetUp() override {
        const auto status = consistent_ ? move_->segue().status() : std::nullopt;
        if (status && (*status)["authority"] == "target")
            move_->segue().verb({"rollback"});  // After a failure.
    }

    static inline std::unique_ptr<PostgresServer> certificates_;
    static inline std::unique_ptr<Migration> move_;
    static inline bool consistent_ = false;
};

TEST_P(Clients, DoNotNoticeChangesOfAuthority) {
    SEGUE_NEEDS_POSTGRES();
    ASSERT_TRUE(consistent_);
    const ClientKind& kind = GetParam();
    const CommandResult present =
        run_command({in_folder(kind.present, move_->segue().folder()), {}, 120s});
    if (present.exit_code != 0)
        GTEST_SKIP() << kind.name << " cannot run here; it needs " << kind.packages;

    RunningClient client{kind, *move_, certificates_->certificate()};
    const auto step = [&](const std::vector<std::string>& verb, const PostgresServer& authority) {
        SCOPED_TRACE(verb[0]);
        move_->segue().expect_done(verb);
        client.expect_works(authority);
    };
    client.expect_works(move_->source());
    step({"cutover"}, move_->target());
    step({"mirror", "sync"}, move_->target());
    step({"rollback"}, move_->source());
    step({"shift", "50"}, move_->source());
    move_->segue().expect_done({"shift", "0"});
    move_->segue().expect_done({"mirror", "async"});
    client.expect_ends_well(*move_);
}

INSTANTIATE_TEST_SUITE_P(Drivers, Clients, testing::ValuesIn(kinds), [](const auto& kind) {
    return std::string{kind.param.name};
});

}  // namespace
}  // namespace segue::test
