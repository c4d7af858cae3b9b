#include "backfill/postgres/volatility_catalog.hpp"

#include <gtest/gtest.h>

#include "protocol/postgres/classify.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using protocol::postgres::classify;
using protocol::postgres::judge;
using test::Databases;

constexpr const char* schema = R"sql(
    CREATE TABLE t (id int PRIMARY KEY, a text, b int NOT NULL, UNIQUE (a), UNIQUE (b, id));
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parent (id int); CREATE UNLOGGED TABLE kept (id int);
    CREATE TABLE with_odd_child (id int); CREATE UNLOGGED TABLE odd_child () INHERITS (with_odd_child);
    CREATE TABLE left_out (id int); CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;
    CREATE FUNCTION pure(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION careless(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION label(t) RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''s''); RETURN 1; END';
    CREATE FUNCTION twofold(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION twofold(text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE collect(int) (SFUNC = int4pl, STYPE = int);
    CREATE VIEW plain AS SELECT id, a FROM t;
    CREATE VIEW on_plain AS SELECT count(*) FROM plain;
    CREATE VIEW writing AS SELECT nextval('s');
    CREATE VIEW on_writing AS SELECT * FROM writing;
    CREATE VIEW of_catalog AS SELECT relname FROM pg_class;
    CREATE TABLE guarded (id int, tenant text); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded USING (tenant = current_setting('my.tenant'));
    CREATE TABLE guarded_badly (id int); ALTER TABLE guarded_badly ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded_badly USING (careless(id) > 0);
    CREATE FUNCTION loose(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE OPERATOR <!> (LEFTARG = int, RIGHTARG = int, FUNCTION = loose);
    CREATE DOMAIN fine AS int CHECK (VALUE > 0);
    CREATE DOMAIN checked AS int CHECK (careless(VALUE) > 0);
)sql";

TEST(VolatilityCatalog, TellsReadsFromWhatOnlyLooksLikeThem) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, schema);
    Connection connection = databases.open(Side::source);
    const auto loaded = load_read_catalog(connection, {"public.left_out"});
    ASSERT_TRUE(loaded) << loaded.error().detail;
    for (const char* text :
         {"SELECT a, count(*), lower(a) FROM t GROUP BY a",
          "SELECT pure(1)",
          "SELECT * FROM parts",
          "SELECT * FROM part",
          "SELECT * FROM plain",
          "SELECT * FROM on_plain",
          "SELECT * FROM public.t",
          "SELECT * FROM guarded",
          "SELECT 1::fine",
          "SELECT a || 'x' FROM t WHERE a LIKE 'y%' AND b BETWEEN 1 AND 2 ORDER BY a COLLATE \"C\"",
          "SELECT t.a FROM t",
          "SELECT extract(year FROM now()), date_trunc('day', now()), to_char(now(), 'YYYY')",
          "SELECT collect(b) FROM t",
          "SELECT now() AT TIME ZONE 'UTC', trim(' x '), substring('abc' FROM 2), overlay('ab' "
          "PLACING 'x' FROM 1)",
          "SELECT jsonb_build_object('a', 1) -> 'a', array_length(ARRAY[1], 1), generate_series(1, "
          "3)"}) {
        SCOPED_TRACE(text);
        const auto judgement = judge(classify(text), loaded->catalog);
        EXPECT_TRUE(judgement.follower) << judgement.why;
    }
    for (const char* text : {"SELECT nextval('s')",
                             "SELECT setval('s', 1)",
                             "SELECT careless(1)",
                             "SELECT twofold(1)",
                             "SELECT label(t) FROM t",
                             "SELECT t.label FROM t",
                             "SELECT * FROM kept",
                             "SELECT * FROM with_odd_child",
                             "SELECT * FROM left_out",
                             "SELECT * FROM s",
                             "SELECT * FROM m",
                             "SELECT * FROM writing",
                             "SELECT * FROM on_writing",
                             "SELECT * FROM of_catalog",
                             "SELECT * FROM guarded_badly",
                             "SELECT 1 <!> 2",
                             "SELECT 1::checked",
                             "SELECT pg_notify('a', 'b')",
                             "SELECT pg_advisory_xact_lock(1)",
                             "SELECT set_config('a.b', 'c', false)",
                             "SELECT lo_create(1)",
                             "SELECT pg_logical_emit_message(false, 'a', 'b')",
                             "SELECT pg_switch_wal()",
                             "SELECT query_to_xml('x', true, true, '')",
                             "SELECT * FROM missing",
                             "SELECT missing(1)",
                             "SELECT currval('s')",
                             "SELECT lastval()",
                             "SELECT setseed(0.5)"}) {
        SCOPED_TRACE(text);
        EXPECT_FALSE(judge(classify(text), loaded->catalog).follower);
    }
    EXPECT_TRUE(
        judge(classify("SELECT id, a FROM t ORDER BY id LIMIT 2"), loaded->catalog).comparable);
    EXPECT_TRUE(
        judge(classify("SELECT * FROM t ORDER BY b, id LIMIT 2"), loaded->catalog).comparable);
    EXPECT_FALSE(judge(classify("SELECT * FROM t ORDER BY a LIMIT 2"), loaded->catalog)
                     .comparable);  // NULLs repeat.
    EXPECT_FALSE(judge(classify("SELECT * FROM t ORDER BY b LIMIT 2"), loaded->catalog).comparable);
    EXPECT_FALSE(judge(classify("SELECT collect(b) FROM t"), loaded->catalog).comparable);
    EXPECT_FALSE(loaded->catalog.functions_change_session);
}

TEST(VolatilityCatalog, NoticesWhatChangesAndWhatMayChangeASession) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, "CREATE TABLE t (id int)");
    Connection connection = databases.open(Side::source);
    const auto before = load_read_catalog(connection, {});
    const auto again = load_read_catalog(connection, {});
    ASSERT_TRUE(before && again);
    EXPECT_EQ(before->mark, again->mark);
    EXPECT_FALSE(before->catalog.hidden_calls);
    EXPECT_FALSE(before->catalog.functions_change_session);
    databases.run(Side::source, R"sql(
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM set_config(''a.b'', ''c'', false); RETURN NEW; END';
        CREATE TYPE pair AS (x int, y int);
        CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS 'SELECT ROW($1, $1)::pair';
        CREATE CAST (int AS pair) WITH FUNCTION to_pair(int) AS IMPLICIT)sql");
    const auto after = load_read_catalog(connection, {});
    ASSERT_TRUE(after);
    EXPECT_NE(before->mark, after->mark);
    EXPECT_TRUE(after->catalog.hidden_calls);
    EXPECT_TRUE(after->catalog.functions_change_session);
}

}  // namespace
}  // namespace segue::backfill::postgres
