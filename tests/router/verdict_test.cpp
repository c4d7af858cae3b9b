#include "router/verdict.hpp"

#include <gtest/gtest.h>

namespace segue::router {
namespace {

ReplyDigest rows(std::initializer_list<std::uint64_t> hashes) {
    ReplyDigest digest;
    digest.complete = true;
    digest.outcome = "SELECT";
    for (const std::uint64_t hash : hashes) {
        digest.add_row({hash * 31, hash * 17});
        digest.ordered.low = digest.ordered.low * 131 + hash;
    }
    return digest;
}

ReplyDigest error(const char* code) {
    ReplyDigest digest = rows({});
    digest.error_code = code;
    return digest;
}

TEST(Verdict, TellsEqualReorderedAndDifferent) {
    EXPECT_EQ(compare(rows({1, 2}), rows({1, 2})), Verdict::equal);
    EXPECT_EQ(compare(rows({1, 2}), rows({2, 1})), Verdict::reordered);
    EXPECT_EQ(compare(rows({1, 2}), rows({1, 3})), Verdict::different);
    EXPECT_EQ(compare(rows({1, 1, 3}), rows({2, 2, 3})), Verdict::different);
    EXPECT_EQ(compare(rows({1}), rows({1, 1})), Verdict::different);
    ReplyDigest other_shape = rows({1});
    other_shape.shape.low = 5;
    EXPECT_EQ(compare(rows({1}), other_shape), Verdict::different);
    ReplyDigest other_tag = rows({1});
    other_tag.outcome = "suspended";
    EXPECT_EQ(compare(rows({1}), other_tag), Verdict::different);
}

TEST(Verdict, AnErrorEqualsOnlyTheSameError) {
    EXPECT_EQ(compare(error("22012"), error("22012")), Verdict::equal);
    EXPECT_EQ(compare(error("22012"), error("22003")), Verdict::different);
    EXPECT_EQ(compare(error("22012"), rows({})), Verdict::different);
    EXPECT_EQ(compare(rows({}), error("22012")), Verdict::different);
}

TEST(Verdict, DoesNotJudgeWhatItHasNotSeen) {
    ReplyDigest cut = rows({1});
    cut.complete = false;
    EXPECT_EQ(compare(rows({1}), cut), Verdict::not_comparable);
    EXPECT_EQ(compare(cut, rows({1})), Verdict::not_comparable);
    ReplyDigest copy = rows({1});
    copy.comparable = false;
    EXPECT_EQ(compare(rows({2}), copy), Verdict::not_comparable);
}

TEST(Verdict, AnotherOrderIsSuspectOnlyWhereTheOrderIsDefined) {
    EXPECT_TRUE(is_suspect(Verdict::different, false));
    EXPECT_TRUE(is_suspect(Verdict::reordered, true));
    EXPECT_FALSE(is_suspect(Verdict::reordered, false));
    EXPECT_FALSE(is_suspect(Verdict::equal, true));
    EXPECT_FALSE(is_suspect(Verdict::not_comparable, true));
}

}  // namespace
}  // namespace segue::router
