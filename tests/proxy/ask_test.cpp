#include "proxy/ask.hpp"

#include <gtest/gtest.h>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

// Whoever is disconnected after these words must have been told why.
TEST(Ask, KnowsWhetherAServersLastWordsSayAnError) {
    const std::string notice = message('N', "SNOTICE"), error = message('E', "SFATAL");
    EXPECT_FALSE(says_error(bytes("")));
    EXPECT_FALSE(says_error(bytes(notice)));
    EXPECT_TRUE(says_error(bytes(error)));
    EXPECT_TRUE(says_error(bytes(notice + error)));
    EXPECT_FALSE(says_error(bytes(notice + error.substr(0, 7)))) << "it has not been said yet";
}

}  // namespace
}  // namespace segue::proxy
