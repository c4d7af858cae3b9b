// How clients get in: while a database is down, as a consumer of a server's log, and with passwords
// that the operator has mapped.

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

MigrationOptions without_schema() {
    MigrationOptions options;
    options.workload_schema = false;
    return options;
}

TEST(Down, ClientsAreToldAtOnceWhichDatabasesAreDownAndServedOnceTheyAreBack) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{without_schema()};
    move.source().stop();
    move.target().stop();
    move.segue().run();
    std::string told;
    // Until the first round of recovery has ended nobody knows what is wrong.
    EXPECT_TRUE(eventually(10s, [&] {
        return has(told = Sql{move.through() + "?connect_timeout=10"}.error(), "cannot be reached");
    }));
    EXPECT_TRUE(has(told, "the source and the target cannot be reached")) << told;
    move.source().start();
    EXPECT_TRUE(eventually(20s, [&] { return Sql{move.through()}.connected(); }));
    move.source().stop();
    const Sql later{move.through()};
    EXPECT_TRUE(has(later.error(), "the source (127.0.0.1:")) << later.error();
}

TEST(Down, ARootCertificateThatIsMissingKeepsClientsOfThatSideOnlyAway) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer source, target;
    SegueProcess segue{
        {.source_url = source.url(),
         .target_url = target.url() + "?sslmode=verify-full&sslrootcert=/no/such.crt"}};
    segue.run();
    Sql client{segue.url()};
    EXPECT_EQ(client.value("SELECT 1"), "1");
    EXPECT_TRUE(eventually(10s, [&] {
        return has(segue.log(), "no client reaches the target until this is mended");
    }));
    EXPECT_EQ(segue.terminate(), 0);
}

void append(const std::filesystem::path& file, const std::string& text) {
    std::ofstream{file, std::ios::app} << text;
}

// Segue's own files: the certificate of that server.
void show_certificate_of(const PostgresServer& server, const std::filesystem::path& folder) {
    constexpr auto anew = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(server.certificate(), folder / "front.crt", anew);
    std::filesystem::copy_file(server.folder() / "server.key", folder / "front.key", anew);
}

TEST(Reload, TakesCertificatesAndLimitsAndNothingOfAFileWithMistakes) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer source{{.tls = true}}, target{{.tls = true}};
    const auto folder = source.folder();
    show_certificate_of(source, folder);
    SegueProcess segue{
        {.source_url = source.url(),
         .target_url = target.url(),
         .lines = {{"listen", "tls_certificate = \"" + (folder / "front.crt").string() + "\""},
                   {"listen", "tls_key = \"" + (folder / "front.key").string() + "\""},
                   {"limits", "clients = 2"}}}};
    segue.run();
    const auto connect = [&](const PostgresServer& known) {
        return Sql{segue.url() + "?sslmode=verify-ca&sslrootcert=" + known.certificate().string()};
    };
    Sql before = connect(source);
    ASSERT_TRUE(before.connected()) << before.error();

    show_certificate_of(target, folder);
    append(segue.config(), "\n[cutover]\nrequire_verify = true\n[log]\nformat = \"json\"\n");
    ::kill(segue.pid(), SIGHUP);
    EXPECT_TRUE(eventually(20s, [&] { return connect(target).connected(); })) << segue.log();
    EXPECT_FALSE(connect(source).connected());
    EXPECT_EQ(before.value("SELECT 1"), "1");
    EXPECT_TRUE(eventually(20s, [&] {
        return has(segue.log(), "changed: [cutover] require_verify; taken only at the next start");
    }));

    append(segue.config(), "[limit]\nclients = 1\n");
    ::kill(segue.pid(), SIGHUP);
    EXPECT_TRUE(eventually(20s, [&] { return has(segue.log(), "limit: unknown section"); }))
        << segue.log();
    // It counts those that have just gone for a moment longer.
    EXPECT_TRUE(eventually(20s, [&] { return connect(target).connected(); }));
    EXPECT_EQ(segue.terminate(), 0);
}

struct LogConsumer {
    explicit LogConsumer(Migration& move)
        : bin(PostgresServer::binaries()),
          logical(move.segue().url("shop", "mover", "mover")),
          physical("host=127.0.0.1 port=" + std::to_string(move.segue().port()) +
                   " user=mover password=mover"),
          folder(move.segue().folder()) {}
    CommandResult run(std::vector<std::string> arguments) const {
        arguments.front() = bin + "/" + arguments.front();
        return run_command({std::move(arguments), {}, 60s});
    }
    std::string bin, logical, physical;
    std::filesystem::path folder;
};

// PostgreSQL's own tools.
TEST(Replication, GoesToTheAuthorityAndStaysThereAcrossAChange) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    const LogConsumer tools{move};
    const std::filesystem::path followed = tools.folder / "wal";
    std::filesystem::create_directory(followed);
    Child receiver{{{tools.bin + "/pg_receivewal", "-D", followed, "-d", tools.physical}},
                   tools.folder / "receiver.log",
                   SIGKILL};
    const auto senders = [](PostgresServer& server) {
        return server.value(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND "
            "state = 'streaming'");
    };
    EXPECT_TRUE(eventually(20s, [&] { return senders(move.source()) == "1"; }))
        << read_file(tools.folder / "receiver.log");
    EXPECT_TRUE(eventually(20s, [&] {
        const auto status = move.segue().status();
        return status && has((*status)["sessions"]["pins"].dump(), "replication connection");
    }));

    for (PostgresServer* authority : {&move.source(), &move.target()}) {
        const std::string side = authority == &move.source() ? "source" : "target";
        SCOPED_TRACE(side);
        if (side == "target") {
            ASSERT_TRUE(move.segue().change("cutover"));
        }
        const std::filesystem::path backup = tools.folder / ("backup-" + side);
        const CommandResult copied = tools.run(
            {"pg_basebackup", "-D", backup, "-X", "stream", "-c", "fast", "-d", tools.physical});
        EXPECT_EQ(copied.exit_code, 0) << copied.err;
        EXPECT_TRUE(
            has(read_file(backup / "postgresql.auto.conf") + read_file(backup / "postgresql.conf"),
                "port=" + std::to_string(authority->port())));
        const CommandResult made = tools.run(
            {"pg_recvlogical", "-d", tools.logical, "--slot", "consumer", "--create-slot"});
        EXPECT_EQ(made.exit_code, 0) << made.err;
        EXPECT_EQ(authority->value(
                      "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'consumer'"),
                  "1");
        authority->run("SELECT pg_logical_emit_message(true, 'test', 'seen by " + side + "')",
                       "shop");
        const std::string end = authority->value("SELECT pg_current_wal_flush_lsn()", "shop");
        const CommandResult read = tools.run({"pg_recvlogical",
                                              "-d",
                                              tools.logical,
                                              "--slot",
                                              "consumer",
                                              "--start",
                                              "--no-loop",
                                              "--endpos",
                                              end,
                                              "-f",
                                              "-"});
        EXPECT_EQ(read.exit_code, 0) << read.err;
        EXPECT_TRUE(has(read.out, "seen by " + side)) << read.out;
        EXPECT_EQ(
            tools.run({"pg_recvlogical", "-d", tools.logical, "--slot", "consumer", "--drop-slot"})
                .exit_code,
            0);
    }
    EXPECT_TRUE(receiver.running());
    EXPECT_EQ(senders(move.source()), "1");
}

TEST(Credentials, TakeALiveSessionToAServerWithAnotherPasswordAndBack) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    const std::filesystem::path file = make_folder("segue-password") / "app";
    write_file(file, "Tulip-on-the-target\n");
    options.lines = {{"target", "roles = \"keep\""},
                     {"[credentials]", "role = \"app\""},
                     {"[credentials]", "side = \"target\""},
                     {"[credentials]", "password_file = \"" + file.string() + "\""}};
    Migration move{options};
    move.target().run("CREATE ROLE app LOGIN PASSWORD 'Tulip-on-the-target'");
    const CommandResult checked = move.segue().expect_done({"check"});
    EXPECT_TRUE(has(checked.out, "its own password on the source, [[credentials]] on the target"))
        << checked.out;
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    ASSERT_TRUE(client.connected()) << client.error();
    for (PostgresServer* authority : {&move.target(), &move.source()}) {
        ASSERT_TRUE(move.segue().change(authority == &move.target() ? "cutover" : "rollback"));
        Sql fresh{move.through()};
        ASSERT_TRUE(fresh.connected()) << fresh.error();
        for (Sql* session : {&client, &fresh}) {
            EXPECT_EQ(session->value("SELECT current_user || inet_server_port()"),
                      "app" + std::to_string(authority->port()));
        }
        EXPECT_TRUE(has(Sql{move.segue().url("shop", "app", "Tulip-on-the-target")}.error(),
                        "password authentication failed"));
    }
    const auto status = move.segue().status();
    EXPECT_FALSE(has(move.segue().log() + status->dump() + checked.out, "Tulip"));
    std::filesystem::remove_all(file.parent_path());
}

}  // namespace
}  // namespace segue::test
