#include "backfill/change.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace segue::backfill {
namespace {

Relation relation(std::uint32_t id, std::string name) {
    return Relation{id, "public", std::move(name), false, {{"id", 23, true}, {"body", 25, false}}};
}

TEST(Change, GivesBackWhatWasPutInAlsoAfterAMove) {
    const Relation table = relation(1, "t");
    ChangeBuilder builder{table, ChangeKind::update, OldRow::key, 0};
    EXPECT_FALSE(builder.complete());
    builder.add(CellKind::text, "7");
    builder.add(CellKind::null);
    builder.add(CellKind::text, "8");
    builder.add(CellKind::unchanged);
    EXPECT_TRUE(builder.complete());
    Change built = builder.take();
    const Change change = std::move(built);

    EXPECT_EQ(change.kind(), ChangeKind::update);
    EXPECT_EQ(change.old_row(), OldRow::key);
    EXPECT_EQ(&change.relation(), &table);
    EXPECT_EQ(change.old_size(), 2u);
    EXPECT_EQ(change.new_size(), 2u);
    EXPECT_EQ(change.old_cell(0), (Cell{CellKind::text, "7"}));
    EXPECT_EQ(change.old_cell(1), (Cell{CellKind::null, {}}));
    EXPECT_EQ(change.new_cell(0), (Cell{CellKind::text, "8"}));
    EXPECT_EQ(change.new_cell(1), (Cell{CellKind::unchanged, {}}));
    EXPECT_EQ(change.key_cell(0).text, "7");
    EXPECT_TRUE(change.has_unchanged());
    EXPECT_EQ(change.truncated_size(), 0u);
}

TEST(Change, NamesTheRowByTheNewCellsWhenTheKeyStays) {
    const Relation table = relation(1, "t");
    ChangeBuilder builder{table, ChangeKind::update, OldRow::none, 10};
    builder.add(CellKind::text, "7");
    builder.add(CellKind::text, "");
    const Change change = builder.take();
    EXPECT_EQ(change.old_size(), 0u);
    EXPECT_EQ(change.key_cell(0).text, "7");
    // The empty text is not NULL.
    EXPECT_EQ(change.new_cell(1), (Cell{CellKind::text, ""}));
    EXPECT_FALSE(change.has_unchanged());
}

TEST(Change, EndsEveryTextWithAZeroByte) {
    const Relation table = relation(1, "t");
    for (const std::string body : {"", "x", "a longer text that does not fit beside"}) {
        ChangeBuilder builder{table, ChangeKind::insert, OldRow::none, body.size()};
        builder.add(CellKind::text, "1");
        builder.add(CellKind::text, body);
        const Change change = builder.take();
        EXPECT_STREQ(change.new_cell(0).text.data(), "1");
        EXPECT_STREQ(change.new_cell(1).text.data(), body.c_str());
    }
}

TEST(Change, OfARemovedRowHasOldCellsOnly) {
    const Relation table = relation(1, "t");
    ChangeBuilder builder{table, ChangeKind::remove, OldRow::full, 0};
    builder.add(CellKind::text, "1");
    builder.add(CellKind::null);
    const Change change = builder.take();
    EXPECT_EQ(change.new_size(), 0u);
    EXPECT_EQ(change.key_cell(0).text, "1");
}

TEST(Change, ATruncateNamesEveryRelation) {
    const Relation first = relation(1, "a");
    const Relation second = relation(2, "b");
    const Change change = Change::truncate({&first, &second}, true);
    EXPECT_EQ(change.kind(), ChangeKind::truncate);
    ASSERT_EQ(change.truncated_size(), 2u);
    EXPECT_EQ(&change.truncated(0), &first);
    EXPECT_EQ(&change.truncated(1), &second);
    EXPECT_TRUE(change.restart_identity());
}

TEST(ChangeDeathTest, CellsMissingOrTooManyAreBugs) {
    const Relation table = relation(1, "t");
    const auto build = [&](int cells) {
        ChangeBuilder builder{table, ChangeKind::insert, OldRow::none, 0};
        for (int i = 0; i < cells; ++i) builder.add(CellKind::null);
        return builder.take();
    };
    EXPECT_DEATH(build(1), "complete");
    EXPECT_DEATH(build(3), "complete");
}

TEST(RelationTable, KeepsEveryDescriptionAndFindsTheLatest) {
    RelationTable table;
    EXPECT_EQ(table.find(7), nullptr);
    const Relation* first = table.remember(relation(7, "t"));
    const Relation* other = table.remember(relation(3, "u"));
    EXPECT_EQ(table.remember(relation(7, "t")), first);  // Described again, unchanged.
    EXPECT_EQ(table.find(7), first);
    EXPECT_EQ(table.find(3), other);

    Relation altered = relation(7, "t");
    altered.columns.push_back({"added", 25, false});
    const Relation* second = table.remember(altered);
    EXPECT_NE(second, first);
    EXPECT_EQ(table.find(7), second);
    EXPECT_EQ(first->columns.size(), 2u);
}

TEST(RelationTable, StopsAtItsLimit) {
    RelationTable table;
    Relation changing{1, "s", "t", false, {}};
    for (std::size_t i = 0; i < RelationTable::relations_max; ++i) {
        changing.full_identity = !changing.full_identity;
        ASSERT_NE(table.remember(changing), nullptr);
    }
    const Relation* latest = table.find(1);
    changing.full_identity = !changing.full_identity;
    EXPECT_EQ(table.remember(changing), nullptr);
    EXPECT_EQ(table.find(1), latest);
}

}  // namespace
}  // namespace segue::backfill
