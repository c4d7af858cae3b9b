// A server is replaced by one that lacks its last commits: a standby that was promoted, or an older
// state of its own disk. What the other side has of it must not be taken for granted any more:
// nothing is copied further, nobody is moved, and it is said. Clients are served all the while.

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

void do_now(std::vector<std::string> arguments) {
    const CommandResult done = run_command({std::move(arguments)});
    EXPECT_EQ(done.exit_code, 0) << done.err;
}

// The server's data as it is now, to be put back by `set_back`.
class Backup {
public:
    explicit Backup(PostgresServer& server) : server_(server) {}

    // Of a server that goes on: it will be a standby.
    void take() {
        do_now({PostgresServer::binaries() / "pg_basebackup",
                "-d",
                server_.socket_url(),
                "-D",
                data(),
                "-c",
                "fast",
                "-X",
                "stream"});
        own();
        write_file(data() / "standby.signal", "");
        own();
    }
    // Of a server that is stopped for it.
    void take_cold() {
        server_.stop();
        do_now({"cp", "-a", server_.data(), data()});
        server_.start();
    }
    // The server is gone; this is what comes up at its address.
    void put_back() {
        server_.stop(Stop::immediate);
        fs::rename(server_.data(), server_.folder() / "lost");
        fs::rename(data(), server_.data());
        server_.start();
    }

private:
    fs::path data() const { return server_.folder() / "backup"; }
    void own() {
        do_now({"chown", "-R", "--reference=" + server_.data().string(), data()});
        do_now({"chmod", "0700", data()});
    }
    PostgresServer& server_;
};

void promote(PostgresServer& server) {
    server.run("SELECT pg_promote()");
    EXPECT_TRUE(eventually(30s, [&] { return server.value("SELECT pg_is_in_recovery()") == "f"; }));
}

void expect_warning(const SegueProcess& segue, const std::string& words) {
    const auto warned = [&] {
        const auto status = segue.status();
        return status && (*status)["warnings"].dump().find(words) != std::string::npos;
    };
    if (eventually(60s, warned)) return;
    const auto status = segue.status();
    ADD_FAILURE() << "status does not warn of \"" << words
                  << "\": " << (status ? status->dump(1) : "no status");
}

void expect_refused(const SegueProcess& segue, const std::string& words) {
    for (const char* verb : {"cutover", "verify", "rehearse"}) {
        SCOPED_TRACE(verb);
        const CommandResult refused = segue.verb({verb});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE(refused.err.find(words), std::string::npos)
            << "the reason is not named: " << refused.err;
    }
}

void expect_clients_go_on(Migration& move) {
    Workload clients{{move.through()}};
    clients.start();
    EXPECT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
    clients.stop();
    expect_no_client_noticed(clients.report());
}

// What the other side has of that server's log the slot there knows of: it delivers nothing again.
void expect_confirmed(const PostgresServer& owner) {
    const std::string now = owner.value("SELECT pg_current_wal_flush_lsn()", "shop");
    EXPECT_TRUE(eventually(30s, [&] {
        return owner.value("SELECT bool_and(confirmed_flush_lsn >= '" + now +
                               "') FROM pg_replication_slots",
                           "shop") == "t";
    }));
}

std::string row(const PostgresServer& server, int id) {
    return server.value("SELECT count(*) FROM app.keyed WHERE id = " + std::to_string(id), "shop");
}

void insert(Migration& move, int id) {
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (" + std::to_string(id) + ", 'written')");
}

struct Case {
    const char* name;
    bool of_source;
};
class Failover : public testing::TestWithParam<Case> {
protected:
    PostgresServer& replaced(Migration& move) {
        return GetParam().of_source ? move.source() : move.target();
    }
};

TEST_P(Failover, ToAStandbyThatLacksTheLastCommitsMakesTheCopyInvalid) {
    SEGUE_NEEDS_POSTGRES();
    constexpr const char* why = "a standby was promoted";
    Migration move;
    ASSERT_TRUE(move.copy());
    Backup standby{replaced(move)};
    standby.take();
    insert(move, -80);
    move.expect_equal_soon();
    if (!GetParam().of_source) expect_confirmed(move.source());
    standby.put_back();
    promote(replaced(move));
    EXPECT_EQ(row(replaced(move), -80), "0") << "it does not lack the last commit";
    expect_warning(move.segue(), why);
    const std::string others = row(GetParam().of_source ? move.target() : move.source(), -80);
    EXPECT_EQ(others, "1");
    expect_clients_go_on(move);
    expect_refused(move.segue(), why);
    // Nothing of what it believes is in the memory of the process.
    move.segue().kill();
    move.segue().run();
    expect_warning(move.segue(), why);
    insert(move, -81);
    expect_refused(move.segue(), why);
    EXPECT_EQ(row(move.source(), -81), "1");
    EXPECT_EQ(row(move.target(), -81), "0") << "an invalid copy is carried on";
}

void set_back(Migration& move, PostgresServer& server) {
    Backup older{server};
    older.take_cold();
    ASSERT_TRUE(move.segue().wait_status("/rollback_ready", true, 60s));
    insert(move, -80);
    // More than the server and the next run of the mover write before they look.
    server.run("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1048576))", "shop");
    insert(move, -79);
    move.expect_equal_soon();
    older.put_back();
    EXPECT_EQ(row(server, -80), "0");
}

// Its later commits would be taken for those that the target has already.
TEST(SetBack, OfTheSourceToAnOlderStateMakesTheCopyInvalid) {
    SEGUE_NEEDS_POSTGRES();
    constexpr const char* why = "an older state of it was restored";
    Migration move;
    ASSERT_TRUE(move.copy());
    set_back(move, move.source());
    expect_warning(move.segue(), why);
    expect_clients_go_on(move);
    expect_refused(move.segue(), why);
    move.segue().kill();
    move.segue().run();
    expect_warning(move.segue(), why);
    expect_refused(move.segue(), why);
}

// Its progress is set back with it: what it lacks is applied again, where the slot still has it.
TEST(SetBack, OfTheTargetToAnOlderStateIsMadeGoodOrSaid) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    set_back(move, move.target());
    const auto status_has = [&](const std::string& words) {
        const auto status = move.segue().status();
        return status && status->dump().find(words) != std::string::npos;
    };
    const auto settled = [&] {
        return status_has("was restored") || status_has("\"rollback_ready\":true");
    };
    ASSERT_TRUE(eventually(90s, settled));
    expect_clients_go_on(move);
    if (status_has("was restored")) return expect_refused(move.segue(), "was restored");
    move.expect_equal_soon();
    move.segue().expect_done({"verify"});
    ASSERT_TRUE(move.segue().change("cutover"));
    insert(move, -81);
    move.expect_equal_soon();
    EXPECT_EQ(row(move.source(), -81), "1");
}

INSTANTIATE_TEST_SUITE_P(Of,
                         Failover,
                         testing::Values(Case{"source", true}, Case{"target", false}),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace segue::test
