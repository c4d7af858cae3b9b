#include "backfill/preflight.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "backfill/change_steps.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/backfill/preflight_support.hpp"

namespace segue::backfill {
namespace {

using test::Databases;
using test::settings_of;
using Coded = std::set<std::pair<std::string, std::string>>;  // (code, object)

Coded coded(const ServerSettings& settings, Severity severity) {
    const auto findings = postgres_preflight(settings);
    EXPECT_TRUE(findings);
    Coded result;
    for (const Finding& finding : *findings) {
        EXPECT_FALSE(finding.reason.empty()) << finding.code.name();
        // The tests' servers do not wait for their disks, and their own sessions may still be
        // going.
        if (finding.code == "durability" || finding.code == "target_session") continue;
        if (finding.severity == severity) result.emplace(finding.code.name(), finding.object);
    }
    return result;
}

constexpr const char* healthy = R"sql(
    CREATE TABLE orders (id bigserial PRIMARY KEY, note text, total numeric DEFAULT 0);
    CREATE TABLE lines (o bigint REFERENCES orders, n int, doubled int GENERATED ALWAYS AS (n * 2) STORED,
                        PRIMARY KEY (o, n));
    CREATE TABLE facts (k int, at date) PARTITION BY RANGE (k);
    CREATE TABLE facts_1 PARTITION OF facts (PRIMARY KEY (k)) FOR VALUES FROM (0) TO (10);
    CREATE TABLE keyless (a int, b text);
    CREATE VIEW totals AS SELECT sum(total) FROM orders;
    INSERT INTO orders (note) VALUES ('a'))sql";

TEST(Preflight, FindsNothingWrongWithAHealthyPair) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    EXPECT_EQ(coded(settings_of(databases), Severity::fail), Coded{});
    EXPECT_EQ(coded(settings_of(databases), Severity::warn), Coded{});
}

TEST(Preflight, NamesEveryObjectThatCannotBeMovedExactly) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    databases.run(Side::source, R"sql(
        CREATE TABLE mute (i int PRIMARY KEY); ALTER TABLE mute REPLICA IDENTITY NOTHING;
        CREATE UNLOGGED TABLE cache (i int PRIMARY KEY);
        CREATE TABLE versions (i int PRIMARY KEY, seen xid);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE orders ENABLE ALWAYS TRIGGER t;
        CREATE RULE r AS ON DELETE TO lines DO ALSO NOTHING; ALTER TABLE lines ENABLE REPLICA RULE r;
        SELECT lo_create(0))sql");
    databases.run(Side::target, R"sql(
        CREATE TABLE orders (id bigint NOT NULL, note text, total numeric);
        CREATE TABLE lines (o int PRIMARY KEY);
        CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1))sql");
    EXPECT_EQ(coded(settings_of(databases), Severity::fail),
              (Coded{{"identity_nothing", "source: public.mute"},
                     {"unlogged_table", "source: public.cache"},
                     {"transaction_id_column", "source: public.versions"},
                     {"replica_trigger", "source: public.orders"},
                     {"replica_rule", "source: public.lines"},
                     {"large_objects", "source: large objects"},
                     {"table_different", "target: public.lines"},
                     {"table_different", "target: public.orders"},  // Without the defaults.
                     {"table_not_empty", "target: public.keyless"}}));
    ServerSettings excluding = settings_of(databases);
    excluding.exclude = {"public.cache", "public.versions", "public.keyless"};
    const Coded fails = coded(excluding, Severity::fail);
    EXPECT_FALSE(fails.contains({"unlogged_table", "source: public.cache"}));
    EXPECT_FALSE(fails.contains({"transaction_id_column", "source: public.versions"}));
    EXPECT_FALSE(fails.contains({"table_not_empty", "target: public.keyless"}));
    EXPECT_EQ(
        std::count_if(
            fails.begin(), fails.end(), [](const auto& f) { return f.first == "exclude_unknown"; }),
        0);
    excluding.exclude.push_back("public.Cache");
    EXPECT_TRUE(
        coded(excluding, Severity::fail).contains({"exclude_unknown", "source: public.Cache"}));
}

TEST(Preflight, RefusesTablesWithoutAKeyWhenToldTo) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    ServerSettings settings = settings_of(databases);
    EXPECT_TRUE(
        coded(settings, Severity::information).contains({"without_key", "source: public.keyless"}));
    settings.full_identity_without_key = false;
    EXPECT_EQ(coded(settings, Severity::fail), (Coded{{"without_key", "source: public.keyless"}}));
}

TEST(Preflight, RefusesAKeyThatIsNotInTheStreamAndTakesAnotherIdentity) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE doubled (a int NOT NULL, g int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY);
        CREATE TABLE partly (a int, g int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (a, g));
        ALTER TABLE partly REPLICA IDENTITY FULL;
        CREATE TABLE beside (a int PRIMARY KEY, g int GENERATED ALWAYS AS (a * 2) STORED UNIQUE);
        CREATE TABLE carried (a int, g int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (a) INCLUDE (g)))sql");
    EXPECT_EQ(coded(settings_of(databases), Severity::fail),
              (Coded{{"generated_key", "source: public.doubled"},
                     {"generated_key", "source: public.partly"}}));
    databases.run(Side::source, R"sql(
        CREATE UNIQUE INDEX other ON doubled (a); ALTER TABLE doubled REPLICA IDENTITY USING INDEX other;
        DROP TABLE partly)sql");
    EXPECT_EQ(coded(settings_of(databases), Severity::fail), Coded{});
}

TEST(Preflight, ComparesWhatTheDatabasesWereMadeWith) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    const std::string ours = " WHERE datname = current_database()";
    databases.run(Side::source, "UPDATE pg_database SET datctype = 'C.UTF-8'" + ours);
    databases.run(Side::target,
                  "UPDATE pg_database SET datctype = 'C.utf8', datconnlimit = 1000" + ours);
    const Coded limit = {
        {"max_connections",
         "target: database " + databases.value(Side::target, "SELECT current_database()")}};
    EXPECT_EQ(coded(settings_of(databases), Severity::warn), limit);
    databases.run(Side::target, "UPDATE pg_database SET datctype = 'C', datconnlimit = -1" + ours);
    EXPECT_EQ(coded(settings_of(databases), Severity::warn), (Coded{{"collation", "target"}}));
}

// A key that names no row is none, and a table that inherits one has none.
TEST(Preflight, SaysWhyATableHasNoKeyAndWhatWouldBeOne) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE late (id int, "At" date, PRIMARY KEY (id, "At") DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE later (id int UNIQUE DEFERRABLE);
        CREATE TABLE nearly (id int NOT NULL, CONSTRAINT one UNIQUE (id));
        CREATE TABLE nulls (id int UNIQUE);
        CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent))sql");
    const auto findings = postgres_preflight(settings_of(databases));
    ASSERT_TRUE(findings);
    std::map<std::string, std::string> said;
    for (const Finding& finding : *findings) {
        if (finding.code == "without_key")
            said[finding.object.substr(finding.object.find('.') + 1)] =
                finding.reason.substr(0, finding.reason.find(": REPLICA")) + " | " +
                finding.remedy.substr(0, finding.remedy.find("  --"));
    }
    const std::string deferrable = " is DEFERRABLE, and PostgreSQL names no row by such a one | ";
    EXPECT_EQ(
        said,
        (std::map<std::string, std::string>{
            {"late",
             "its primary key" + deferrable +
                 "ALTER TABLE public.late DROP CONSTRAINT late_pkey, ADD PRIMARY KEY (id, "
                 "\"At\");"},
            {"later",
             "its unique key" + deferrable +
                 "ALTER TABLE public.later DROP CONSTRAINT later_id_key, ADD PRIMARY KEY (id);"},
            {"nearly",
             "no primary key | ALTER TABLE public.nearly REPLICA IDENTITY USING INDEX one;"},
            {"nulls", "no primary key | ALTER TABLE \"public\".\"nulls\" ADD PRIMARY KEY (...);"},
            {"child",
             "no primary key of its own, and those of the tables that it inherits from say "
             "nothing of its rows | ALTER TABLE public.child ADD PRIMARY KEY (...);"}}));
}

TEST(Preflight, TellsThatTypesHaveOtherOidsOnTheTarget) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    const ServerSettings settings = settings_of(databases);
    const std::pair<std::string, std::string> told{"type_oids", "target"};
    EXPECT_FALSE(coded(settings, Severity::information).contains(told))
        << "tables alone have no types to speak of";
    databases.run(Side::source, "CREATE TYPE mood AS ENUM (); CREATE DOMAIN level AS int");
    EXPECT_TRUE(coded(settings, Severity::information).contains(told)) << "they will have";
    databases.run(
        Side::target,
        "CREATE TYPE junk AS ENUM (); CREATE TYPE mood AS ENUM (); CREATE DOMAIN level AS int");
    EXPECT_TRUE(coded(settings, Severity::information).contains(told)) << "they have";
}

TEST(Preflight, SaysWhatAnUnprivilegedRoleLacks) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    ServerSettings settings = settings_of(databases);
    for (const Side side : {Side::source, Side::target}) {
        databases.run(side, "CREATE ROLE mover_to_be LOGIN");
        settings.url[index(side)] = databases.url(side, "mover_to_be");
    }
    const std::string setting =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', "
        "current_database()); END $$";
    databases.run(Side::source, setting);
    const Coded fails = coded(settings, Severity::fail);
    EXPECT_TRUE(fails.contains({"role_replication", "source: role mover_to_be"}));
    EXPECT_TRUE(fails.contains({"role_replication", "target: role mover_to_be"}));
    EXPECT_TRUE(fails.contains({"role_create", "target: role mover_to_be"}));
    EXPECT_TRUE(fails.contains({"role_owner", "source: role mover_to_be"}));
    EXPECT_TRUE(fails.contains({"replica_role", "target"}));
    EXPECT_TRUE(fails.contains({"role_createrole", "target"}));
    EXPECT_TRUE(fails.contains({"database_setting", "target"}));
    databases.run(Side::target, setting);
    EXPECT_FALSE(coded(settings, Severity::fail).contains({"database_setting", "target"}));
    for (const Side side : {Side::source, Side::target})
        databases.run(side, "DROP ROLE mover_to_be");
}

TEST(Preflight, SaysWhichSideDoesNotAnswerAndWhatToDo) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, healthy);
    ServerSettings settings = settings_of(databases);
    settings.url[1] = "postgresql://127.0.0.1:1/nowhere";
    const auto findings = postgres_preflight(settings);
    ASSERT_TRUE(findings);
    ASSERT_FALSE(findings->empty());
    EXPECT_EQ(findings->front().code.name(), "connect");
    EXPECT_EQ(findings->front().object, "target");
    EXPECT_NE(findings->front().remedy.find("start the server"), std::string::npos);
    settings.url[1] = databases.url(Side::target) + "?sslmode=verify-full";
    const auto without_tls = postgres_preflight(settings);
    ASSERT_TRUE(without_tls);
    EXPECT_NE(without_tls->front().remedy.find("ssl = on"), std::string::npos)
        << without_tls->front().reason;
}

TEST(Preflight, NamesRowsThatExtensionsKeep) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE EXTENSION hstore; CREATE TABLE job (i int PRIMARY KEY, ours bool); CREATE TABLE quiet (i int PRIMARY KEY);
        ALTER EXTENSION hstore ADD TABLE job; ALTER EXTENSION hstore ADD TABLE quiet;
        UPDATE pg_extension SET extconfig = ARRAY['job'::regclass, 'quiet'::regclass]::oid[],
               extcondition = ARRAY['WHERE ours', ''] WHERE extname = 'hstore';
        INSERT INTO job VALUES (1, false))sql");
    const auto named = [&] {
        std::set<std::string> objects;
        for (const auto& [code, object] : coded(settings_of(databases), Severity::warn))
            if (code == "extension_data") objects.insert(object);
        return objects;
    };
    EXPECT_EQ(named(), std::set<std::string>{});
    databases.run(Side::source, "INSERT INTO job VALUES (2, true)");
    EXPECT_EQ(named(), std::set<std::string>{"source: public.job"});
}

}  // namespace
}  // namespace segue::backfill
