#include "proxy/type_map.hpp"

#include <gtest/gtest.h>

#include "tests/protocol/two_catalogs.hpp"

namespace segue::proxy {
namespace {

using namespace protocol::postgres;

TEST(TypeMap, KeepsTheMapThatIsStillRight) {
    std::uint32_t base = second_base;
    bool there = true;
    TypeMap map{[&](Side side) -> Result<TypeMap::Types> {
        if (!there) return Error{Errc::closed, "gone"};
        return catalog(side == Side::source ? first_base : base);
    }};
    EXPECT_EQ(map.current(), nullptr);
    ASSERT_TRUE(map.refresh());
    const auto first = map.current();
    ASSERT_TRUE(map.refresh());
    EXPECT_EQ(map.current(), first);
    there = false;
    EXPECT_EQ(map.refresh().error().detail, "the types of the source could not be read: gone");
    EXPECT_EQ(map.current(), first);
    there = true;
    base += 100;
    ASSERT_TRUE(map.refresh());
    EXPECT_NE(map.current(), first);
}

TEST(TypeMap, GivesATranslatorOnlyToWhoNeedsOne) {
    Session session;
    session.client_types = Side::target;
    EXPECT_EQ(translator_for(session, Side::target, two_catalogs()), nullptr);
    EXPECT_EQ(translator_for(session, Side::source, nullptr), nullptr);
    EXPECT_EQ(translator_for(
                  session, Side::source, std::make_shared<const TypeIds>(catalog(5), catalog(5))),
              nullptr);
    const auto ids = two_catalogs();
    session.other.emplace();
    session.other->side = Side::source;
    EXPECT_FALSE(other_speaks_types(session, ids));
    session.other->types = translator_for(session, Side::source, ids);
    ASSERT_NE(session.other->types, nullptr);
    EXPECT_EQ(session.other->types->known_to_server(second_base), first_base);
    EXPECT_TRUE(other_speaks_types(session, ids));
    EXPECT_FALSE(other_speaks_types(session, two_catalogs())) << "another map";
    EXPECT_FALSE(other_speaks_types(session, nullptr));
}

}  // namespace
}  // namespace segue::proxy
