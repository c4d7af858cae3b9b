// By what the rows of a table are named (REPLICA IDENTITY), on both sides, as commands change it.

#include <gmock/gmock.h>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

class DdlIdentity : public test::DdlTest {};

TEST_F(DdlIdentity, NamesRowsByTheirWholeOnTheFollowerToo) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int NOT NULL)"), "");
    EXPECT_EQ(both("CREATE UNIQUE INDEX t_i ON app.t (i)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t REPLICA IDENTITY USING INDEX t_i"), "");
    EXPECT_EQ(both("DROP INDEX app.t_i"), "");
    EXPECT_EQ(on_target("SELECT relreplident FROM pg_class WHERE oid = 'app.t'::regclass"), "f");
}

// Of which the drop of another table says nothing but that it is not all its own.
TEST_F(DdlIdentity, NamesRowsByTheirWholeWhereTheirNameGoesWithAnotherTable) {
    app("CREATE TABLE app.other (i int); CREATE TABLE app.t (id app.other NOT NULL, v int);"
        " CREATE UNIQUE INDEX t_id ON app.t (id);"
        " ALTER TABLE app.t REPLICA IDENTITY USING INDEX t_id; DROP TABLE app.other CASCADE");
    EXPECT_EQ(on_source("SELECT relreplident FROM pg_class WHERE oid = 'app.t'::regclass"), "f");
}

TEST_F(DdlIdentity, NamesRowsByTheKeyThatTheirTableIsGivenLater) {
    const std::string identity =
        "SELECT string_agg(relname || relreplident::text, ' ' ORDER BY relname)"
        " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'app'::regnamespace";
    EXPECT_EQ(both("CREATE TABLE app.t (i int NOT NULL, v int); CREATE TABLE app.u (i int NOT "
                   "NULL, v int)"),
              "");
    EXPECT_EQ(both("CREATE TABLE app.whole (i int PRIMARY KEY, v int) PARTITION BY RANGE (i)"), "");
    EXPECT_EQ(both("CREATE TABLE app.piece (i int NOT NULL, v int); ALTER TABLE app.u REPLICA "
                   "IDENTITY NOTHING"),
              "");
    const std::string by_all = "piecef tf uf";
    EXPECT_EQ(on_source(identity), by_all);
    EXPECT_EQ(on_target(identity), by_all);
    EXPECT_EQ(both("ALTER TABLE app.t ADD PRIMARY KEY (i); CREATE UNIQUE INDEX u_i ON app.u (i)"),
              "");
    EXPECT_EQ(both("ALTER TABLE app.whole ATTACH PARTITION app.piece FOR VALUES FROM (0) TO (10)"),
              "");
    const std::string by_key = "pieced td uf";
    EXPECT_EQ(on_source(identity), by_key);
    EXPECT_EQ(on_target(identity), by_key);
    // What is computed anew can be shown now; the application's own choice stays.
    EXPECT_EQ(both("INSERT INTO app.t VALUES (1, 1); ALTER TABLE app.t ALTER v TYPE text USING "
                   "random()::text"),
              "");
    EXPECT_EQ(both("ALTER TABLE app.t REPLICA IDENTITY FULL; ALTER TABLE app.t ADD COLUMN w int"),
              "");
    EXPECT_EQ(on_source(identity), "pieced tf uf");
}

// Each side would compute its own, and rows would be named by them.
TEST_F(DdlIdentity, NamesNoRowsByAKeyThatTheCommandItselfComputes) {
    EXPECT_EQ(both("CREATE TABLE app.t (v int); INSERT INTO app.t VALUES (1), (2)"), "");
    EXPECT_THAT(both("ALTER TABLE app.t ADD COLUMN id uuid DEFAULT gen_random_uuid() PRIMARY KEY"),
                ::testing::HasSubstr("the table has no key"));
}

// The table had another key, so the stream can tell of its rows; but by values that differ.
TEST_F(DdlIdentity, TakesNoKeyThatEachSideWouldComputeForItself) {
    for (const char* command :
         {"DROP CONSTRAINT t_pkey, ADD COLUMN c uuid DEFAULT gen_random_uuid(), ADD PRIMARY KEY "
          "(c)",
          "DROP CONSTRAINT t_pkey, ADD COLUMN c serial PRIMARY KEY",
          "DROP COLUMN id, ADD COLUMN c bigint GENERATED ALWAYS AS IDENTITY primary key",
          "DROP COLUMN id, ADD COLUMN c int DEFAULT random() * 1e9, ALTER c SET DEFAULT 1,"
          " ADD PRIMARY KEY (c)"}) {
        SCOPED_TRACE(command);
        EXPECT_EQ(both("CREATE TABLE app.t (id int PRIMARY KEY, v int)"), "");
        app("INSERT INTO app.t VALUES (1, 1), (2, 2)");
        follow("INSERT INTO app.t VALUES (1, 1), (2, 2)");
        EXPECT_THAT(
            both("ALTER TABLE app.t " + std::string{command}),
            ::testing::HasSubstr("it computes column c, by which the rows of app.t are named from"
                                 " then on, and each side would compute its own values"));
        EXPECT_EQ(
            on_target("SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.t'::regclass AND"
                      " attname = 'c'"),
            "0");
        EXPECT_EQ(both("DROP TABLE app.t"), "");
    }
    // Where there are no rows, where they have the values already, and where all have the same one.
    EXPECT_EQ(both("CREATE TABLE app.t (id int PRIMARY KEY, v int)"), "");
    EXPECT_EQ(both("ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD COLUMN c serial PRIMARY KEY"),
              "");
    app("INSERT INTO app.t VALUES (1, 1)");
    follow("INSERT INTO app.t VALUES (1, 1)");
    EXPECT_EQ(both("ALTER TABLE app.t ADD COLUMN d uuid DEFAULT gen_random_uuid()"), "");
    EXPECT_EQ(both("ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (d)"), "");
    EXPECT_EQ(
        both("ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD COLUMN e timestamptz DEFAULT now(),"
             " ADD PRIMARY KEY (e)"),
        "");
    EXPECT_EQ(on_target("SELECT e FROM app.t"), on_source("SELECT e FROM app.t"));
}

// Whatever else of the rows the command computes.
TEST_F(DdlIdentity, TakesAKeyWithAConstantOfACommandThatWritesTheRowsAnew) {
    for (const char* command :
         {"ADD COLUMN t int NOT NULL DEFAULT 1, ADD COLUMN tok uuid DEFAULT gen_random_uuid(),"
          " DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (t, id)",
          "ADD COLUMN t int DEFAULT 1, ALTER v TYPE bigint, DROP CONSTRAINT t_pkey,"
          " ADD PRIMARY KEY (t, id)"}) {
        SCOPED_TRACE(command);
        EXPECT_EQ(both("CREATE TABLE app.t (id int PRIMARY KEY, v int)"), "");
        app("INSERT INTO app.t VALUES (1, 1), (2, 2)");
        follow("INSERT INTO app.t VALUES (1, 1), (2, 2)");
        EXPECT_EQ(both("ALTER TABLE app.t " + std::string{command}), "");
        EXPECT_EQ(on_target("SELECT string_agg(t || ' ' || id, ', ' ORDER BY id) FROM app.t"),
                  "1 1, 1 2");
        EXPECT_EQ(both("DROP TABLE app.t"), "");
    }
}

}  // namespace
}  // namespace segue::backfill::postgres
