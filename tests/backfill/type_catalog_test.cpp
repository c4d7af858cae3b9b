#include "backfill/postgres/type_catalog.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using protocol::postgres::OidValues;
using protocol::postgres::TypeIds;
using protocol::postgres::TypeShape;
using test::Databases;

constexpr const char* schema = R"sql(
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE pair AS (first mood, second int);
    CREATE TYPE numbers AS (a int, b text);
    CREATE TYPE span AS RANGE (subtype = pair);
    CREATE DOMAIN moods AS mood[];
    CREATE TABLE diary (day date, felt moods, kind regtype);
)sql";

std::uint32_t oid(const Databases& databases, Side side, const std::string& type) {
    return static_cast<std::uint32_t>(
        std::stoul(databases.value(side, "SELECT '" + type + "'::regtype::oid")));
}

TEST(TypeCatalog, MatchesTheTypesOfTwoServersAndKnowsWhatTheyAreMadeOf) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, schema);
    // Other numbers, and the name of an array that is taken.
    databases.run(
        Side::target,
        "CREATE TYPE junk AS ENUM (); CREATE DOMAIN _pair AS int; CREATE TABLE more_junk (a int);");
    databases.run(Side::target, schema);
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto first = load_type_catalog(source), second = load_type_catalog(target);
    ASSERT_TRUE(first) << first.error().detail;
    ASSERT_TRUE(second) << second.error().detail;
    const TypeIds ids{*first, *second};
    for (const char* type : {"mood",
                             "mood[]",
                             "pair",
                             "pair[]",
                             "span",
                             "span_multirange",
                             "span[]",
                             "moods",
                             "diary",
                             "diary[]"}) {
        SCOPED_TRACE(type);
        EXPECT_NE(oid(databases, Side::source, type), oid(databases, Side::target, type));
        EXPECT_EQ(ids.translated(0, oid(databases, Side::source, type)),
                  oid(databases, Side::target, type));
        EXPECT_EQ(ids.translated(1, oid(databases, Side::target, type)),
                  oid(databases, Side::source, type));
    }
    const auto shape = [&](const char* type) {
        return ids.shape(1, oid(databases, Side::target, type), OidValues::data);
    };
    EXPECT_EQ(shape("mood").shape, TypeShape::plain);
    EXPECT_EQ(shape("mood[]").shape, TypeShape::array);
    EXPECT_EQ(shape("pair").shape, TypeShape::record);
    EXPECT_EQ(shape("numbers").shape, TypeShape::plain);
    EXPECT_EQ(shape("span").shape, TypeShape::range);
    EXPECT_EQ(shape("span").inner, oid(databases, Side::target, "pair"));
    EXPECT_EQ(shape("span_multirange").shape, TypeShape::multirange);
    EXPECT_EQ(shape("span_multirange").inner, oid(databases, Side::target, "span"));
    EXPECT_EQ(shape("moods").shape, TypeShape::array);
    EXPECT_EQ(shape("diary").shape, TypeShape::record);
    EXPECT_EQ(ids.translated(1, oid(databases, Side::target, "junk")),
              oid(databases, Side::target, "junk"));
}

TEST(TypeCatalog, OfTwoNewDatabasesOfOneVersionIsEqual) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto first = load_type_catalog(source), second = load_type_catalog(target);
    ASSERT_TRUE(first && second);
    EXPECT_EQ((TypeIds{*first, *second}.differing()), 0u);
}

}  // namespace
}  // namespace segue::backfill::postgres
