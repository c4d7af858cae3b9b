#include "proxy/setting_names.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using Names = SettingNames::Names;

TEST(SettingNames, StayWhatTheyWereWhileTheyCannotBeRead) {
    Result<Names> answer = Error{Errc::timed_out, "a table is locked"};
    std::vector<std::string> warnings;
    SettingNames names{[&](Side) { return answer; },
                       [&](const std::string& text) { warnings.push_back(text); }};
    const Status first = names.refresh(Side::source);
    ASSERT_FALSE(first) << "nothing is known yet";
    EXPECT_NE(first.error().detail.find("on the source"), std::string::npos);
    EXPECT_EQ(names.current(), nullptr);

    answer = Names{"app.tenant"};
    ASSERT_TRUE(names.refresh(Side::source));
    EXPECT_TRUE(warnings.empty());
    answer = Error{Errc::timed_out, "a table is locked"};
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(names.refresh(Side::source));
    EXPECT_EQ(*names.current(), Names{"app.tenant"});
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_NE(warnings[0].find("a table is locked"), std::string::npos);

    answer = Names{"app.tenant", "app.user"};
    ASSERT_TRUE(names.refresh(Side::source));
    EXPECT_EQ(names.current()->size(), 2u);
    answer = Error{Errc::timed_out, "again"};
    EXPECT_TRUE(names.refresh(Side::source));
    EXPECT_EQ(warnings.size(), 2u) << "it is another failure";
}

}  // namespace
}  // namespace segue::proxy
