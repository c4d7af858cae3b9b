// The promises that a crash or a rogue client would break: mirror sync, the fence, stray writes,
// verify, finish.

#include <gtest/gtest.h>

#include <set>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// Everything dies at once after an acknowledged commit; both servers come back alone, without
// Segue's help.
TEST(MirrorSync, AnAcknowledgedCommitIsOnBothServersWhateverDiesNext) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    for (int round = 0; round < 3; ++round) {
        SCOPED_TRACE(round);
        WorkloadOptions options{move.through()};
        options.seed = 10 + static_cast<unsigned>(round);
        options.reconnect_limit = 1ms;
        Workload workload{options};
        Sql single{move.through()};
        const std::string mark = std::to_string(9000000 + round);
        workload.start();
        ASSERT_TRUE(workload.wait_for_more(150));
        single.query("INSERT INTO app.keyed VALUES (" + mark + ", 'its own transaction')");
        move.segue().kill();
        move.target().stop(Stop::immediate);
        move.source().stop(Stop::immediate);
        workload.stop();
        move.source().start();
        move.target().start();
        for (PostgresServer* server : {&move.source(), &move.target()}) {
            EXPECT_EQ(server->value("SELECT count(*) FROM app.keyed WHERE id = " + mark, "shop"),
                      "1");
            const Answer there =
                server->run("SELECT worker || ' ' || number FROM app.journal", "shop");
            std::set<std::string> found;
            for (const auto& row : there.rows) found.insert(row[0]);
            for (const Attempt& attempt : workload.journal()) {
                if (attempt.outcome != Outcome::committed) continue;
                EXPECT_TRUE(found.contains(std::to_string(attempt.worker) + " " +
                                           std::to_string(attempt.number)));
            }
        }
        // The next round's workers begin their chains anew.
        move.segue().run();
        ASSERT_TRUE(move.segue().wait_status("/mirror/mode", "sync", 20s));
        move.expect_equal_soon();
    }
}

// The follower is away: strict means that nobody is told of a commit which only one server has.
TEST(MirrorSync, StrictHoldsTheAnswerWhileTheFollowerIsAway) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-1, 'both')");
    move.target().stop(Stop::immediate);
    ASSERT_EQ(PQsendQuery(client.raw(), "INSERT INTO app.keyed VALUES (-2, 'waits')"), 1);
    PQflush(client.raw());
    ASSERT_TRUE(eventually(10s, [&] {
        return move.source().value("SELECT count(*) FROM app.keyed WHERE id = -2", "shop") == "1";
    }));
    PQconsumeInput(client.raw());
    EXPECT_EQ(PQisBusy(client.raw()), 1) << "acknowledged although the follower cannot have it";
    move.target().start();
    PGresult* result = PQgetResult(client.raw());
    EXPECT_EQ(PQresultStatus(result), PGRES_COMMAND_OK) << PQresultErrorMessage(result);
    PQclear(result);
    EXPECT_EQ(move.target().value("SELECT count(*) FROM app.keyed WHERE id = -2", "shop"), "1");
}

void expect_fenced(const std::string& url, const std::string& begin) {
    const char* writes[] = {
        "INSERT INTO app.keyed VALUES (-77, 'stray')",
        "UPDATE app.account SET balance = 0",
        "DELETE FROM app.account",
        "TRUNCATE app.scratch",
        "COPY app.loose FROM STDIN",
        "UPDATE app.measured SET v = 0",
        "WITH w AS (DELETE FROM app.loose RETURNING a) SELECT count(*) FROM w",
    };
    for (const char* write : writes) {
        SCOPED_TRACE(begin + "; " + write);
        Sql client{url};
        ASSERT_TRUE(client.connected()) << client.error();
        if (!begin.empty()) client.query(begin);
        const Answer answer = std::string{write}.starts_with("COPY")
                                  ? client.copy_in(write, "1\tx\t1\n")
                                  : client.attempt(write);
        EXPECT_FALSE(answer.ok && (begin.empty() || client.attempt("COMMIT").ok))
            << "the write went through";
        EXPECT_NE(answer.ok, !answer.sqlstate.empty());
    }
}

TEST(Fence, ClosesTheFollowerAndTheOldAuthorityToEveryoneButTheMover) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    const auto fenced = [&](PostgresServer& server) {
        for (const std::string& url :
             {move.superuser(server), move.direct(server), server.socket_url("shop", "mover")}) {
            expect_fenced(url, "");
            expect_fenced(url, "BEGIN READ WRITE");
        }
        expect_fenced(move.superuser(server), "SET session_replication_role = replica; BEGIN");
    };
    fenced(move.target());
    // A snapshot from before the change must not be a way around.
    Sql stale{move.superuser(move.source())};
    stale.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    stale.query("SELECT count(*) FROM app.account");
    const CommandResult cutover = move.segue().verb({"cutover"});
    const Answer late = stale.attempt("INSERT INTO app.keyed VALUES (-9, 'late')");
    const bool late_committed = late.ok && stale.attempt("COMMIT").ok;
    if (cutover.exit_code == 0) {
        EXPECT_FALSE(late_committed) << "a write was accepted by the old side after the change";
    } else {
        ASSERT_TRUE(move.segue().change("cutover"));
    }
    fenced(move.source());
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-10, 'through Segue')");
    ASSERT_TRUE(move.segue().change("rollback"));
    client.query("INSERT INTO app.keyed VALUES (-11, 'back')");
    fenced(move.target());
    move.expect_equal_soon();
}

// More than the mover holds in memory at once: it is applied while it is still being read.
// Over TLS, where libpq reads one message of the stream at a time.
TEST(Mirror, FollowsATransactionThatIsBiggerThanTheQueue) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.source.tls = options.target.tls = true;
    Migration move{options};
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    client.query(
        "INSERT INTO app.keyed SELECT 5000000 + g, repeat('x', 4000) FROM generate_series(1, "
        "25000) g");
    // Many small ones, too: 120,000 messages.
    client.query("INSERT INTO app.keyed SELECT 6000000 + g, '' FROM generate_series(1, 120000) g");
    move.expect_equal_soon(100s);
}

TEST(Fence, StrayWritesAreReported) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql rogue{move.as_mover(move.target())};
    rogue.query("INSERT INTO app.keyed VALUES (-50, 'stray')");
    ASSERT_TRUE(eventually(20s, [&] {
        const auto status = move.segue().status();
        return status && (*status)["stray_writes"].is_number() && (*status)["stray_writes"] >= 1;
    }));
    const CommandResult refused = move.segue().verb({"cutover"});
    EXPECT_EQ(refused.exit_code, 1) << "a stray write in the reverse stream refuses the cutover";
}

// Also after a change, whose epoch they are tied to, and a restart; until a comparison has found
// all rows equal.
TEST(Fence, StrayWritesAreRememberedUntilTheyAreRepaired) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().change("cutover"));
    ASSERT_TRUE(move.segue().change("rollback"));
    Sql rogue{move.as_mover(move.target())};
    rogue.query("INSERT INTO app.keyed VALUES (-50, 'stray')");
    ASSERT_TRUE(move.segue().wait_status("/stray_writes", 1));
    move.segue().kill();
    move.segue().run();
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1) << "forgotten by the restart";
    CommandResult found;
    EXPECT_TRUE(eventually(60s,
                           [&] {  // Refused, too, until the mover is connected again.
                               found = move.segue().verb({"verify"});
                               return (found.out + found.err).find("app.keyed") !=
                                      std::string::npos;
                           }))
        << found.out << found.err;
    EXPECT_EQ(found.exit_code, 1);
    move.segue().expect_done({"repair"});
    EXPECT_TRUE(move.segue().wait_status("/stray_writes", 0));
    ASSERT_TRUE(move.segue().change("cutover"));
    move.expect_equal_soon();
}

TEST(Verify, FindsEveryDamageAndHasNoFalseAlarmUnderLoad) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    for (int round = 0; round < 3; ++round)
        move.segue().expect_done({"verify"});  // No false alarm under load.
    workload.stop();
    move.expect_equal_soon();
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-98, 'here')");
    move.expect_equal_soon();
    struct Damage {
        const char* make;
        const char* undo;
        const char* table;
    };
    const Damage damages[] = {
        {"UPDATE app.hard SET doc = doc || '{\"damaged\": 1}' WHERE id = 40",
         "UPDATE app.hard SET doc = doc - 'damaged' WHERE id = 40",
         "hard"},
        {"DELETE FROM app.keyed WHERE id = -98",
         "INSERT INTO app.keyed VALUES (-98, 'here')",
         "keyed"},
        {"INSERT INTO app.loose VALUES (99, 'too much', 1)",
         "DELETE FROM app.loose WHERE a = 99",
         "loose"},
    };
    for (const Damage& damage : damages) {
        SCOPED_TRACE(damage.make);
        Sql rogue{move.as_mover(move.target())};
        rogue.query("SET session_replication_role = replica");
        rogue.query(damage.make);
        const CommandResult found = move.segue().verb({"verify"});
        EXPECT_EQ(found.exit_code, 1);
        EXPECT_NE((found.out + found.err).find(damage.table), std::string::npos)
            << found.out << found.err;
        EXPECT_TRUE(move.segue().wait_status("/verify/state", "different", 5s));
        rogue.query(damage.undo);
        EXPECT_EQ(move.segue().verb({"verify"}).exit_code, 0);
    }
}

TEST(Finish, PutsEverythingBackAndKeepsClientsOnTheRightSide) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    const char* identities =
        "SELECT string_agg(relname::text || relreplident::text, ' ' ORDER BY relname) FROM "
        "pg_class "
        "WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p')";
    const std::string before = move.source().value(identities, "shop");
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().change("cutover"));
    ASSERT_EQ(move.segue().expect_done({"finish"}).exit_code, 0);
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_replication_slots", "shop"), "0");
        EXPECT_EQ(server->value("SELECT count(*) FROM pg_publication", "shop"), "0");
        EXPECT_EQ(server->value(identities, "shop"), before);
        EXPECT_EQ(server->value("SELECT phase || ' ' || authority FROM segue.control", "shop"),
                  "finished target");
    }
    expect_fenced(move.direct(move.source()), "");
    EXPECT_TRUE(eventually(60s, [&] {
        const std::string events = move.segue().expect_done({"events"}).out;
        return events.find("the move is over; the target is the authority\n") != events.npos &&
               events.find("cutover") != events.npos;
    })) << "both sides keep what happened";
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-1, 'on the target')");
    EXPECT_EQ(move.segue().verb({"rollback"}).exit_code, 1);
    EXPECT_EQ(move.segue().terminate(), 0);
    move.segue().run();
    EXPECT_TRUE(move.segue().wait_status("/finished", true, 5s));
    Sql later{move.through()};
    EXPECT_EQ(later.value("SELECT inet_server_port()"), std::to_string(move.target().port()));
    later.query("INSERT INTO app.keyed VALUES (-2, 'on the target too')");
    move.segue().expect_done({"finish", "--unfence"});
    Sql direct{move.direct(move.source())};
    direct.query("INSERT INTO app.keyed VALUES (-3, 'the old side is open again')");
}

}  // namespace
}  // namespace segue::test
