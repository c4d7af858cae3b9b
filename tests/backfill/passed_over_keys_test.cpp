#include "backfill/passed_over_keys.hpp"

#include <gtest/gtest.h>

namespace segue::backfill {
namespace {

TEST(PassedOverKeys, AreAllMendedOnlyAsLongAsAllAreKnown) {
    PassedOverKeys passed;
    EXPECT_TRUE(passed.are_all(0));
    for (std::size_t i = 0; i < passed_over_keys_max; ++i) passed.note(std::to_string(i));
    EXPECT_FALSE(passed.are_all(passed_over_keys_max - 1));
    EXPECT_TRUE(passed.are_all(passed_over_keys_max));
    passed.note("0");  // The same row once more.
    EXPECT_TRUE(passed.complete());
    passed.note("one too many");
    EXPECT_FALSE(passed.complete());
    EXPECT_FALSE(passed.are_all(passed_over_keys_max)) << "one of them was never copied again";
    EXPECT_EQ(passed.keys().size(), passed_over_keys_max);
    passed.note("0");
    EXPECT_FALSE(passed.are_all(passed_over_keys_max + 1));
}

}  // namespace
}  // namespace segue::backfill
