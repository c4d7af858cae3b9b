#include "protocol/postgres/table_scope.hpp"

#include <gtest/gtest.h>

namespace segue::protocol::postgres {
namespace {

RelationFacts table(const char* schema) {
    RelationFacts facts;
    facts.schema = schema;
    facts.table = true;
    return facts;
}

RelationFacts view(const char* definition) {
    RelationFacts facts;
    facts.schema = "public";
    facts.view = true;
    facts.hidden = {classify(definition)};
    return facts;
}

ReadCatalog catalog() {
    ReadCatalog made;
    made.relations["orders"] = {table("public")};
    made.relations["lines"] = {table("public"), table("archive")};
    made.relations["clients"] = {table("public")};
    made.relations["open_orders"] = {view("SELECT * FROM orders WHERE open")};
    made.relations["who"] = {view("SELECT * FROM open_orders JOIN clients USING (id)")};
    made.functions["sum"] = {Volatility::immutable_, true, false};
    made.functions["total"] = {Volatility::stable, false, true};
    return made;
}

bool covered(const char* text, std::vector<QualifiedName> tables) {
    return reads_only(classify(text), catalog(), tables);
}

TEST(TableScope, AReadOfNothingButTheTablesIsCovered) {
    EXPECT_TRUE(covered("SELECT sum(a) FROM orders", {{"", "orders"}}));
    EXPECT_TRUE(covered("SELECT * FROM public.orders", {{"public", "orders"}}));
    EXPECT_TRUE(covered("SELECT * FROM orders, clients", {{"", "clients"}, {"", "orders"}}));
    EXPECT_FALSE(covered("SELECT * FROM orders, clients", {{"", "orders"}}));
    EXPECT_FALSE(covered("SELECT 1", {{"", "orders"}}));
    EXPECT_FALSE(covered("SELECT * FROM unheard_of", {{"", "unheard_of"}}));
    EXPECT_FALSE(
        covered("SELECT * FROM orders WHERE id IN (SELECT id FROM clients)", {{"", "orders"}}));
}

TEST(TableScope, ANameInSeveralSchemasIsCoveredWhereItIsInEach) {
    EXPECT_FALSE(covered("SELECT * FROM lines", {{"public", "lines"}}));
    EXPECT_TRUE(covered("SELECT * FROM archive.lines", {{"archive", "lines"}}));
    EXPECT_FALSE(covered("SELECT * FROM archive.lines", {{"public", "lines"}}));
    EXPECT_TRUE(covered("SELECT * FROM lines", {{"", "lines"}}));
}

TEST(TableScope, AViewIsWhatItReads) {
    EXPECT_TRUE(covered("SELECT * FROM open_orders", {{"", "orders"}}));
    EXPECT_FALSE(covered("SELECT * FROM who", {{"", "orders"}}));
    EXPECT_TRUE(covered("SELECT * FROM who", {{"", "orders"}, {"", "clients"}}));
    EXPECT_TRUE(covered("SELECT * FROM who", {{"public", "who"}}));
}

TEST(TableScope, WhatAFunctionReadsIsNotKnown) {
    EXPECT_FALSE(covered("SELECT total(1) FROM orders", {{"", "orders"}}));
    EXPECT_FALSE(covered("SELECT o.total FROM orders o", {{"", "orders"}}));
    EXPECT_FALSE(covered("SELECT unheard_of(1) FROM orders", {{"", "orders"}}));
}

TEST(TableScope, WithQueriesCountByWhatTheyRead) {
    EXPECT_TRUE(covered("WITH w AS (SELECT * FROM orders) SELECT * FROM w", {{"", "orders"}}));
    EXPECT_FALSE(covered("WITH w AS (SELECT * FROM clients) SELECT * FROM w", {{"", "orders"}}));
    EXPECT_FALSE(
        covered("WITH clients AS (SELECT * FROM orders) SELECT * FROM clients", {{"", "orders"}}))
        << "it might be the table";
}

TEST(TableScope, NamesHaveASchemaBeforeTheFirstDot) {
    EXPECT_EQ(parse_table_name("a.b"), (QualifiedName{"a", "b"}));
    EXPECT_EQ(parse_table_name("b"), (QualifiedName{"", "b"}));
}

}  // namespace
}  // namespace segue::protocol::postgres
