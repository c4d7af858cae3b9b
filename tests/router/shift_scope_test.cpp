#include "router/shift_scope.hpp"

#include <gtest/gtest.h>

namespace segue::router {
namespace {

TEST(ShiftScope, IsReadBackAsItWasWritten) {
    const ShiftScope everything;
    EXPECT_EQ(encode(everything), "") << "as records of before have it";
    const ShiftScope some{ShareOf::sessions,
                          {"app", "user with blanks"},
                          {"", "psql"},
                          {"shop"},
                          {"public.orders", "\"odd\""}};
    for (const ShiftScope& scope :
         {everything, some, ShiftScope{ShareOf::sessions, {}, {}, {}, {}}})
        EXPECT_EQ(decode_shift_scope(encode(scope)), scope) << encode(scope);
}

TEST(ShiftScope, WhatIsNotUnderstoodIsNoScope) {
    for (const char* text : {"by sessions", "by minutes\n", "user\n", "colour red\n", "\n"})
        EXPECT_FALSE(decode_shift_scope(text)) << text;
}

TEST(ShiftScope, RefusesNamesThatCannotBeKept) {
    EXPECT_EQ(refused_names({}), "");
    EXPECT_EQ(refused_names({ShareOf::statements, {"a"}, {""}, {}, {}}), "");
    EXPECT_NE(refused_names({ShareOf::statements, {"a\nuser b"}, {}, {}, {}}), "");
    EXPECT_NE(refused_names({ShareOf::statements, {""}, {}, {}, {}}), "");
    EXPECT_NE(refused_names({ShareOf::statements, {}, {}, {}, {std::string(201, 'x')}}), "");
    EXPECT_NE(
        refused_names(
            {ShareOf::statements, std::vector<std::string>(scope_names_max + 1, "a"), {}, {}, {}}),
        "");
}

TEST(ShiftScope, IsDescribedForPeople) {
    EXPECT_EQ(describe({}), "");
    EXPECT_EQ(describe({ShareOf::statements, {"app", "web"}, {""}, {}, {"public.orders"}}),
              "of users app, web and of application \"\" and of table public.orders");
}

TEST(ShiftScope, AnEmptyListAdmitsEverything) {
    EXPECT_TRUE(admits({}, "a"));
    EXPECT_TRUE(admits({"b", "a"}, "a"));
    EXPECT_FALSE(admits({"b"}, "a"));
}

}  // namespace
}  // namespace segue::router
