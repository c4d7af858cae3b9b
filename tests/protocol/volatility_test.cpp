#include "protocol/postgres/volatility.hpp"

#include <gtest/gtest.h>

#include <string>

namespace segue::protocol::postgres {
namespace {

RelationFacts table(std::string schema) {
    RelationFacts facts;
    facts.schema = std::move(schema);
    facts.table = true;
    return facts;
}

RelationFacts view(std::string definition) {
    RelationFacts facts;
    facts.schema = "public";
    facts.view = true;
    facts.hidden.push_back(classify(definition));
    return facts;
}

ReadCatalog catalog() {
    ReadCatalog result;
    const auto add =
        [&](const char* name, Volatility worst, bool built_in, bool takes_row = false) {
            result.functions[name] = {worst, built_in, takes_row};
        };
    add("count", Volatility::immutable_, true);
    add("lower", Volatility::immutable_, true);
    add("now", Volatility::stable, true);
    add("nextval", Volatility::volatile_, true);
    add("set_config", Volatility::volatile_, true);
    add("random", Volatility::volatile_, true);
    add("pg_advisory_lock", Volatility::volatile_, true);
    add("pure", Volatility::immutable_, false);
    add("lookup", Volatility::stable, false);
    add("writes", Volatility::volatile_, false, true);
    add("label", Volatility::immutable_, false, true);
    add("random_of_ours", Volatility::volatile_, false);
    result.relations["t"] = {table("public")};
    result.relations["twice"] = {table("public"), RelationFacts{"other", false, false, {}, {}}};
    result.relations["s"] = {RelationFacts{"public", false, false, {}, {}}};
    result.relations["v"] = {view("SELECT * FROM t")};
    result.relations["v_of_v"] = {view("SELECT count(*) FROM v")};
    result.relations["v_writes"] = {view("SELECT writes(t) FROM t")};
    result.relations["v_of_writes"] = {view("SELECT * FROM v_writes")};
    result.relations["v_now"] = {view("SELECT now()")};
    result.relations["v_of_itself"] = {view("SELECT * FROM v_of_itself")};
    result.relations["keyed"] = {table("public")};
    result.relations["keyed"].front().unique_keys = {{"a", "b"}, {"id"}};
    result.volatile_operators = {"<!>"};
    result.volatile_types = {"checked"};
    result.functions_change_session = false;
    return result;
}

TEST(Volatility, OnlyWhatIsKnownToBeHarmlessRunsOnTheFollower) {
    const ReadCatalog facts = catalog();
    for (const char* text : {"SELECT 1",
                             "SELECT count(*) FROM t",
                             "SELECT * FROM public.t",
                             "SELECT now() FROM t",
                             "SELECT random()",
                             "SELECT pure(1), lookup(2)",
                             "SELECT * FROM v",
                             "SELECT * FROM v_of_v",
                             "SELECT t.label FROM t",
                             "WITH w AS (SELECT 1) SELECT * FROM w",
                             "SELECT * FROM public.twice",
                             "SELECT a = b FROM t",
                             "SELECT t.missing FROM t"}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(judge(classify(text), facts).follower) << judge(classify(text), facts).why;
    }
    for (const char* text : {"SELECT nextval('x')",
                             "SELECT writes(1)",
                             "SELECT unknown_function(1)",
                             "SELECT * FROM unknown_relation",
                             "SELECT set_config('a', 'b', false)",
                             "SELECT pg_advisory_lock(1)",
                             "SELECT random_of_ours()",
                             "SELECT * FROM s",
                             "SELECT * FROM twice",
                             "SELECT * FROM other.twice",
                             "SELECT * FROM missing.t",
                             "SELECT * FROM v_writes",
                             "SELECT * FROM v_of_writes",
                             "SELECT * FROM v_of_itself",
                             "SELECT t.writes FROM t",
                             "SELECT a <!> b FROM t",
                             "SELECT 1::checked",
                             "SELECT (SELECT writes(1))",
                             "SELECT ctid FROM t",
                             "WITH s AS (SELECT 1) SELECT * FROM s",
                             "SELECT * FROM t FOR UPDATE",
                             "UPDATE t SET v = 1",
                             "BEGIN",
                             ""}) {
        SCOPED_TRACE(text);
        const Judgement judgement = judge(classify(text), facts);
        EXPECT_FALSE(judgement.follower);
        EXPECT_FALSE(judgement.comparable);
        EXPECT_FALSE(judgement.why.empty());
    }
    ReadCatalog hidden = facts;
    hidden.hidden_calls = true;
    EXPECT_FALSE(judge(classify("SELECT 1"), hidden).follower);
    EXPECT_FALSE(
        judge(classify("SELECT count(*)"), ReadCatalog{}).follower);  // Nothing is known yet.
}

TEST(Volatility, ComparesOnlyWhatDoesNotChangeBetweenCalls) {
    const ReadCatalog facts = catalog();
    for (const char* text : {"SELECT count(*), lower(a) FROM t",
                             "SELECT pure(1)",
                             "SELECT * FROM v_of_v",
                             "SELECT id, a FROM keyed ORDER BY id LIMIT 3",
                             "SELECT * FROM keyed ORDER BY a, c, b LIMIT 3"}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(judge(classify(text), facts).comparable) << judge(classify(text), facts).why;
    }
    for (const char* text : {"SELECT now()",
                             "SELECT lookup(1)",
                             "SELECT random()",
                             "SELECT * FROM v_now",
                             "SELECT * FROM t LIMIT 1",
                             "SELECT id, a FROM keyed ORDER BY a LIMIT 3",
                             "SELECT id, a FROM t ORDER BY id LIMIT 3"}) {
        SCOPED_TRACE(text);
        const Judgement judgement = judge(classify(text), facts);
        EXPECT_TRUE(judgement.follower) << judgement.why;
        EXPECT_FALSE(judgement.comparable);
        EXPECT_FALSE(judgement.why.empty());
    }
}

TEST(Volatility, KnowsWhatMayChangeWhatLaterReadsMean) {
    ReadCatalog facts = catalog();
    for (const char* text : {"SET a = b",
                             "SELECT set_config('a', 'b', false)",
                             "CREATE TEMP TABLE x ()",
                             "DO 'x'",
                             "CALL p()",
                             "SELECT unknown_function(1)",
                             "UPDATE t SET a = set_config('a', 'b', false)",
                             "SELECT 1; SET a = b",
                             "DISCARD ALL",
                             "ALTER TABLE t ADD c int",
                             "SELECT * INTO x FROM t",
                             "not sql"}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(changes_session(classify(text), facts));
    }
    for (const char* text : {"SELECT count(*) FROM t",
                             "UPDATE t SET a = 1",
                             "INSERT INTO t VALUES (nextval('x'))",
                             "BEGIN",
                             "COMMIT",
                             "SHOW search_path",
                             "SELECT writes(1)",
                             ""}) {
        SCOPED_TRACE(text);
        EXPECT_FALSE(changes_session(classify(text), facts));
    }
    facts.functions_change_session = true;
    for (const char* text : {"UPDATE t SET a = 1", "SELECT writes(1)", "DELETE FROM t"}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(changes_session(classify(text), facts));
    }
    EXPECT_FALSE(changes_session(classify("SELECT count(*) FROM t"), facts));
}

}  // namespace
}  // namespace segue::protocol::postgres
