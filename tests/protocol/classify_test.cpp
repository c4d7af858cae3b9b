#include "protocol/postgres/classify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <thread>
#include <vector>

namespace segue::protocol::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Every form that writes, locks, notifies or changes the session, and every form we do not know.
constexpr const char* not_reads[] = {
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t SELECT * FROM u",
    "INSERT INTO t DEFAULT VALUES RETURNING id",
    "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
    "UPDATE t SET v = 1",
    "UPDATE t SET (a, b) = (SELECT 1, 2)",
    "DELETE FROM t WHERE id = 1",
    "DELETE FROM t USING u WHERE t.id = u.id",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET v = 1 WHEN NOT MATCHED THEN "
    "INSERT VALUES (1)",
    "TRUNCATE t",
    "WITH w AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM w",
    "WITH w AS (UPDATE t SET v = 1 RETURNING *) SELECT count(*) FROM w",
    "WITH w AS (DELETE FROM t RETURNING *) SELECT 1",
    "SELECT * FROM (WITH w AS (SELECT 1 FOR UPDATE) SELECT * FROM w) s",
    "SELECT * INTO u FROM t",
    "SELECT * INTO TEMP u FROM t",
    "CREATE TABLE u AS SELECT * FROM t",
    "CREATE TEMP TABLE u (id int)",
    "CREATE MATERIALIZED VIEW m AS SELECT 1",
    "REFRESH MATERIALIZED VIEW m",
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "SELECT * FROM t FOR SHARE",
    "SELECT * FROM t FOR KEY SHARE SKIP LOCKED",
    "SELECT * FROM (SELECT * FROM t FOR UPDATE) s",
    "SELECT (SELECT id FROM t LIMIT 1 FOR SHARE)",
    "SELECT 1 UNION ALL (SELECT id FROM t FOR UPDATE)",
    "SELECT * FROM t WHERE id IN (SELECT id FROM u FOR UPDATE)",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (ANALYZE) UPDATE t SET v = 1",
    "COPY t FROM STDIN",
    "COPY t TO STDOUT",
    "COPY (SELECT 1) TO STDOUT",
    "COPY t TO PROGRAM 'cat'",
    "CALL p()",
    "DO $$ BEGIN PERFORM 1; END $$",
    "PREPARE s AS SELECT 1",
    "EXECUTE s",
    "DEALLOCATE s",
    "DEALLOCATE ALL",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "FETCH ALL FROM c",
    "MOVE ALL IN c",
    "CLOSE c",
    "SET search_path = x",
    "SET LOCAL search_path = x",
    "SET SESSION AUTHORIZATION bob",
    "SET ROLE bob",
    "RESET ALL",
    "RESET search_path",
    "SHOW search_path",
    "SET TRANSACTION READ WRITE",
    "SET CONSTRAINTS ALL DEFERRED",
    "DISCARD ALL",
    "LISTEN c",
    "UNLISTEN *",
    "NOTIFY c, 'x'",
    "LOCK TABLE t IN SHARE MODE",
    "BEGIN",
    "BEGIN READ WRITE",
    "START TRANSACTION READ ONLY",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT s",
    "RELEASE s",
    "ROLLBACK TO s",
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "VACUUM t",
    "ANALYZE",
    "CLUSTER t",
    "REINDEX TABLE t",
    "CHECKPOINT",
    "LOAD 'x'",
    "ALTER TABLE t ADD c int",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "ALTER ROLE r SET search_path = x",
    "CREATE INDEX ON t (id)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW v AS SELECT 1",
    "DROP TABLE t",
    "GRANT SELECT ON t TO r",
    "REVOKE SELECT ON t FROM r",
    "COMMENT ON TABLE t IS 'x'",
    "SECURITY LABEL ON TABLE t IS 'x'",
    "REASSIGN OWNED BY a TO b",
    "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO public",
    "SELECT 1; SELECT 2",
    "SELECT 1; UPDATE t SET v = 1",
    "BEGIN; SELECT 1; COMMIT",
    "SELECT 1; COMMIT; SELECT 2",
    "WITH RECURSIVE w AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM w) SEARCH DEPTH FIRST BY n SET "
    "o SELECT * FROM w",
    "SELECT * FROM t WHERE",
    "SELEC 1",
    "\xff\xfe",
    "SELECT 'unterminated",
    "",
    "   -- a comment only",
    ";",
};

TEST(Classify, NoFormThatWritesLocksNotifiesOrChangesTheSessionIsARead) {
    for (const char* text : not_reads) {
        SCOPED_TRACE(text);
        EXPECT_NE(classify(text).kind, StatementKind::read);
    }
}

constexpr const char* reads[] = {
    "SELECT 1",
    "select abalance from pgbench_accounts where aid = $1",
    "SELECT * FROM t;",
    "TABLE t",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT a, count(*) FILTER (WHERE b > 1) FROM t GROUP BY a HAVING count(*) > 1 ORDER BY 1",
    "SELECT a FROM t GROUP BY GROUPING SETS ((a), ()) ",
    "SELECT grouping(a), a FROM t GROUP BY ROLLUP (a)",
    "WITH w AS MATERIALIZED (SELECT 1) SELECT * FROM w",
    "WITH RECURSIVE w AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM w WHERE n < 5) SELECT * FROM w",
    "SELECT * FROM t JOIN u USING (id) LEFT JOIN LATERAL (SELECT 1 FROM x WHERE x.id = t.id) l ON "
    "true",
    "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, COALESCE(a, 0), NULLIF(a, 1), GREATEST(a, 2) FROM "
    "t",
    "SELECT ARRAY[1, 2], ROW(1, 'x'), (t).a, a[1:2], $1::int[], a::numeric(10, 2) COLLATE \"C\" "
    "FROM t",
    "SELECT a IS NULL, b IS NOT TRUE, a BETWEEN 1 AND 2, a LIKE 'x%', a = ANY (ARRAY[1]), a IN (1, "
    "2) FROM t",
    "SELECT EXISTS (SELECT 1 FROM u), (SELECT max(id) FROM u), a = ALL (SELECT id FROM u) FROM t",
    "SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM t WINDOW w AS (ORDER BY d)",
    "SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS g (n, o)",
    "SELECT * FROM ROWS FROM (unnest(ARRAY[1]), unnest(ARRAY[2])) AS x (a, b)",
    "SELECT * FROM json_to_recordset('[]') AS x (a int, b text)",
    "SELECT * FROM t TABLESAMPLE SYSTEM (1)",
    "SELECT xmlelement(name a, xmlattributes(1 AS b)), xmlserialize(CONTENT x AS text) FROM t",
    "SELECT * FROM xmltable('/a' PASSING x COLUMNS b int PATH 'b')",
    "SELECT current_date, current_user, localtimestamp(3), extract(year FROM d), d AT TIME ZONE "
    "'UTC' FROM t",
    "SELECT interval '1' day, B'1', X'ff', 1.5e3, true, null, -1, make_interval(days => 1)",
    "SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 EXCEPT ALL SELECT 4",
    "SELECT DISTINCT a FROM ONLY t ORDER BY a USING < OFFSET 1 ROWS FETCH FIRST 2 ROWS WITH TIES",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
    "/* a; b */ SELECT 1 -- ; UPDATE t SET v = 1",
};

TEST(Classify, KnowsReadsInEveryForm) {
    for (const char* text : reads) {
        SCOPED_TRACE(text);
        const Statement statement = classify(text);
        EXPECT_EQ(statement.kind, StatementKind::read) << statement.why;
        EXPECT_TRUE(statement.names_known);
        EXPECT_FALSE(statement.authority_only) << statement.why;
    }
}

TEST(Classify, TellsTransactionControlAndSessionStateFromWrites) {
    EXPECT_EQ(classify("BEGIN").kind, StatementKind::transaction);
    EXPECT_EQ(classify("rollback to savepoint s").kind, StatementKind::transaction);
    EXPECT_EQ(classify("SET a.b = 'c'").kind, StatementKind::session);
    EXPECT_EQ(classify("SET SESSION a.b = 'c'").kind, StatementKind::session);
    EXPECT_EQ(classify("SET LOCAL a.b = 'c'").kind, StatementKind::transaction);
    EXPECT_EQ(classify("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").kind,
              StatementKind::session);
    EXPECT_EQ(classify("LISTEN c").kind, StatementKind::session);
    EXPECT_EQ(classify("DISCARD ALL").kind, StatementKind::session);
    EXPECT_EQ(classify("CREATE TEMP TABLE t ()").kind, StatementKind::write);
    EXPECT_FALSE(classify("CREATE TEMP TABLE t ()").names_known);
    EXPECT_TRUE(classify("UPDATE t SET v = f(1)").names_known);
    EXPECT_TRUE(classify("SELECT * FROM t FOR UPDATE").names_known);
    EXPECT_TRUE(classify("WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w").names_known);
    EXPECT_EQ(classify(" -- nothing").kind, StatementKind::nothing);
}

TEST(Classify, ListsWhatAReadCallsAndTouches) {
    const Statement statement = classify(
        "WITH w AS (SELECT s.f(1) FROM public.T) SELECT x.label, a @@ b, c::myschema.mytype, "
        "count(*) "
        "FROM \"Quoted\" x, w WHERE now() > (SELECT max(d) FROM u) ORDER BY c USING <<<");
    EXPECT_THAT(statement.functions,
                UnorderedElementsAre(QualifiedName{"s", "f"},
                                     QualifiedName{"", "count"},
                                     QualifiedName{"", "now"},
                                     QualifiedName{"", "max"}));
    EXPECT_THAT(statement.relations,
                UnorderedElementsAre(QualifiedName{"public", "t"},
                                     QualifiedName{"", "Quoted"},
                                     QualifiedName{"", "w"},
                                     QualifiedName{"", "u"}));
    EXPECT_THAT(statement.with_names, ElementsAre("w"));
    EXPECT_THAT(statement.types, ElementsAre(QualifiedName{"myschema", "mytype"}));
    EXPECT_THAT(statement.operators, UnorderedElementsAre("@@", ">", "<<<"));
    EXPECT_THAT(statement.attributes, ElementsAre("label"));
    EXPECT_THAT(classify("UPDATE t SET v = nextval('s')").functions,
                ElementsAre(QualifiedName{"", "nextval"}));
}

TEST(Classify, LeavesToTheAuthorityWhatMeansNothingElsewhere) {
    for (const char* text : {"SELECT ctid FROM t",
                             "SELECT t.xmin FROM t",
                             "SELECT tableoid::int FROM t",
                             "SELECT * FROM pg_class",
                             "SELECT * FROM pg_catalog.pg_class",
                             "SELECT * FROM information_schema.tables",
                             "SELECT * FROM pg_temp.t",
                             "SELECT * FROM segue.control",
                             "SELECT pg_backend_pid()",
                             "SELECT version()",
                             "SELECT txid_current()",
                             "SELECT 't'::regclass",
                             "SELECT 1::oid",
                             "SELECT current_database()",
                             "SELECT current_setting('port')",
                             "SELECT current_setting($1)",
                             "SELECT inet_server_addr()",
                             "SELECT current_catalog",
                             "SELECT (SELECT max(xmax) FROM t)",
                             "SELECT lo_get(1)",
                             "SELECT a FROM t WHERE ctid = '(0,1)'"}) {
        SCOPED_TRACE(text);
        const Statement statement = classify(text);
        EXPECT_EQ(statement.kind, StatementKind::read);
        EXPECT_TRUE(statement.authority_only);
    }
    EXPECT_FALSE(classify("SELECT * FROM t WHERE tenant = current_setting('my.tenant'::text, true)")
                     .authority_only);
}

TEST(Classify, ComparesOnlyWhatTwoExecutionsMustAnswerAlike) {
    for (const char* text : {"SELECT * FROM t LIMIT 1",
                             "SELECT a FROM t ORDER BY b LIMIT 1",
                             "SELECT a FROM t OFFSET 3",
                             "SELECT (SELECT a FROM t LIMIT 1)",
                             "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
                             "SELECT now()",
                             "SELECT * FROM t WHERE d < current_date",
                             "SELECT random()",
                             "SELECT array_agg(a) FROM t",
                             "SELECT string_agg(a, ',') FROM t",
                             "SELECT row_number() OVER (ORDER BY a) FROM t",
                             "SELECT sum(a) OVER (ORDER BY b ROWS UNBOUNDED PRECEDING) FROM t",
                             "SELECT DISTINCT ON (a) a, b FROM t",
                             "SELECT 'now'::timestamptz",
                             "SELECT date ' Today '",
                             "SELECT age(d) FROM t",
                             "SELECT * FROM t FETCH FIRST 1 ROW ONLY"}) {
        SCOPED_TRACE(text);
        const Statement statement = classify(text);
        EXPECT_EQ(statement.kind, StatementKind::read);
        EXPECT_FALSE(statement.comparable);
        EXPECT_FALSE(statement.why.empty());
    }
    for (const char* text : {"SELECT * FROM t",
                             "SELECT a FROM t ORDER BY b",
                             "SELECT a FROM t ORDER BY a LIMIT 1",
                             "SELECT array_agg(a ORDER BY a) FROM t",
                             "SELECT rank() OVER (ORDER BY a) FROM t",
                             "SELECT DISTINCT a FROM t",
                             "SELECT 'nowhere', 'known now-a-days issue of today in a text longer "
                             "than sixty-four characters'"}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(classify(text).comparable) << classify(text).why;
    }
}

TEST(Classify, CallsAnOrderDefinedOnlyWhenTiesCannotBeTold) {
    for (const char* text : {"SELECT a FROM t ORDER BY a",
                             "SELECT a, b FROM t ORDER BY b DESC, a",
                             "SELECT a, b FROM t ORDER BY 2, 1",
                             "SELECT t.a FROM t ORDER BY t.a LIMIT 3",
                             "SELECT a AS x FROM t ORDER BY x",
                             "SELECT a + 1 FROM t ORDER BY 1",
                             "SELECT a, count(*) FROM t GROUP BY a ORDER BY a",
                             "SELECT count(*) AS n, a FROM t GROUP BY a ORDER BY n, a"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(classify(text).order, RowOrder::defined);
    }
    for (const char* text : {"SELECT a FROM t",
                             "SELECT a, b FROM t ORDER BY a",
                             "SELECT * FROM t ORDER BY a",
                             "SELECT * FROM t ORDER BY 1",
                             "SELECT a + 1 FROM t ORDER BY a",
                             "SELECT b AS a, a AS c FROM t ORDER BY a",
                             "SELECT a AS b, b AS a FROM t ORDER BY a",
                             "SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*)",
                             "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(classify(text).order, RowOrder::any);
    }
}

TEST(Classify, NamesTheColumnsThatMayMakeALimitExact) {
    EXPECT_THAT(classify("SELECT id, v FROM t ORDER BY id LIMIT 5").order_columns,
                ElementsAre("id"));
    EXPECT_THAT(classify("SELECT * FROM t ORDER BY a, b LIMIT 5").order_columns,
                ElementsAre("a", "b"));
    EXPECT_THAT(classify("SELECT v AS id FROM t ORDER BY id LIMIT 5").order_columns, IsEmpty());
    EXPECT_THAT(classify("SELECT id, v FROM t, u ORDER BY id LIMIT 5").order_columns, IsEmpty());
    EXPECT_THAT(classify("SELECT id, unnest(v) FROM t ORDER BY id LIMIT 5").order_columns,
                IsEmpty());
    EXPECT_THAT(classify("SELECT id, now() FROM t ORDER BY id LIMIT 5").order_columns, IsEmpty());
}

TEST(Classify, TakesTheDeepTheLongAndTheBinaryForWrites) {
    std::string sum = "SELECT 1", nested = "SELECT ", closing, unions = "SELECT 1";
    for (int i = 0; i < 5000; ++i) sum += "+1";
    for (int i = 0; i < 3000; ++i) nested += "(", closing += ")";
    for (int i = 0; i < 3000; ++i) unions += " UNION ALL SELECT 1";
    EXPECT_EQ(classify(sum).kind, StatementKind::write);
    EXPECT_EQ(classify(unions).kind, StatementKind::write);
    EXPECT_NE(classify(nested + "1" + closing + "; x").kind, StatementKind::read);
    EXPECT_EQ(classify("SELECT '" + std::string(statement_size_max, 'x') + "'").kind,
              StatementKind::write);
    EXPECT_EQ(classify(std::string_view{"SELECT 1\0; DROP TABLE t", 22}).kind,
              StatementKind::write);
    std::string many = "SELECT 1";
    for (std::size_t i = 0; i <= statement_names_max; ++i) many += ",t.c" + std::to_string(i);
    EXPECT_EQ(classify(many).kind, StatementKind::write);
}

// A libpg_query built without DEBUG redirects descriptor 2 of the whole process at every parse,
// through a pipe; such a build must not be used in a program with threads.
TEST(Classify, TheParserOpensNoDescriptors) {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit none = before;
    none.rlim_cur = 3;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const Statement statement = classify("SELECT 1");
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(statement.kind, StatementKind::read) << statement.why;
}

TEST(Classify, WorksOnManyThreadsAtOnce) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([] {
            for (int round = 0; round < 200; ++round) {
                EXPECT_EQ(classify("SELECT a FROM t WHERE id = $1").kind, StatementKind::read);
                EXPECT_EQ(classify("SELECT FROM FROM").kind, StatementKind::write);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace segue::protocol::postgres
