#include "backfill/postgres/store.hpp"

#include <gtest/gtest.h>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {
namespace {

TEST(Store, ArraysOfTextsComeBackAsTheyWent) {
    const std::vector<std::vector<std::string>> lists = {
        {}, {""}, {"a"}, {"a", "b c"}, {"quo\"te", "back\\slash", "{brace}", "com,ma", "NULL"}};
    for (const auto& list : lists) EXPECT_EQ(parse_text_array(text_array(list)), list);
    EXPECT_EQ(parse_text_array("{0/1,AB/CD}"), (std::vector<std::string>{"0/1", "AB/CD"}));
}

}  // namespace
}  // namespace segue::backfill::postgres
