// Drivers keep the OIDs of the application's own types. Between two servers that have numbered them
// differently they must not notice.

#include <gtest/gtest.h>

#include <csignal>

#include "protocol/bytes.hpp"
#include "tests/support/migration.hpp"
#include "tests/support/sql.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* schema = R"sql(
    CREATE SCHEMA kinds;
    CREATE TYPE kinds.mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TYPE kinds.pair AS (first kinds.mood, second int, moods kinds.mood[]);
    CREATE TYPE kinds.span AS RANGE (subtype = kinds.mood, multirange_type_name = kinds.spans);
    CREATE DOMAIN kinds.level AS kinds.mood[];
    CREATE TYPE kinds.late_1 AS ENUM ('a', 'b');
    CREATE TYPE kinds.later_1 AS (first kinds.late_1, others kinds.late_1[]);
    CREATE TYPE kinds.late_2 AS ENUM ('a', 'b');
    CREATE TYPE kinds.later_2 AS (first kinds.late_2, others kinds.late_2[]);
    CREATE TABLE kinds.thing (id int PRIMARY KEY, mood kinds.mood, moods kinds.mood[], pair kinds.pair, pairs kinds.pair[],
                              span kinds.span, spans kinds.spans, level kinds.level);
    INSERT INTO kinds.thing SELECT 1, 'ok', '{sad,ok}', p, ARRAY[p, p], '[sad,happy)', '{[sad,ok)}', '{happy}'
    FROM (SELECT ROW('ok', 7, '{sad,happy}')::kinds.pair) AS v (p);
)sql";

void make_types(Migration& move) {
    Sql source{move.direct(move.source())};
    source.query(schema);
    // Its numbers are behind the other's from here on, so that some mean another type there.
    for (int i = 0; i < 9; ++i)
        move.target().run("CREATE TYPE public.junk_" + std::to_string(i) + " AS ENUM ()", "shop");
}

// Works in rounds until SIGTERM, says after each which server answered, and ends with 0 when all
// was as it should be.
void expect_not_noticed(Migration& move, const std::vector<std::string>& program) {
    const std::filesystem::path log = move.segue().folder() / "client.log";
    Child client{{program}, log, SIGKILL};
    const auto works_on = [&](const PostgresServer& server) {
        const std::string port = "port " + std::to_string(server.port()) + "\n";
        return eventually(60s,
                          [&] { return read_file(log).ends_with(port) || !client.running(); }) &&
               client.running();
    };
    ASSERT_TRUE(works_on(move.source())) << read_file(log);
    EXPECT_TRUE(move.segue().change("cutover"));
    ASSERT_TRUE(works_on(move.target())) << read_file(log);
    EXPECT_TRUE(move.segue().change("rollback"));
    ASSERT_TRUE(works_on(move.source())) << read_file(log);
    EXPECT_TRUE(move.segue().change("cutover"));
    ASSERT_TRUE(works_on(move.target())) << read_file(log);
    client.signal(SIGTERM);
    EXPECT_EQ(client.wait(20s), 0) << read_file(log);
}

void expect_types_work(const std::string& module) {
    const bool installed =
        run_command({{"/usr/bin/python3", "-c", "import " + module}}).exit_code == 0;
    if (!installed) GTEST_SKIP() << "the Python module " << module << " is not installed";
    Migration move;
    make_types(move);
    ASSERT_TRUE(move.copy());
    const char* number = "SELECT 'kinds.mood'::regtype::oid";
    ASSERT_NE(move.source().value(number, "shop"), move.target().value(number, "shop"));
    expect_not_noticed(move,
                       {"/usr/bin/python3",
                        std::filesystem::path{TEST_FOLDER} / ("types_" + module + ".py"),
                        move.through()});
    move.expect_equal_soon();
}

long long counter(const SegueProcess& segue, const char* pointer) {
    const auto status = segue.status();
    const nlohmann::json::json_pointer at{pointer};
    return status && status->contains(at) ? (*status)[at].get<long long>() : -1;
}

void expect_reads_are_equal(Migration& move, Child& client) {
    const SegueProcess& segue = move.segue();
    const long long equal = counter(segue, "/shadow/equal"),
                    unconfirmed = counter(segue, "/shadow/unconfirmed");
    segue.expect_done({"shadow", "100"});
    EXPECT_TRUE(eventually(
        20s, [&] { return counter(segue, "/shadow/equal") > equal + 20 || !client.running(); }));
    segue.expect_done({"shadow", "0"});
    EXPECT_EQ(counter(segue, "/shadow/different"), 0);
    EXPECT_EQ(counter(segue, "/shadow/unconfirmed"), unconfirmed);
    const long long served = counter(segue, "/shift/served_by_follower");
    segue.expect_done({"shift", "100"});
    EXPECT_TRUE(eventually(20s, [&] {
        return counter(segue, "/shift/served_by_follower") > served + 20 || !client.running();
    }));
    segue.expect_done({"shift", "0"});
}

// A client that only reads, of a follower that has numbered the types differently: the target, then
// the source.
void expect_follower_is_understood(const std::string& module) {
    const bool installed =
        run_command({{"/usr/bin/python3", "-c", "import " + module}}).exit_code == 0;
    if (!installed) GTEST_SKIP() << "the Python module " << module << " is not installed";
    Migration move;
    make_types(move);
    ASSERT_TRUE(move.copy());
    const std::filesystem::path log = move.segue().folder() / "client.log";
    const std::filesystem::path program =
        std::filesystem::path{TEST_FOLDER} / ("types_" + module + ".py");
    Child client{{{"/usr/bin/python3", program, move.through(), "read"}}, log, SIGKILL};
    ASSERT_TRUE(eventually(20s, [&] {
        return read_file(log).find("round 3 ") != std::string::npos;
    })) << read_file(log);
    expect_reads_are_equal(move, client);
    EXPECT_TRUE(move.segue().change("cutover"));
    expect_reads_are_equal(move, client);
    client.signal(SIGTERM);
    EXPECT_EQ(client.wait(20s), 0) << read_file(log);
}

// A binary array of one mood, as a server with that number for the type has it.
std::string one_mood(std::uint32_t type) {
    std::string value;
    ByteWriter writer{value};
    for (const std::uint32_t number : {1u, 0u, type, 1u, 1u, 2u}) writer.big_endian(number);
    return value + "ok";
}

// Prepared once, before anything moved; with numbers in Parse and in values.
TEST(Types, StatementsWithoutANameAndWithOneAreTakenAlongThereAndBack) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    make_types(move);
    ASSERT_TRUE(move.copy());
    const auto number = [](PostgresServer& server, const std::string& type) {
        return static_cast<std::uint32_t>(
            std::stoul(server.value("SELECT 'kinds." + type + "'::regtype::oid", "shop")));
    };
    const std::uint32_t mood = number(move.source(), "mood"),
                        moods = number(move.source(), "mood[]");
    ASSERT_NE(mood, number(move.target(), "mood"));
    Sql client{move.through()};
    for (const char* name : {"named", ""}) {
        PQclear(PQprepare(client.raw(), name, "SELECT $1, pg_backend_pid()", 1, &moods));
    }
    const auto works = [&](const char* name) {
        const std::string value = one_mood(mood);
        const char* const values[] = {value.data()};
        const int sizes[] = {static_cast<int>(value.size())}, formats[] = {1};
        PGresult* result = PQexecPrepared(client.raw(), name, 1, values, sizes, formats, 1);
        EXPECT_EQ(PQresultStatus(result), PGRES_TUPLES_OK) << PQresultErrorMessage(result);
        EXPECT_EQ(PQftype(result, 0), moods);
        EXPECT_EQ((std::string{PQgetvalue(result, 0, 0),
                               static_cast<std::size_t>(PQgetlength(result, 0, 0))}),
                  value);
        PQclear(result);
    };
    for (const char* verb : {"cutover", "rollback", "cutover"}) {
        SCOPED_TRACE(verb);
        for (const char* name : {"named", ""}) works(name);
        ASSERT_TRUE(move.segue().change(verb));
    }
    for (const char* name : {"", "named"}) works(name);
    // Who logs in now learns the numbers of the server that answers.
    Sql later{move.through()};
    PGresult* result = PQexec(later.raw(), "SELECT 'ok'::kinds.mood");
    EXPECT_EQ(PQftype(result, 0), number(move.target(), "mood"));
    PQclear(result);
}

TEST(Types, Psycopg3UnderstandsTheFollower) {
    SEGUE_NEEDS_POSTGRES();
    expect_follower_is_understood("psycopg");
}

TEST(Types, AsyncpgUnderstandsTheFollower) {
    SEGUE_NEEDS_POSTGRES();
    expect_follower_is_understood("asyncpg");
}

TEST(Types, Psycopg3KeepsItsAdaptersAcrossCutoverAndRollback) {
    SEGUE_NEEDS_POSTGRES();
    expect_types_work("psycopg");
}

TEST(Types, JdbcKeepsItsNamesOfTypesAcrossCutoverAndRollback) {
    SEGUE_NEEDS_POSTGRES();
    const std::string driver = "/usr/share/java/postgresql.jar";
    const bool compiles =
        run_command({{"java", "--list-modules"}}).out.find("jdk.compiler") != std::string::npos;
    if (!compiles || !std::filesystem::exists(driver))
        GTEST_SKIP() << "libpostgresql-jdbc-java or a JDK is not installed";
    Migration move;
    make_types(move);
    ASSERT_TRUE(move.copy());
    const std::string url = "jdbc:postgresql://127.0.0.1:" + std::to_string(move.segue().port()) +
                            "/shop?user=app&password=app&prepareThreshold=2";
    expect_not_noticed(
        move, {"java", "-cp", driver, std::filesystem::path{TEST_FOLDER} / "types_jdbc.java", url});
    move.expect_equal_soon();
}

TEST(Types, AsyncpgKeepsItsCodecsAcrossCutoverAndRollback) {
    SEGUE_NEEDS_POSTGRES();
    expect_types_work("asyncpg");
}

}  // namespace
}  // namespace segue::test
