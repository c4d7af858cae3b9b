#include "protocol/postgres/type_ids.hpp"

#include <gtest/gtest.h>

#include "tests/protocol/two_catalogs.hpp"

namespace segue::protocol::postgres {
namespace {

TypeShape shape(const TypeIds& ids, std::uint32_t oid, OidValues values = OidValues::data) {
    return ids.shape(0, oid, values).shape;
}

TEST(TypeIds, TranslatesByNameInBothDirections) {
    const auto ids = two_catalogs();
    EXPECT_EQ(ids->differing(), 9u);
    EXPECT_EQ(ids->translated(0, first_base + 2), second_base + 2);
    EXPECT_EQ(ids->translated(1, second_base + 2), first_base + 2);
    EXPECT_EQ(ids->translated(0, 99000), 99000u);
    EXPECT_EQ(ids->translated(0, 25), 25u);
    EXPECT_EQ(ids->translated(0, second_base), second_base) << "a number that means nothing there";
}

TEST(TypeIds, KnowsTwoServersThatChangedPlaces) {
    const std::vector<CatalogType> one = {{20001, "app", "a", CatalogType::Kind::plain, {}},
                                          {20002, "app", "b", CatalogType::Kind::plain, {}}};
    const std::vector<CatalogType> two = {{20001, "app", "b", CatalogType::Kind::plain, {}},
                                          {20002, "app", "a", CatalogType::Kind::plain, {}}};
    const TypeIds ids{one, two};
    EXPECT_EQ(ids.translated(0, 20001), 20002u);
    EXPECT_EQ(ids.translated(0, 20002), 20001u);
    EXPECT_EQ(ids.translated(1, 20001), 20002u);
}

TEST(TypeIds, NothingDiffersBetweenEqualServersAndNothingIsLookedInto) {
    const TypeIds ids{catalog(first_base), catalog(first_base)};
    EXPECT_EQ(ids.differing(), 0u);
    EXPECT_TRUE(ids.shape(0, first_base + 1, OidValues::data).plain());
    EXPECT_EQ(ids, (TypeIds{catalog(second_base), catalog(second_base)}));
    EXPECT_FALSE(ids == *two_catalogs());
}

TEST(TypeIds, LooksOnlyIntoWhatHoldsDifferentNumbers) {
    const auto ids = two_catalogs();
    EXPECT_EQ(shape(*ids, first_base), TypeShape::plain);
    EXPECT_EQ(shape(*ids, first_base + 1), TypeShape::array);
    EXPECT_EQ(shape(*ids, first_base + 2), TypeShape::record);
    EXPECT_EQ(shape(*ids, first_base + 3), TypeShape::array);
    EXPECT_EQ(shape(*ids, first_base + 4), TypeShape::range);
    EXPECT_EQ(ids->shape(0, first_base + 4, OidValues::data).inner, first_base + 2);
    EXPECT_EQ(shape(*ids, first_base + 5), TypeShape::multirange);
    EXPECT_EQ(shape(*ids, first_base + 6), TypeShape::array)
        << "a domain is sent as what it is made of";
    EXPECT_EQ(shape(*ids, first_base + 7), TypeShape::plain)
        << "its fields have the same numbers everywhere";
    EXPECT_EQ(shape(*ids, first_base + 8), TypeShape::plain);
    EXPECT_EQ(shape(*ids, 1007), TypeShape::plain);
    EXPECT_EQ(shape(*ids, 2249), TypeShape::record) << "anything may be in a record";
}

TEST(TypeIds, TakesOidsForTypesOnlyWhereTheyComeFromTheCatalog) {
    const auto ids = two_catalogs();
    EXPECT_EQ(shape(*ids, 26), TypeShape::plain);
    EXPECT_EQ(shape(*ids, 26, OidValues::types), TypeShape::identifier);
    EXPECT_EQ(shape(*ids, 1028, OidValues::types), TypeShape::array);
    EXPECT_EQ(shape(*ids, 23, OidValues::types), TypeShape::plain);
    EXPECT_EQ(shape(*ids, 23, OidValues::numbers), TypeShape::identifier);
    EXPECT_EQ(shape(*ids, 2206), TypeShape::identifier);
}

TEST(TypeIds, EndsWithACatalogThatGoesRound) {
    using Kind = CatalogType::Kind;
    const std::vector<CatalogType> round = {{20001, "app", "a", Kind::domain, {20002}},
                                            {20002, "app", "b", Kind::domain, {20001}}};
    const TypeIds ids{round, {{30001, "app", "a", Kind::domain, {30001}}}};
    EXPECT_EQ(ids.translated(0, 20001), 30001u);
    EXPECT_TRUE(ids.shape(0, 20001, OidValues::data).plain());
}

}  // namespace
}  // namespace segue::protocol::postgres
