// One short life for pairs of major versions. The servers come from where postgres_versions.hpp
// says; a pair without them is skipped, with the reason. SEGUE_VERSION_PAIRS ("13-18,15-17", or
// "all") chooses others than the usual pairs.

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "tests/support/migration.hpp"
#include "tests/support/postgres_versions.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

struct Pair {
    int source = 0, target = 0;
};

void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.source << " to " << pair.target; }

constexpr int oldest = 13, newest = 18;

std::vector<Pair> chosen_pairs() {
    const char* wanted = std::getenv("SEGUE_VERSION_PAIRS");
    if (wanted == nullptr) {
        return {{13, 18}, {14, 16}, {15, 17}, {16, 17}, {17, 18}, {18, 18}};
    }
    std::vector<Pair> pairs;
    if (std::string{wanted} == "all") {
        for (int source = oldest; source <= newest; ++source) {
            for (int target = source; target <= newest; ++target) pairs.push_back({source, target});
        }
        return pairs;
    }
    std::istringstream list{wanted};
    Pair pair;
    char dash = 0;
    while (list >> pair.source >> dash >> pair.target) {
        pairs.push_back(pair);
        list >> dash;
    }
    return pairs;
}

MigrationOptions options_for(const Pair& pair) {
    MigrationOptions options;
    options.source.bin = server_binaries(pair.source);
    options.target.bin = server_binaries(pair.target);
    const std::string tools = dump_binaries(pair.source).string();
    options.lines = {{"tools", "pg_bin = \"" + tools + "\""}};
    return options;
}

// Whose text the servers' versions print differently, or which only some versions have.
void create_schema_of_version(const PostgresServer& source, int version) {
    const std::string url = source.socket_url("shop", "app");
    Sql app{url};
    app.query(R"sql(
        CREATE TABLE app.dated (id int PRIMARY KEY,
            made timestamp DEFAULT (now() AT TIME ZONE 'utc'),
            place int DEFAULT position('b' IN 'abc'),
            name text DEFAULT trim(BOTH ' ' FROM ' x '),
            year int GENERATED ALWAYS AS (extract(year FROM timestamp '2020-02-03')::int + id) STORED,
            CHECK (extract(month FROM made) BETWEEN 1 AND 12), CHECK (substring(name FROM 1 FOR 2) <> 'zz'));
        CREATE INDEX ON app.dated ((made AT TIME ZONE 'utc'), (id % 3));
        CREATE TABLE app.dated_part (moment timestamptz NOT NULL, v int) PARTITION BY RANGE (date_trunc('day', moment AT TIME ZONE 'utc'));
        CREATE TABLE app.dated_part_all PARTITION OF app.dated_part FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
        CREATE TABLE app.keyless_generated (v int, twice int GENERATED ALWAYS AS (v * 2) STORED);
        CREATE TABLE app.always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int);
        INSERT INTO app.dated (id) SELECT i FROM generate_series(1, 20) i;
        INSERT INTO app.dated_part SELECT '2026-01-01'::timestamptz + i * interval '1 day', i FROM generate_series(1, 20) i;
        INSERT INTO app.keyless_generated SELECT i % 5 FROM generate_series(1, 20) i;
        INSERT INTO app.always (v) SELECT i FROM generate_series(1, 20) i)sql");
    if (version >= 14) {
        app.query(
            "CREATE TABLE app.spans (id int PRIMARY KEY, days datemultirange, body text "
            "COMPRESSION pglz);"
            "INSERT INTO app.spans SELECT i, '{[2026-01-01,2026-01-09),[2026-02-01,2026-02-09)}', "
            "'x'"
            " FROM generate_series(1, 20) i");
    }
    if (version >= 15) {
        app.query(
            "CREATE TABLE app.one_null (id int PRIMARY KEY, v int UNIQUE NULLS NOT DISTINCT);"
            "INSERT INTO app.one_null VALUES (1, NULL), (2, 2);"
            "CREATE VIEW app.careful WITH (security_invoker = on) AS SELECT * FROM app.one_null");
    }
    // Partitions have their table's identity from 17 on, and none before.
    app.query(
        "CREATE TABLE app.numbered (id int GENERATED ALWAYS AS IDENTITY, part int, PRIMARY KEY "
        "(id, part))"
        " PARTITION BY LIST (part);"
        "CREATE TABLE app.numbered_1 PARTITION OF app.numbered FOR VALUES IN (1);"
        "CREATE TABLE app.numbered_2 PARTITION OF app.numbered FOR VALUES IN (2);"
        "INSERT INTO app.numbered (part) SELECT 1 + i % 2 FROM generate_series(1, 20) i");
    if (version >= 18) {
        app.query(
            "CREATE TABLE app.virtual (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2));"
            "INSERT INTO app.virtual SELECT i FROM generate_series(1, 20) i;"
            "CREATE TABLE app.late_not_null (id int PRIMARY KEY, v int, w int NOT NULL);"
            "INSERT INTO app.late_not_null VALUES (1, NULL, 1);"
            "ALTER TABLE app.late_not_null ADD CONSTRAINT later NOT NULL v NOT VALID;"
            "CREATE TABLE app.lenient (id int PRIMARY KEY, v int, CONSTRAINT hint CHECK (v > 0) "
            "NOT ENFORCED);"
            "INSERT INTO app.lenient VALUES (1, -1)");
    }
}

void change_rows_of_version(Sql& client, int version, int round) {
    const std::string n = std::to_string(round), id = std::to_string(1000 + round);
    client.query("INSERT INTO app.dated (id) VALUES (" + id + ")");
    client.query("UPDATE app.dated SET made = made + interval '1 day' WHERE id = " + n);
    client.query("INSERT INTO app.dated_part VALUES (now(), " + id + ")");
    client.query("UPDATE app.dated_part SET v = v + 1 WHERE v = " + n);
    client.query("INSERT INTO app.keyless_generated VALUES (" + id + ")");
    client.query("UPDATE app.keyless_generated SET v = v + 100 WHERE v = " +
                 std::to_string(round % 5));
    client.query("DELETE FROM app.keyless_generated WHERE v = " +
                 std::to_string(100 + (round + 1) % 5));
    client.query("INSERT INTO app.always (v) VALUES (" + id + ")");
    if (version >= 14)
        client.query("UPDATE app.spans SET days = days + '{[2026-03-01,2026-03-09)}' WHERE id = " +
                     n);
    if (version >= 15) client.query("UPDATE app.one_null SET v = " + id + " WHERE id = 2");
    client.query("INSERT INTO app.numbered (part) VALUES (1 + " + n + " % 2)");
    if (version >= 18) {
        client.query("INSERT INTO app.virtual VALUES (" + id + ")");
        client.query("INSERT INTO app.late_not_null VALUES (" + id + ", 1, 1)");
        client.query("INSERT INTO app.lenient VALUES (" + id + ", -1)");
    }
}

// Roles and their settings, which every version from 14 on has more of.
void create_roles_of_version(const PostgresServer& source, int version) {
    source.run(
        "CREATE ROLE team; CREATE ROLE boss; CREATE ROLE clerk LOGIN PASSWORD 'clerk';"
        "GRANT team TO boss WITH ADMIN OPTION; GRANT team TO app");
    source.run("SET ROLE boss; GRANT team TO clerk");
    if (version >= 16)
        source.run("CREATE ROLE other; GRANT other TO clerk WITH INHERIT FALSE, SET FALSE");
    if (version < 14) source.run("ALTER ROLE clerk SET operator_precedence_warning = off");
    source.run("ALTER ROLE clerk SET work_mem = '5MB'");
}

// Limits that would end the mover's own sessions.
void hurry_the_mover(const PostgresServer& server, int version) {
    if (version >= 14) server.run("ALTER ROLE mover SET idle_session_timeout = '1s'");
    if (version >= 17) server.run("ALTER ROLE mover SET transaction_timeout = '2s'");
}

std::vector<std::vector<std::string>> roles_outline(const PostgresServer& server, int version) {
    auto rows =
        server
            .run(
                "SELECT rolname, rolcanlogin, coalesce(rolpassword, ''), '' FROM pg_authid WHERE "
                "rolname !~ '^pg_'"
                " AND rolname <> 'mover' UNION ALL SELECT g.rolname, true, m.rolname,"
                " a.admin_option::text FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid"
                " JOIN pg_roles m ON m.oid = a.member WHERE m.rolname !~ '^pg_' ORDER BY 1, 2, 3, "
                "4")
            .rows;
    if (version < 16) return rows;
    for (auto& row :
         server
             .run("SELECT g.rolname, m.rolname, concat(a.inherit_option, a.set_option), b.rolname"
                  " FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON"
                  " m.oid = a.member JOIN pg_roles b ON b.oid = a.grantor WHERE m.rolname !~ '^pg_'"
                  " ORDER BY 1, 2, 3, 4")
             .rows) {
        rows.push_back(row);
    }
    return rows;
}

// What both sides must have whatever their versions print: names, kinds, validity.
std::vector<std::vector<std::string>> outline(const PostgresServer& server) {
    return server
        .run(R"sql(
        SELECT 'constraint', c.relname, o.conname, o.contype::text || o.convalidated FROM pg_constraint o
        JOIN pg_class c ON c.oid = o.conrelid WHERE o.connamespace = 'app'::regnamespace AND o.contype <> 'n'
        UNION ALL SELECT 'index', c.relname, '', i.indisvalid::text || i.indisunique || i.indisprimary FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'app'::regnamespace
        UNION ALL SELECT 'column', c.relname, a.attname, concat(format_type(a.atttypid, a.atttypmod), a.attnotnull,
               CASE WHEN NOT c.relispartition THEN a.attidentity END, a.attgenerated, a.atthasdef)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
        UNION ALL SELECT 'routine', p.proname, '', p.prosrc FROM pg_proc p WHERE p.pronamespace = 'app'::regnamespace
        UNION ALL SELECT 'sequence', c.relname, '', format_type(s.seqtypid, NULL) FROM pg_sequence s
        JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace = 'app'::regnamespace
        ORDER BY 1, 2, 3, 4)sql",
             "shop")
        .rows;
}

class Versions : public testing::TestWithParam<Pair> {};

TEST_P(Versions, LiveAWholeLife) {
    SEGUE_NEEDS_POSTGRES();
    const Pair pair = GetParam();
    const std::string missing = missing_for_pair(pair.source, pair.target);
    if (!missing.empty()) GTEST_SKIP() << missing;
    Migration move{options_for(pair)};
    create_schema_of_version(move.source(), pair.source);
    create_roles_of_version(move.source(), pair.source);
    hurry_the_mover(move.source(), pair.source);
    hurry_the_mover(move.target(), pair.target);
    move.segue().run();
    WorkloadOptions options{move.through()};
    options.workers = 3;
    Workload workload{options};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(30));
    Sql client{move.through()};
    client.query("SET application_name = 'kept'; SET work_mem = '7MB'");
    client.prepare("count", "SELECT count(*) FROM app.always WHERE v > $1::int");

    ASSERT_EQ(move.segue().expect_done({"start"}).exit_code, 0);
    ASSERT_TRUE(move.segue().wait_consistent());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    ASSERT_TRUE(workload.wait_for_more(100));
    change_rows_of_version(client, pair.source, 1);
    move.segue().expect_done({"verify"});

    EXPECT_EQ(roles_outline(move.source(), pair.source), roles_outline(move.target(), pair.source));
    EXPECT_EQ(Sql{move.target().url("shop", "clerk", "clerk")}.value("SHOW work_mem"), "5MB");

    int round = 1;
    for (const char* verb : {"cutover", "rollback", "cutover"}) {
        SCOPED_TRACE(verb);
        ASSERT_TRUE(move.segue().change(verb));
        ASSERT_TRUE(workload.wait_for_more(100));
        change_rows_of_version(client, pair.source, ++round);
        EXPECT_TRUE(client.execute_prepared("count", {"0"}).ok);
        EXPECT_EQ(client.value("SHOW application_name"), "kept");
        EXPECT_EQ(client.value("SHOW work_mem"), "7MB");
        const int now = std::string{verb} == "cutover" ? pair.target : pair.source;
        EXPECT_EQ(std::stoi(client.value("SHOW server_version_num")) / 10000, now);
        EXPECT_EQ(PQserverVersion(client.raw()) / 10000, now);  // As the driver was told.
        // The other side may not know them: they must not keep the session here.
        if (now >= 14) client.query("SET idle_session_timeout = '1h'");
        if (now >= 17) client.query("SET transaction_timeout = '1h'");
        if (now < 14) client.query("SET operator_precedence_warning = on");
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
    EXPECT_EQ(outline(move.source()), outline(move.target()));
    if (pair.source == pair.target) {
        EXPECT_TRUE(
            compare_catalogs(move.superuser(move.source()), move.superuser(move.target())).empty());
    }
    move.segue().expect_done({"finish"});
    change_rows_of_version(client, pair.source, ++round);
}

// A stream runs back from a newer version to an older one; a schema does not go there.
TEST(VersionOrder, CheckRefusesAnOlderTarget) {
    SEGUE_NEEDS_POSTGRES();
    const std::string missing = missing_for_pair(14, 13);
    if (!missing.empty()) GTEST_SKIP() << missing;
    Migration move{options_for({14, 13})};
    for (const char* verb : {"check", "start"}) {
        if (std::string{verb} == "start") move.segue().run();
        const CommandResult refused = move.segue().verb({verb});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_NE((refused.out + refused.err).find("PostgreSQL 13 is older than the source's 14"),
                  std::string::npos)
            << refused.out << refused.err;
    }
    EXPECT_EQ(move.target().value(
                  "SELECT count(*) FROM pg_namespace WHERE nspname IN ('segue', 'app')", "shop"),
              "0");
}

TEST(VersionOrder, CheckTellsWhatStatementsMeetInTheTargetsVersion) {
    SEGUE_NEEDS_POSTGRES();
    const std::string missing = missing_for_pair(14, 17);
    if (!missing.empty()) GTEST_SKIP() << missing;
    Migration move{options_for({14, 17})};
    move.source().run(
        "CREATE TABLE audit (i int PRIMARY KEY, system_user text);"
        "CREATE FUNCTION json_value(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION busy() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN pg_is_in_backup(); "
        "END'",
        "shop");
    const CommandResult checked = move.segue().verb({"check"});
    for (const char* wanted : {"public.audit.system_user",
                               "function public.json_value(integer)",
                               "pg_is_in_backup, which the target's version does not have"})
        EXPECT_NE(checked.out.find(wanted), std::string::npos) << wanted << "\n" << checked.out;
}

INSTANTIATE_TEST_SUITE_P(
    Pairs, Versions, testing::ValuesIn(chosen_pairs()), [](const auto& chosen) {
        return std::to_string(chosen.param.source) + "To" + std::to_string(chosen.param.target);
    });

}  // namespace
}  // namespace segue::test
