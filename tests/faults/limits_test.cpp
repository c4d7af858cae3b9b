// What somebody else does to the servers of a migration: fills the log, drops a slot, locks a
// table, writes to the follower. Clients go on, status says what happened, and what can be mended
// goes on from where it was.

#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

bool warns_of(const SegueProcess& segue, const std::string& words) {
    const auto status = segue.status();
    return status && (*status)["warnings"].dump().find(words) != std::string::npos;
}

void expect_warning(const SegueProcess& segue, const std::string& words) {
    if (eventually(60s, [&] { return warns_of(segue, words); })) return;
    const auto status = segue.status();
    ADD_FAILURE() << "status does not warn of \"" << words
                  << "\": " << (status ? status->dump(1) : "no status");
}

void expect_clients_go_on(Workload& clients) {
    clients.start();
    EXPECT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
    clients.stop();
    expect_no_client_noticed(clients.report());
}

std::string slots(const PostgresServer& server) {
    return server.value("SELECT count(*) FROM pg_replication_slots", "shop");
}

void write_log(PostgresServer& server, int megabytes) {
    server.run(
        "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1024 * 1024)) FROM "
        "generate_series(1, " +
            std::to_string(megabytes) + ")",
        "shop");
}

MigrationOptions capped() {
    MigrationOptions options;
    options.lines = {{"limits", "retained_log_mb = 32"}};
    return options;
}

// Law 11.
TEST(RetainedLog, AtTheCapTheSlotIsGivenUpWhileTheFollowerIsAway) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{capped()};
    ASSERT_TRUE(move.copy());
    Workload clients{{move.through()}};
    move.target().stop(Stop::immediate);
    write_log(move.source(), 40);
    EXPECT_TRUE(eventually(60s, [&] { return slots(move.source()) == "0"; }))
        << "the slot holds the log for ever";
    expect_warning(move.segue(), "retained_log_mb");
    expect_clients_go_on(clients);
    move.target().start();
    expect_clients_go_on(clients);
    expect_warning(move.segue(), "retained_log_mb");
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1) << "the copy is invalid";
}

TEST(RetainedLog, AtTheCapTheSlotIsGivenUpWhileFollowingIsPaused) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{capped()};
    ASSERT_TRUE(move.copy());
    Workload clients{{move.through()}};
    move.segue().expect_done({"pause"});
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-5, 'holds the slot back')");
    write_log(move.source(), 40);
    EXPECT_TRUE(eventually(60s, [&] { return slots(move.source()) == "0"; }))
        << "the slot holds the log for ever";
    expect_warning(move.segue(), "retained_log_mb");
    expect_clients_go_on(clients);
}

TEST(SlotLost, MakesTheCopyInvalidLoudly) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    move.segue().kill();
    const std::string slot =
        move.source().value("SELECT slot_name FROM pg_replication_slots", "shop");
    ASSERT_TRUE(eventually(20s, [&] {
        Sql owner{move.superuser(move.source())};
        return owner.attempt("SELECT pg_drop_replication_slot('" + slot + "')").ok;
    }));
    move.segue().run();
    Workload clients{{move.through()}};
    expect_warning(move.segue(), "slot " + slot + " is gone");
    expect_clients_go_on(clients);
    for (const char* verb : {"cutover", "verify", "rehearse"}) {
        SCOPED_TRACE(verb);
        const CommandResult refused = move.segue().verb({verb});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE(refused.err.find("gone"), std::string::npos)
            << "the reason is not named: " << refused.err;
    }
}

// Somebody's maintenance on the target, while tables are copied and while they are followed.
TEST(LockOnTheTarget, DelaysAndHurtsNobody) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.segue().run();
    Workload workload{{move.through()}};
    workload.start();
    move.segue().expect_done({"start"});
    const auto exists = [&] {
        return move.target().value("SELECT to_regclass('app.account')", "shop") != "\\N";
    };
    ASSERT_TRUE(eventually(60s, exists));
    {
        Sql maintenance{move.superuser(move.target())};
        maintenance.query("BEGIN");
        maintenance.query("LOCK TABLE app.account IN ACCESS EXCLUSIVE MODE");
        ASSERT_TRUE(workload.wait_for_more(150));
    }
    ASSERT_TRUE(move.segue().wait_consistent());
    {
        Sql maintenance{move.superuser(move.target())};
        maintenance.query("BEGIN");
        maintenance.query("LOCK TABLE app.account IN SHARE MODE");
        ASSERT_TRUE(workload.wait_for_more(150));
        EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1) << "the follower cannot catch up";
        ASSERT_TRUE(workload.wait_for_more(30)) << "the given up change holds the clients";
    }
    workload.stop();  // A machine that is too small for both need not catch up.
    EXPECT_TRUE(eventually(60s, [&] { return move.segue().verb({"cutover"}).exit_code == 0; }));
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(30));
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
}

// Law 2: what the stream expects is not there, or what it brings is. The table is named, nothing is
// papered over, and once the rogue's work is undone the stream goes on.
TEST(RogueWriter, StopsTheTableUntilItIsUndone) {
    SEGUE_NEEDS_POSTGRES();
    struct Rogue {
        const char *does, *then, *undo;
    };
    const Rogue rogues[] = {
        {"INSERT INTO app.keyed VALUES (-60, 'rogue')",
         "INSERT INTO app.keyed VALUES (-60, 'the application')",
         "DELETE FROM app.keyed WHERE id = -60"},
        {"DELETE FROM app.keyed WHERE id = -61",
         "UPDATE app.keyed SET body = 'changed' WHERE id = -61",
         "INSERT INTO app.keyed VALUES (-61, 'there')"},
        {"DELETE FROM app.keyed WHERE id = -62",
         "DELETE FROM app.keyed WHERE id = -62",
         "INSERT INTO app.keyed VALUES (-62, 'there')"},
    };
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-61, 'there'), (-62, 'there')");
    move.expect_equal_soon();
    for (const Rogue& rogue : rogues) {
        SCOPED_TRACE(rogue.does);
        Sql writer{move.as_mover(move.target())};
        writer.query("SET session_replication_role = replica");
        writer.query(rogue.does);
        client.query(rogue.then);
        expect_warning(move.segue(), "app.keyed");
        EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
        client.query(
            "UPDATE app.account SET balance = balance WHERE id = 1");  // The application goes on.
        writer.query(rogue.undo);
        move.expect_equal_soon(60s);
        EXPECT_TRUE(eventually(30s, [&] { return !warns_of(move.segue(), "app.keyed: "); }));
    }
}

// Both serve clients, also with mirror sync; one mover works, and the other one waits until it is
// gone.
TEST(TwoSegues, OnOneMigrationDoNotFightForIt) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    const auto generation = [&] {
        return move.target().value("SELECT generation FROM segue.lease", "shop");
    };
    const std::string before = generation();
    {
        SegueProcess second{move.segue_options()};
        second.run();
        expect_warning(second, "another Segue");
        Workload first_clients{{move.through()}};
        Workload second_clients{{second.url("shop", "app", "app"), 3, 6}};
        first_clients.start();
        second_clients.start();
        EXPECT_TRUE(first_clients.wait_for_more(100));
        EXPECT_TRUE(second_clients.wait_for_more(50));
        first_clients.stop();
        second_clients.stop();
        EXPECT_EQ(generation(), before) << "the lease was taken from a mover that is alive";
        std::vector<Attempt> journal = first_clients.journal();
        for (const Attempt& attempt : second_clients.journal()) journal.push_back(attempt);
        move.expect_equal_soon();
        expect_journal(move.superuser(move.target()), journal);
        // The first one dies: the second one takes over by itself.
        move.segue().kill();
        EXPECT_TRUE(second.wait_status("/rollback_ready", true, 30s));
        EXPECT_NE(generation(), before);
        Sql client{second.url("shop", "app", "app")};
        client.query("INSERT INTO app.keyed VALUES (-70, 'through the second')");
        move.expect_equal_soon();
    }
}

// Its clients' sessions are still open on a server that is not the authority any more.
TEST(TwoSegues, OneThatWasFrozenAcrossACutoverOfTheOtherWritesNothingAndFindsItsWay) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql asleep{move.through()};
    asleep.query("INSERT INTO app.keyed VALUES (-70, 'before')");
    // Where the fence is armed: an open transaction is in the way of that as well.
    ASSERT_TRUE(move.segue().change("rehearse"));
    Sql amid{move.through()};
    amid.query("BEGIN");
    amid.query("INSERT INTO app.keyed VALUES (-69, 'never ends by itself')");
    ASSERT_EQ(::kill(move.segue().pid(), SIGSTOP), 0);
    {
        SegueProcess second{move.segue_options()};
        second.run();
        ASSERT_TRUE(second.wait_status("/rollback_ready", true, 60s));
        ASSERT_TRUE(second.change("cutover"));
        ASSERT_EQ(::kill(move.segue().pid(), SIGCONT), 0);
        // Refused by the fence, or ended already.
        EXPECT_FALSE(asleep.attempt("INSERT INTO app.keyed VALUES (-71, 'frozen')").ok);
        EXPECT_FALSE(amid.attempt("COMMIT").ok);
        const auto right = [&] {
            Sql client{move.through()};
            return client.attempt("INSERT INTO app.keyed VALUES (-72, 'thawed')").ok;
        };
        EXPECT_TRUE(eventually(60s, right)) << move.segue().log();
        EXPECT_FALSE(asleep.attempt("SELECT 1").ok) << "a session stays on the wrong side";
        EXPECT_EQ(move.target().value("SELECT count(*) FROM app.keyed WHERE id = -72", "shop"),
                  "1");
        move.expect_equal_soon();
    }
    // The other one has gone: it goes on with what that one has left.
    ASSERT_TRUE(move.segue().wait_status("/rollback_ready", true, 60s));
    ASSERT_TRUE(move.segue().change("rollback"));
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-73, 'after')");
    move.expect_equal_soon();
    EXPECT_EQ(
        move.source().value("SELECT string_agg(id::text, ' ' ORDER BY id DESC) FROM app.keyed "
                            "WHERE id < -68",
                            "shop"),
        "-70 -72 -73");
}

struct Frozen {
    const char* at;
    const char* authority;  // What the other one makes of it.
};

// In the middle of its own change; the other one has the lease then.
TEST(TwoSegues, OneThatIsFrozenInsideACutoverIsOvertakenAndDecidesNothing) {
    SEGUE_NEEDS_POSTGRES();
    const Frozen cases[] = {{"change.after_deciding", "source"}, {"change.after_commit", "target"}};
    for (const Frozen& frozen : cases) {
        SCOPED_TRACE(frozen.at);
        Migration move;
        ASSERT_TRUE(move.copy());
        ASSERT_EQ(move.segue().terminate(), 0);
        move.segue().run(std::string{"freeze "} + frozen.at);
        ASSERT_TRUE(move.segue().wait_status("/rollback_ready", true, 60s));
        SegueProcess second{move.segue_options()};
        second.run();
        expect_warning(second, "another Segue");
        Sql asleep{move.through()};
        asleep.query("INSERT INTO app.keyed VALUES (-70, 'before')");
        std::thread verb{[&] { (void)move.segue().verb({"cutover"}, 180s); }};
        // It has stopped the other one's clients as well: the fence is in the database.
        const auto writes = [&] {
            Sql client{second.url("shop", "app", "app")};
            return client.attempt("INSERT INTO app.keyed VALUES (-71, 'other')").ok;
        };
        const auto is_authority = [&] {
            const auto status = second.status();
            return status && (*status)["authority"] == frozen.authority;
        };
        const auto stopped = [&] {
            return read_file("/proc/" + std::to_string(move.segue().pid()) + "/stat")
                       .find(") T ") != std::string::npos;
        };
        EXPECT_TRUE(eventually(60s, stopped));
        EXPECT_TRUE(eventually(90s, [&] { return is_authority() && writes(); })) << second.log();
        EXPECT_TRUE(second.wait_status("/rollback_ready", true, 60s)) << second.log();
        ASSERT_EQ(::kill(move.segue().pid(), SIGCONT), 0);
        verb.join();
        EXPECT_TRUE(move.segue().wait_status("/authority", frozen.authority, 60s));
        EXPECT_EQ(second.status()->value("authority", ""), frozen.authority);
        const auto goes_on = [&] {
            Sql client{move.through()};
            return client.attempt("INSERT INTO app.keyed VALUES (-72, 'thawed')").ok;
        };
        EXPECT_TRUE(eventually(60s, goes_on)) << move.segue().log();
        move.expect_equal_soon();
    }
}

// Nobody tells it but the record.
TEST(TwoSegues, OneThatWasFrozenWhileTheOtherCutOverAndDiedGoesOnFromTheRecord) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_EQ(::kill(move.segue().pid(), SIGSTOP), 0);
    {
        SegueProcess second{move.segue_options()};
        second.run();
        ASSERT_TRUE(second.wait_status("/rollback_ready", true, 60s));
        ASSERT_TRUE(second.change("cutover"));
    }
    ASSERT_EQ(::kill(move.segue().pid(), SIGCONT), 0);
    ASSERT_TRUE(move.segue().wait_status("/authority", "target", 60s)) << move.segue().log();
    ASSERT_TRUE(move.segue().wait_status("/rollback_ready", true, 60s)) << move.segue().log();
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-70, 'after')");
    move.expect_equal_soon();
}

}  // namespace
}  // namespace segue::test
