#include "protocol/hash.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace segue {
namespace {

std::string sample(std::size_t size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i * 7 + i / 5));
    return text;
}

TEST(Hash, SlicesDoNotMatter) {
    const std::string text = sample(75);
    const Hash128 whole = hash128(bytes(text));
    for (std::size_t first = 0; first <= text.size(); ++first) {
        for (std::size_t second = first; second <= text.size(); ++second) {
            HashStream stream;
            stream.update(bytes(text).first(first));
            stream.update(bytes(text).subspan(first, second - first));
            stream.update(bytes(text).subspan(second));
            ASSERT_EQ(stream.finish(), whole) << first << ' ' << second;
        }
    }
}

TEST(Hash, TellsSizesOfZerosAndEveryBitApart) {
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    const auto add = [&](const std::string& text) {
        const Hash128 hash = hash128(bytes(text));
        return seen.emplace(hash.high, hash.low).second;
    };
    for (std::size_t size = 0; size < 70; ++size) EXPECT_TRUE(add(std::string(size, '\0'))) << size;
    const std::string text = sample(40);
    EXPECT_TRUE(add(text));
    for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
        std::string changed = text;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_TRUE(add(changed)) << bit;
    }
}

}  // namespace
}  // namespace segue
