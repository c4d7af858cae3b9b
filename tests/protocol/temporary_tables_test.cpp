// A session's temporary tables, made anew on another server as they were, or named with the reason
// why not.

#include "protocol/postgres/temporary_tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "protocol/postgres/messages_client.hpp"
#include "tests/support/postgres_versions.hpp"
#include "wire.hpp"

namespace segue::protocol::postgres {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// What a mover does, one round trip after the other. Pins stay where something cannot be carried.
SessionState probe_with_tables(Wire& client) {
    SessionState state = client.probe();
    if (!only_temporary_tables(state.pins)) return state;
    auto found = std::get<TemporaryTablesFound>(
        client.ask(temporary_tables_request(), parse_temporary_tables_reply));
    state.pins = found.pins;
    for (CarryStep& step : found.steps) {
        if (!state.pins.empty() || step.kind != CarryStep::Kind::table) continue;
        const auto what =
            std::get<OnCommit>(client.ask(on_commit_request(step), parse_on_commit_reply));
        if (!settle_on_commit(step, what)) state.pins.push_back(step.name);
    }
    if (!state.pins.empty()) return state;
    const auto parse = [&found](Bytes reply) { return parse_contents_reply(reply, found.steps); };
    auto filled = client.ask(contents_request(found.steps), parse);
    if (auto* error = std::get_if<Error>(&filled)) ADD_FAILURE() << error->detail;
    state.temporary = temporary_tables(std::get<std::vector<CarryStep>>(std::move(filled)));
    return state;
}

constexpr const char* make_tables = R"sql(
    CREATE TEMPORARY SEQUENCE loose INCREMENT BY 5 START WITH 10;
    CREATE TEMPORARY TABLE "my T" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, "a B" text COLLATE "C" DEFAULT 'x;''y\',
        g int GENERATED ALWAYS AS (id * 2) STORED, m mood[], n numeric(10,2) CHECK (n > 0), d timestamptz DEFAULT '2020-02-03 04:05:06.7+00',
        f float8 DEFAULT 0.1, b bytea DEFAULT '\x00ff', i interval DEFAULT '1 mon -2 days', UNIQUE ("a B", n)) WITH (fillfactor = 70);
    CREATE INDEX "an Index" ON "my T" (lower("a B") DESC) WHERE n > 3;
    CREATE TEMPORARY TABLE empty (i int NOT NULL, j jsonb NOT NULL, m mood NOT NULL, u uuid NOT NULL, t time NOT NULL,
        l int DEFAULT nextval('loose'), v varchar(3) NOT NULL, a text[] NOT NULL, p point NOT NULL, y "char" NOT NULL);
    CREATE TEMPORARY TABLE forgetful (i int NOT NULL, b bit(4) NOT NULL) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE emptied (i int); INSERT INTO emptied VALUES (1); DELETE FROM emptied;
    CREATE TEMPORARY TABLE child (r int REFERENCES "my T" (id) ON DELETE CASCADE DEFERRABLE);
    INSERT INTO "my T" ("a B", n, m) SELECT 'v' || i, i, CASE WHEN i > 2 THEN '{sad,NULL}'::mood[] END FROM generate_series(1, 4) i;
    INSERT INTO "my T" ("a B", n) VALUES (E'tab\t, line\n, back\\ \\N', 99), (NULL, 100);
    DELETE FROM "my T" WHERE id = 2;
    INSERT INTO child VALUES (3), (NULL);
    ANALYZE child;
    SELECT nextval('loose'), nextval('loose'))sql";

// Everything that a client could see of them.
constexpr const char* look[] = {
    R"(SELECT t::text FROM "my T" t)",
    R"(SELECT id || ',' || s || ',' || g || ',' || d || ',' || f || ',' || b::text || ',' || i FROM "my T")",
    "SELECT r FROM child",
    "SELECT conname || pg_get_constraintdef(oid) || condeferrable FROM pg_constraint WHERE "
    "connamespace = pg_my_temp_schema()"
    " AND contype <> 'n' ORDER BY 1",  // Those are new in version 18, and in the columns below.
    "SELECT regexp_replace(pg_get_indexdef(indexrelid), 'pg_temp(_[0-9]+)?\\.', '') FROM pg_index "
    "i JOIN pg_class c ON"
    " c.oid = i.indexrelid WHERE relnamespace = pg_my_temp_schema() ORDER BY 1",
    "SELECT relname || relkind::text || coalesce(reloptions::text, '') || relpersistence::text || "
    "relowner::regrole FROM pg_class"
    " WHERE relnamespace = pg_my_temp_schema() ORDER BY 1",
    "SELECT attrelid::regclass || attname || format_type(atttypid, atttypmod) || attnum || "
    "attnotnull || attidentity::text ||"
    " attgenerated::text || attcollation || attstorage::text FROM pg_attribute a JOIN pg_class c "
    "ON c.oid = attrelid WHERE relnamespace = pg_my_temp_schema()"
    " AND relkind = 'r' AND attnum > 0 ORDER BY attrelid::regclass::text, attnum",
    "SELECT adrelid::regclass || pg_get_expr(adbin, adrelid) FROM pg_attrdef d JOIN pg_class c ON "
    "c.oid = adrelid"
    " WHERE relnamespace = pg_my_temp_schema() ORDER BY 1",
    "SELECT sequencename || start_value || increment_by || max_value || coalesce(last_value, -1) "
    "|| cycle FROM pg_sequences"
    " WHERE schemaname LIKE 'pg_temp%' ORDER BY 1",
    R"(SELECT pg_get_serial_sequence('"my T"', 's') IS NOT NULL AND pg_get_serial_sequence('"my T"', 'id') IS NOT NULL)",
    "SELECT count(*) FROM pg_stats WHERE tablename = 'child'",
    R"(INSERT INTO "my T" (n) VALUES (7) RETURNING id || ',' || s)",
    "SELECT nextval('loose')",
    ("BEGIN; INSERT INTO forgetful VALUES (1, '1010'); SELECT count(*) FROM forgetful; COMMIT; "
     "SELECT count(*) FROM forgetful"),
    "BEGIN; INSERT INTO emptied VALUES (1); COMMIT; SELECT count(*) FROM emptied",
    "SELECT count(*) FROM empty",
    R"(DELETE FROM "my T" WHERE id = 3; SELECT count(*) FROM child)",
    "EXECUTE counts",
};

// Versions of the source and the target; 0: the installed one.
struct TemporaryTablesOf : testing::TestWithParam<std::pair<int, int>> {
    static test::ServerOptions options(int major) {
        test::ServerOptions options;
        if (major != 0) options.bin = test::server_binaries(major);
        return options;
    }
};

TEST_P(TemporaryTablesOf, AreOnTheOtherServerAsTheyWere) {
    SEGUE_NEEDS_POSTGRES();
    for (const int major : {GetParam().first, GetParam().second}) {
        if (major != 0 && test::server_binaries(major).empty())
            GTEST_SKIP() << "no PostgreSQL " << major << " (tests/versions.sh)";
    }
    const PostgresServer source{options(GetParam().first)}, target{options(GetParam().second)};
    target.run("CREATE TYPE filler AS ENUM ('x')");  // So that the OIDs differ.
    for (const PostgresServer* server : {&source, &target}) {
        server->run(
            "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE ROLE app LOGIN; CREATE ROLE worker; "
            "GRANT worker TO app");
    }
    Wire client{source, "app"};
    // Settings that change how values are read and written, and one that forbids to write.
    client.query(
        "SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = "
        "-15; SET bytea_output = 'escape'");
    client.query("SET ROLE worker");
    EXPECT_THAT(client.query(make_tables), HasSubstr("SELECT 1"));
    client.query("PREPARE counts AS SELECT count(*) FROM \"my T\"");
    client.query(
        "SET default_transaction_read_only = on; SET enable_indexscan = off; SET enable_seqscan = "
        "off");

    const SessionState state = probe_with_tables(client);
    ASSERT_THAT(state.pins, IsEmpty());
    EXPECT_TRUE(is_equal(state, probe_with_tables(client))) << "to look does not change them";
    Wire other{target, "app"};
    other.restore(state);
    EXPECT_TRUE(is_equal(state, probe_with_tables(other)));
    for (const char* sql : look) {
        SCOPED_TRACE(sql);
        const std::string seen = client.values(sql);
        EXPECT_EQ(seen.find("error"), std::string::npos) << seen;
        EXPECT_EQ(other.values(sql), seen);
    }
    EXPECT_FALSE(is_equal(state, probe_with_tables(client)));
    // And anew, on a connection that has them already.
    const SessionState later = probe_with_tables(client);
    EXPECT_TRUE(std::holds_alternative<Done>(other.run(reset_request())));
    other.restore(later);
    EXPECT_TRUE(is_equal(later, probe_with_tables(other)));
}

INSTANTIATE_TEST_SUITE_P(Versions,
                         TemporaryTablesOf,
                         testing::Values(std::pair{0, 0},
                                         std::pair{13, 18},
                                         std::pair{18, 13},
                                         std::pair{14, 16},
                                         std::pair{17, 17}));

TEST(TemporaryTables, ThatCannotBeMadeExactlyPinWithTheReason) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    server.run(
        "CREATE ROLE worker; CREATE TABLE parent (i int); CREATE TYPE composite AS (i int); CREATE "
        "DOMAIN odd AS int CHECK (VALUE = 7)");
    const std::pair<const char*, const char*> cases[] = {
        {"CREATE TEMPORARY TABLE t (i int) PARTITION BY RANGE (i)", "is partitioned or inherits"},
        {"CREATE TEMPORARY TABLE t () INHERITS (parent)", "is partitioned or inherits"},
        {"CREATE TEMPORARY TABLE t (i int); SET ROLE worker", "belongs to another role"},
        {"CREATE TEMPORARY TABLE t (i int); GRANT SELECT (i) ON t TO worker", "has privileges"},
        {"CREATE TEMPORARY TABLE t OF composite", "is of a type"},
        {"CREATE TEMPORARY TABLE t (i int); ALTER TABLE t ENABLE ROW LEVEL SECURITY",
         "has row security"},
        {"CREATE TEMPORARY TABLE t (i int); CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
         "has rules"},
        {"CREATE TEMPORARY TABLE t (i int); CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION "
         "tsvector_update_trigger()",
         "has triggers"},
        {"CREATE TEMPORARY TABLE t (i int); CREATE INDEX x ON t (i); CLUSTER t USING x",
         "is clustered"},
        {"CREATE TEMPORARY TABLE t (i int, j int); ALTER TABLE t DROP i", "has lost a column"},
        {"CREATE TEMPORARY TABLE t (i int, j text); ALTER TABLE t ALTER j SET STORAGE EXTERNAL",
         "has columns with options"},
        {"CREATE TEMPORARY TABLE t ()", "has no columns"},
        {"CREATE TEMPORARY TABLE pg_class (i int)", "has the name of a catalog"},
        {"CREATE TEMPORARY TABLE t (i int); COMMENT ON COLUMN t.i IS 'x'", "has comments"},
        {"CREATE TEMPORARY TABLE t (i int, j int); CREATE STATISTICS public.x ON i, j FROM t",
         "depend"},
        {"CREATE TEMPORARY SEQUENCE t CACHE 10", "caches values"},
        {"CREATE TEMPORARY TABLE t (i odd NOT NULL)", "temporary table t"},
    };
    for (const auto& [sql, reason] : cases) {
        SCOPED_TRACE(sql);
        Wire client{server};
        client.query(sql);
        EXPECT_THAT(probe_with_tables(client).pins, Contains(HasSubstr(reason)));
        EXPECT_EQ(client.values("SELECT 1"), "1|") << "the session goes on";
    }
    Wire client{server};
    client.query("CREATE TEMPORARY TABLE t (i int); CREATE TEMPORARY VIEW v AS SELECT 1");
    EXPECT_FALSE(only_temporary_tables(client.probe().pins));
}

// The pages of a transaction that was rolled back are there until the next commit.
TEST(TemporaryTables, ThatAreEmptiedAtCommitsAreKnownAlsoAfterARollback) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    client.query(
        "CREATE TEMPORARY TABLE forgetful (i int) ON COMMIT DELETE ROWS; CREATE TEMPORARY TABLE "
        "kept (i int)");
    for (const char* end : {"ROLLBACK", "COMMIT"}) {
        SCOPED_TRACE(end);
        client.query("BEGIN; INSERT INTO forgetful VALUES (1); INSERT INTO kept VALUES (1)");
        client.query(end);
        const SessionState state = probe_with_tables(client);
        EXPECT_THAT(state.pins, IsEmpty());
        Wire other{server};
        other.restore(state);
        for (const auto& [table, rows] : {std::pair{"forgetful", "0|"}, std::pair{"kept", "1|"}}) {
            other.query(std::string{"TRUNCATE "} + table);
            other.query(std::string{"BEGIN; INSERT INTO "} + table + " VALUES (1); COMMIT");
            EXPECT_EQ(other.values(std::string{"SELECT count(*) FROM "} + table), rows) << table;
        }
    }
}

TEST(TemporaryTables, MayTakeTheirTimeToTellWhatACommitDoesToThem) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    server.run("CREATE DOMAIN slow AS int CHECK (pg_sleep(0.6)::text IS NOT NULL)");
    Wire client{server};
    client.query("CREATE TEMPORARY TABLE t (i slow NOT NULL)");
    const auto found = std::get<TemporaryTablesFound>(
        client.ask(temporary_tables_request(), parse_temporary_tables_reply));
    ASSERT_EQ(found.steps.size(), 2u);
    client.query("SET statement_timeout = '400ms'");
    const auto what = client.ask(on_commit_request(found.steps.front()), parse_on_commit_reply);
    EXPECT_EQ(std::get<OnCommit>(what), OnCommit::preserve_rows);
    EXPECT_EQ(client.values("SHOW statement_timeout"), "400ms|");
}

TEST(TemporaryTables, LeaveNoSessionInsideATransactionOfOurs) {
    for (const char* last : {"I", "T", "E"}) {
        std::string reply;
        for (const char* status : {"E", "I", last}) append_message(reply, 'Z', status);
        const auto step = parse_on_commit_reply(bytes(reply));
        EXPECT_EQ(std::holds_alternative<Error>(step), last != std::string_view{"I"}) << last;
    }
}

TEST(TemporaryTables, AreMeasuredAsTextBeforeTheyAreRead) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    client.query(
        "CREATE TEMPORARY TABLE t AS SELECT repeat('x', 1000000) AS compressed; CREATE TEMPORARY "
        "TABLE u AS SELECT 1 AS i");
    const auto found = std::get<TemporaryTablesFound>(
        client.ask(temporary_tables_request(), parse_temporary_tables_reply));
    EXPECT_LT(found.size, 200'000u);
    const auto size =
        std::get<std::uint64_t>(client.ask(sizes_request(found.steps), parse_sizes_reply));
    EXPECT_GT(size, 1'000'000u);
    EXPECT_LT(size, 1'000'100u);
}

TEST(TemporaryTables, ContentsNeedMoreAtEverySplitAndMatchTheirSteps) {
    const std::vector<CarryStep> steps = {{CarryStep::Kind::statement, "s", {}, {}, {}, {}},
                                          {CarryStep::Kind::rows, "t (a)", {}, "t", {}, {}},
                                          {CarryStep::Kind::value, "q", {}, {}, {}, {}}};
    std::string reply;
    for (const char* data : {"1\n", "5\tt\n"}) {
        append_message(reply, 'H', "\0\0\0");
        append_message(reply, 'd', data);
        append_message(reply, 'd', "");
        append_message(reply, 'c', "");
    }
    append_message(reply, 'Z', "I");
    for (std::size_t size = 0; size < reply.size(); ++size) {
        const auto step =
            parse_contents_reply(bytes(std::string_view{reply}.substr(0, size)), steps);
        EXPECT_TRUE(std::holds_alternative<NeedMore>(step)) << size;
    }
    const auto filled = std::get<std::vector<CarryStep>>(parse_contents_reply(bytes(reply), steps));
    EXPECT_EQ(filled[1].data, "1\n");
    EXPECT_EQ(filled[2].data, "5\tt\n");
    EXPECT_FALSE(temporary_tables(steps) == temporary_tables(filled));
    std::string one_only;
    append_message(one_only, 'H', "\0\0\0");
    append_message(one_only, 'Z', "I");
    EXPECT_TRUE(std::holds_alternative<Error>(parse_contents_reply(bytes(one_only), steps)));
}

}  // namespace
}  // namespace segue::protocol::postgres
