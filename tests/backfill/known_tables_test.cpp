#include "backfill/postgres/known_tables.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

class KnownTablesTest : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, v text);"
            " CREATE TABLE c (id int); CREATE TABLE left_out (id int)");
        connection_.emplace(databases_->open(Side::target));
        auto all = read_follower_tables(*connection_, {"public.left_out"});
        ASSERT_TRUE(all);
        known_.emplace(std::move(*all), std::vector<std::string>{"public.left_out"});
        for (Relation* relation : {&a_, &b_, &gone_, &left_out_}) {
            relation->schema = "public";
            relation->columns = {{"id", 23, true}};
        }
        a_.name = "a";
        b_.name = "b";
        gone_.name = "gone";
        left_out_.name = "left_out";
    }
    void run(const std::string& sql) { databases_->run(Side::target, sql); }
    static ApplyItem insert(const Relation& relation) {
        ChangeBuilder builder{relation, ChangeKind::insert, OldRow::none, 16};
        builder.add(CellKind::text, "1");
        return builder.take();
    }
    std::size_t columns(const std::string& table) const {
        const auto found = known_->tables().find({"public", table});
        return found == known_->tables().end() ? 0 : found->second.table.columns.size();
    }

    std::unique_ptr<Databases> databases_;
    std::optional<Connection> connection_;
    std::optional<KnownTables> known_;
    Relation a_, b_, gone_, left_out_;
};

TEST_F(KnownTablesTest, KnowsNothingOfWhatWasBeforeAChange) {
    EXPECT_TRUE(known_->knows(insert(a_)));
    EXPECT_EQ(columns("b"), 2u);
    for (const std::size_t wanted : {3u, 4u}) {
        run("ALTER TABLE b ADD COLUMN c" + std::to_string(wanted) + " int");
        known_->forget();
        EXPECT_FALSE(known_->knows(insert(a_)));
        EXPECT_FALSE(known_->knows(insert(b_)));
        EXPECT_EQ(columns("b"), 0u);
        ASSERT_TRUE(known_->learn(*connection_, {{"public", "b"}}));
        EXPECT_TRUE(known_->knows(insert(b_)));
        EXPECT_FALSE(known_->knows(insert(a_)));
        EXPECT_EQ(columns("b"), wanted);
    }
}

TEST_F(KnownTablesTest, LearnsOfWhatIsQueuedUpToTheNextChange) {
    known_->forget();
    std::vector<ApplyItem> items;
    items.push_back(insert(b_));
    items.push_back(insert(a_));
    items.push_back(ForgetChunk{{"public", "c"}, 1, {}});
    items.push_back(SchemaChange{});
    items.push_back(insert(b_));
    ASSERT_TRUE(known_->learn(*connection_, items, 1));
    EXPECT_TRUE(known_->knows(items[1]));
    EXPECT_TRUE(known_->knows(items[2]));
    EXPECT_FALSE(known_->knows(items[4]));
    EXPECT_EQ(columns("a"), 1u);
    EXPECT_EQ(columns("c"), 1u);
}

TEST_F(KnownTablesTest, AsksOnceForWhatIsNotThereOrNotMoved) {
    known_->forget();
    ASSERT_TRUE(known_->learn(*connection_, {{"public", "gone"}, {"public", "left_out"}}));
    EXPECT_TRUE(known_->knows(insert(gone_)));
    EXPECT_TRUE(known_->knows(insert(left_out_)));
    EXPECT_TRUE(known_->tables().empty());
}

// Nothing else is read differently for it.
TEST_F(KnownTablesTest, DescribesATableAsAReadingOfAllDoes) {
    run(R"sql(CREATE TABLE "odd.Name" (a text COLLATE "C", b numeric(6, 2) NOT NULL, g int GENERATED ALWAYS AS (1) STORED,
              i int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (b, a)))sql");
    auto all = read_follower_tables(*connection_, {});
    const auto some = read_follower_tables(*connection_, {}, {{"public", "odd.Name"}});
    ASSERT_TRUE(all && some);
    ASSERT_EQ(some->size(), 1u);
    const Table &one = some->begin()->second.table, &other = all->at({"public", "odd.Name"}).table;
    EXPECT_EQ(one.oid, other.oid);
    EXPECT_EQ(one.key, other.key);
    EXPECT_EQ(one.identity, other.identity);
    EXPECT_EQ(one.identity_index, other.identity_index);
    ASSERT_EQ(one.columns.size(), other.columns.size());
    for (std::size_t i = 0; i < one.columns.size(); ++i) {
        EXPECT_EQ(one.columns[i].name, other.columns[i].name);
        EXPECT_EQ(one.columns[i].type, other.columns[i].type);
        EXPECT_EQ(one.columns[i].type_modifier, other.columns[i].type_modifier);
        EXPECT_EQ(one.columns[i].generated, other.columns[i].generated);
        EXPECT_EQ(one.columns[i].identity_always, other.columns[i].identity_always);
        EXPECT_EQ(one.columns[i].collation_c, other.columns[i].collation_c);
    }
}

}  // namespace
}  // namespace segue::backfill::postgres
