// What the protocol allows and few clients do, through Segue: messages of any size in bounded
// memory, fastpath calls, portals with row limits, flushes, COPY that fails in its middle, and
// peers that vanish.

#include <gtest/gtest.h>
#include <libpq/libpq-fs.h>

#include "tests/support/migration.hpp"
#include "tests/support/raw_client.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t large = 32u << 20;
constexpr long memory_grown_max_kb = 8 * 1024;  // Of Segue: a fourth of one message.

void expect_large_messages_pass(Sql& client) {
    const std::string text(large, 'x');
    const std::string size = std::to_string(large);
    EXPECT_EQ(client.query("SELECT repeat('x', " + size + ")").value().size(), large) << "DataRow";
    EXPECT_EQ(client.value("SELECT length('" + text + "')"), size) << "Query";
    EXPECT_EQ(client.attempt("SELECT length($1)", {text}).value(), size) << "Bind";
    EXPECT_EQ(client.attempt("SELECT length('" + text + "') + $1::int", {"0"}).value(), size)
        << "Parse";
    client.query("CREATE TEMPORARY TABLE big (t text)");
    EXPECT_TRUE(client.copy_in("COPY big FROM STDIN", text + "\n").ok);
    EXPECT_EQ(client.value("SELECT sum(length(t)) FROM big"), size) << "COPY FROM";
    PQclear(PQexec(client.raw(), "COPY big TO STDOUT"));
    char* row = nullptr;
    EXPECT_EQ(PQgetCopyData(client.raw(), &row, 0), static_cast<int>(large + 1)) << "COPY TO";
    PQfreemem(row);
    EXPECT_EQ(PQgetCopyData(client.raw(), &row, 0), -1);
    while (PGresult* rest = PQgetResult(client.raw())) PQclear(rest);
    client.query("DROP TABLE big");
}

TEST(Messages, OfAnySizePassInBoundedMemory) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.source.tls = options.target.tls = true;
    PostgresServer certificates{options.source};  // Lends Segue its certificate.
    options.lines = {
        {"listen", "tls_certificate = \"" + (certificates.folder() / "server.crt").string() + "\""},
        {"listen", "tls_key = \"" + (certificates.folder() / "server.key").string() + "\""}};
    Migration move{options};
    ASSERT_TRUE(move.copy());
    for (const char* gate : {"async", "sync"}) {
        move.segue().expect_done({"mirror", gate});
        for (const char* mode : {"disable", "require"}) {
            SCOPED_TRACE(std::string{gate} + " " + mode);
            Sql client{move.through() + "?sslmode=" + mode};
            ASSERT_TRUE(client.connected()) << client.error();
            const long before = move.segue().memory_peak_kb();
            expect_large_messages_pass(client);
            EXPECT_LT(move.segue().memory_peak_kb() - before, memory_grown_max_kb);
        }
    }
}

// Two servers that trust everybody; sessions that are not at a boundary keep a change waiting for
// 300 ms.
MigrationOptions trusting() {
    MigrationOptions options;
    options.source.auth = options.target.auth = ServerAuth::trust;
    options.lines = {{"cutover", "drain_ms = 300"}};
    return options;
}

const std::string sync = RawClient::message('S', "");
const std::string flush = RawClient::message('H', "");

TEST(Messages, APortalThatIsSuspendedKeepsItsSessionWhereItIs) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{trusting()};
    ASSERT_TRUE(move.copy());
    RawClient client = RawClient::logged_in(move.segue().port());
    // Nothing tells that a transaction is open: there has been no ReadyForQuery since.
    client.send(RawClient::parse_and_bind("SELECT generate_series(1, 7)") + RawClient::execute(3) +
                flush);
    EXPECT_EQ(client.hear_until('s'), "12DDDs");
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
    client.send(RawClient::execute(3) + flush);
    EXPECT_EQ(client.hear_until('s'), "DDDs");
    client.send(RawClient::execute(3) + sync);
    EXPECT_EQ(client.hear_until('Z'), "DCZ");
    ASSERT_TRUE(move.segue().change("cutover"));
    client.send(RawClient::parse_and_bind("SELECT inet_server_port()") + RawClient::execute(0) +
                sync);
    client.heard.clear();
    EXPECT_EQ(client.hear_until('Z'), "12DCZ");
    EXPECT_NE(client.heard.find(std::to_string(move.target().port())), std::string::npos);
}

TEST(Messages, AnErrorBeforeAFlushIsToldAndEverythingUpToTheSyncSkipped) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{trusting()};
    ASSERT_TRUE(move.copy());
    RawClient client = RawClient::logged_in(move.segue().port());
    client.send(RawClient::parse_and_bind("SELECT 1/0") + RawClient::execute(0) + flush);
    EXPECT_EQ(client.hear_until('E'), "1E");
    client.send(RawClient::query("SELECT 1") +
                RawClient::execute(0));  // Both are dropped by the server.
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
    client.send(sync);
    EXPECT_EQ(client.hear_until('Z'), "Z");
    ASSERT_TRUE(move.segue().change("cutover"));
    client.send(RawClient::query("SELECT 1; SELECT 2"));
    EXPECT_EQ(client.hear_until('Z'), "TDCTDCZ");
}

TEST(Messages, FunctionCallsReadAndWriteLargeObjects) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{trusting()};
    move.segue().run();
    Sql client{move.through()};
    client.query("BEGIN");
    const Oid object = lo_creat(client.raw(), INV_READ | INV_WRITE);
    const int fd = lo_open(client.raw(), object, INV_READ | INV_WRITE);
    const std::string text(300000, 'y');
    EXPECT_EQ(lo_write(client.raw(), fd, text.data(), text.size()), static_cast<int>(text.size()));
    EXPECT_EQ(lo_lseek(client.raw(), fd, 0, SEEK_SET), 0);
    std::string read(text.size(), '\0');
    EXPECT_EQ(lo_read(client.raw(), fd, read.data(), read.size()), static_cast<int>(read.size()));
    EXPECT_EQ(read, text);
    EXPECT_EQ(lo_close(client.raw(), fd), 0);
    EXPECT_EQ(lo_unlink(client.raw(), object), 1);
    client.query("COMMIT");
}

// After each failure the session is as usable, and as movable, as before.
TEST(Messages, ACopyThatFailsInItsMiddleLeavesItsSessionWhole) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{trusting()};
    Sql{move.source().socket_url("shop", "app")}.query("CREATE TABLE t (i int)");
    ASSERT_TRUE(move.copy());
    RawClient client = RawClient::logged_in(move.segue().port());
    const auto query = &RawClient::query;
    const std::string good = RawClient::message('d', "1\n"), bad = RawClient::message('d', "one\n"),
                      done = RawClient::message('c', "");
    struct Failure {
        const char* what;
        std::string sent, tags;
    };
    const Failure failures[] = {
        {"the server, between data",
         query("COPY t FROM STDIN") + good + bad + good + good + done,
         "GEZ"},
        {"the client",
         query("COPY t FROM STDIN") + good + RawClient::message('f', std::string{"no more", 8}),
         "GEZ"},
        {"the client, extended",
         RawClient::parse_and_bind("COPY t FROM STDIN") + RawClient::execute(0) +
             RawClient::message('f', std::string{"no", 3}) + sync,
         "12GEZ"},
        {"the server, in COPY TO",
         query("COPY (SELECT 1/(3 - i) FROM generate_series(1, 5) i) TO STDOUT"),
         "HddEZ"},
        {"the server, before it begins", query("COPY nothing FROM STDIN") + good + done, "EZ"},
    };
    for (const Failure& failure : failures) {
        SCOPED_TRACE(failure.what);
        client.send(failure.sent);
        EXPECT_EQ(client.hear_until('Z'), failure.tags);
        client.send(query("SELECT 1"));
        EXPECT_EQ(client.hear_until('Z'), "TDCZ");
        ASSERT_TRUE(move.segue().change("rehearse"));
    }
}

// A session's server goes as it would without Segue, and nobody else notices.
TEST(Messages, AClientThatVanishesTakesItsServerAlong) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{trusting()};
    move.segue().run();
    Sql other{move.through()};
    const auto theirs = [&] {
        return move.source().value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'");
    };
    {
        RawClient idle = RawClient::logged_in(move.segue().port());
        RawClient busy = RawClient::logged_in(move.segue().port());
        busy.send(RawClient::query("SELECT repeat('x', 100000) FROM generate_series(1, 10000)"));
        EXPECT_EQ(busy.hear_until('D'), "TD");
        EXPECT_EQ(theirs(), "3");
        idle.reset();
        busy.reset();
    }
    EXPECT_TRUE(eventually(10s, [&] { return theirs() == "1"; })) << theirs();
    RawClient half = RawClient::logged_in(move.segue().port());
    half.send(RawClient::query("SELECT pg_sleep(0.3)"));
    half.end_stream();
    EXPECT_EQ(half.hear_until('Z'), "TDCZ") << "who has only ended its own side is still answered";
    EXPECT_TRUE(eventually(10s, [&] { return theirs() == "1"; })) << theirs();
    EXPECT_EQ(other.value("SELECT 1"), "1");
}

}  // namespace
}  // namespace segue::test
