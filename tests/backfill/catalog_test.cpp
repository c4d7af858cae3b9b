#include "backfill/postgres/catalog.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tests/backfill/databases.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

std::map<std::string, Table> tables_of(const Databases& databases,
                                       const std::vector<std::string>& exclude = {}) {
    Connection connection = databases.open(Side::source);
    const auto tables = read_tables(connection, exclude);
    EXPECT_TRUE(tables) << tables.error().detail;
    std::map<std::string, Table> by_name;
    if (tables) {
        for (const Table& table : *tables) by_name.emplace(table.plain_name(), table);
    }
    return by_name;
}

TEST(PostgresCatalog, ReadsEveryRelationWithRowsOfItsOwnAndNothingElse) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE SCHEMA segue; CREATE TABLE segue.ours (i int);
        CREATE SCHEMA "Odd.Name";
        CREATE TABLE "Odd.Name"."t ""q""" (i int PRIMARY KEY);
        CREATE TABLE p (i int, k int, PRIMARY KEY (k, i)) PARTITION BY RANGE (i);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (k);
        CREATE TABLE p2a PARTITION OF p2 DEFAULT;
        CREATE TABLE parent (i int); CREATE TABLE child (j int) INHERITS (parent);
        CREATE UNLOGGED TABLE u (i int); CREATE VIEW v AS SELECT 1;
        CREATE MATERIALIZED VIEW m AS SELECT 1)sql");
    const auto tables = tables_of(databases);
    std::vector<std::string> names;
    for (const auto& [name, table] : tables) names.push_back(name);
    EXPECT_EQ(names,
              (std::vector<std::string>{
                  "Odd.Name.t \"q\"", "public.child", "public.p1", "public.p2a", "public.parent"}));
    EXPECT_TRUE(tables.at("public.p2a").is_partition);
    EXPECT_FALSE(tables.at("public.child").is_partition);
    EXPECT_EQ(tables.at("public.p2a").key, (std::vector<int>{1, 0}));

    EXPECT_EQ(tables_of(databases, {"public.p2", "public.child"}).size(), 3u);
}

TEST(PostgresCatalog, NamesTheKeyThatTheStreamCarries) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE by_primary (a int, b text, PRIMARY KEY (b, a));
        CREATE TABLE by_index (a int PRIMARY KEY, b int NOT NULL UNIQUE);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b_key;
        CREATE TABLE without (a int);
        CREATE TABLE deferred (a int PRIMARY KEY DEFERRABLE);
        CREATE TABLE whole (a int PRIMARY KEY); ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE included (a int, b int, PRIMARY KEY (a) INCLUDE (b));
        CREATE TABLE none (a int PRIMARY KEY); ALTER TABLE none REPLICA IDENTITY NOTHING;
        ALTER TABLE by_primary DROP COLUMN IF EXISTS c)sql");
    const auto tables = tables_of(databases);
    const auto expect = [&](const std::string& name, std::vector<int> key, Identity identity) {
        SCOPED_TRACE(name);
        EXPECT_EQ(tables.at("public." + name).key, key);
        EXPECT_EQ(tables.at("public." + name).identity, identity);
    };
    expect("by_primary", {1, 0}, Identity::primary_key);
    expect("by_index", {1}, Identity::index);
    expect("without", {}, Identity::nothing);
    expect("deferred", {}, Identity::nothing);
    expect("whole", {0}, Identity::full);
    expect("included", {0}, Identity::primary_key);
    expect("none", {0}, Identity::nothing);
    EXPECT_EQ(tables.at("public.by_index").identity_index, "by_index_b_key");
}

TEST(PostgresCatalog, TellsWhatAColumnNeeds) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TABLE t (gone int, a int GENERATED ALWAYS AS IDENTITY, b numeric(10, 2) NOT NULL,
                        c text COLLATE "C", d text COLLATE "en-x-icu", m mood,
                        g int GENERATED ALWAYS AS (length(c)) STORED);
        ALTER TABLE t DROP COLUMN gone)sql");
    const auto tables = tables_of(databases);
    const auto& columns = tables.at("public.t").columns;
    ASSERT_EQ(columns.size(), 6u);
    EXPECT_EQ(columns[0].number, 2);
    EXPECT_TRUE(columns[0].identity_always && columns[0].not_null);
    EXPECT_EQ(columns[1].type, "numeric(10,2)");
    EXPECT_TRUE(columns[2].collation_c);
    EXPECT_FALSE(columns[3].collation_c);
    EXPECT_EQ(columns[4].type, "public.mood");
    EXPECT_TRUE(columns[5].generated);
}

TEST(PostgresCatalog, ReadsThousandsOfTables) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    for (int batch = 0; batch < 4; ++batch) {  // A transaction holds a lock for each table.
        databases.run(Side::source,
                      "DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE t%s_" +
                          std::to_string(batch) +
                          " (a bigint PRIMARY KEY, b text)', i); END LOOP; END $$");
    }
    EXPECT_EQ(tables_of(databases).size(), 2000u);
}

// Whoever has asked for a short one relies on it not to be in the way of others.
TEST(PostgresCatalog, LeavesTheConnectionsLimitAsItWas) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, "CREATE TABLE t (a int PRIMARY KEY)");
    test::Sql holder{databases.url(Side::source)};
    Connection connection = databases.open(Side::source);
    const auto limit = [&] { return connection.execute("SHOW lock_timeout")->text(0, 0); };
    ASSERT_TRUE(connection.execute("SET lock_timeout = '70ms'"));
    for (const char* const lock : {"SELECT", "BEGIN; LOCK TABLE t"}) {
        SCOPED_TRACE(lock);
        holder.query(lock);
        EXPECT_TRUE(read_tables(connection, {}));
        EXPECT_EQ(limit(), "70ms");
        ASSERT_TRUE(connection.execute("BEGIN; SET LOCAL lock_timeout = '90ms'"));
        EXPECT_TRUE(read_tables(connection, {}));
        EXPECT_EQ(limit(), "90ms");
        ASSERT_TRUE(connection.execute("COMMIT"));
        EXPECT_EQ(limit(), "70ms");
    }
}

TEST(PostgresCatalog, ReadsTheStateOfSequences) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE SEQUENCE unused START 7; CREATE SEQUENCE used; SELECT nextval('used');
        CREATE SEQUENCE down INCREMENT -5 MINVALUE -100 MAXVALUE 100 START 50 CACHE 3 CYCLE;
        SELECT setval('down', 20, false);
        CREATE TABLE t (i serial))sql");
    Connection connection = databases.open(Side::source);
    const auto sequences = read_sequences(connection);
    ASSERT_TRUE(sequences) << sequences.error().detail;
    ASSERT_EQ(sequences->size(), 4u);
    const Sequence& down = (*sequences)[0];
    EXPECT_EQ(down.name, "down");
    EXPECT_EQ(down.last_value, 20);
    EXPECT_EQ(down.increment, -5);
    EXPECT_EQ(down.min_value, -100);
    EXPECT_EQ(down.cache, 3);
    EXPECT_TRUE(down.cycle);
    EXPECT_FALSE(down.is_called);
    EXPECT_EQ((*sequences)[2].last_value, 7);
    EXPECT_FALSE((*sequences)[2].is_called);
    EXPECT_TRUE((*sequences)[3].is_called);
}

}  // namespace
}  // namespace segue::backfill::postgres
