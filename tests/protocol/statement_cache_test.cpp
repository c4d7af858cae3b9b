#include "protocol/postgres/statement_cache.hpp"

#include <gtest/gtest.h>

#include <string>

namespace segue::protocol::postgres {
namespace {

ReadCatalog catalog_with_t() {
    ReadCatalog catalog;
    RelationFacts facts;
    facts.schema = "public";
    facts.table = true;
    catalog.relations["t"] = {facts};
    return catalog;
}

TEST(StatementCache, AnswersAsTheJudgeDoesAndStaysBounded) {
    const ReadCatalog catalog = catalog_with_t();
    StatementCache cache{16};
    for (int i = 0; i < 1000; ++i) {
        const std::string text = "SELECT " + std::to_string(i % 40) + " FROM t";
        const KnownStatement& known = cache.find(text, catalog, 1);
        EXPECT_EQ(known.id, hash128(bytes(text)));
        EXPECT_TRUE(known.judgement.follower);
        EXPECT_LE(cache.size(), 32u);
    }
    EXPECT_FALSE(cache.find("DELETE FROM t", catalog, 1).judgement.follower);
}

TEST(StatementCache, ForgetsWhatAnOlderCatalogSaid) {
    StatementCache cache;
    EXPECT_TRUE(cache.find("SELECT 1 FROM t", catalog_with_t(), 1).judgement.follower);
    EXPECT_FALSE(cache.find("SELECT 1 FROM t", ReadCatalog{}, 2).judgement.follower);
}

TEST(Demotions, AreNeverForgottenAndCloseAtTheLimit) {
    Demotions demotions{2};
    const Hash128 first = hash128(bytes("a")), second = hash128(bytes("b")),
                  third = hash128(bytes("c"));
    EXPECT_FALSE(demotions.contains(first));
    demotions.add(first);
    demotions.add(first);
    EXPECT_TRUE(demotions.contains(first));
    EXPECT_FALSE(demotions.contains(third));
    demotions.add(second);
    EXPECT_TRUE(demotions.contains(third));  // At the limit nothing is known to be harmless.
}

}  // namespace
}  // namespace segue::protocol::postgres
