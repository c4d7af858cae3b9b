#include "protocol/postgres/type_value.hpp"

#include <gtest/gtest.h>

#include "tests/protocol/two_catalogs.hpp"

namespace segue::protocol::postgres {
namespace {

// Walks a value of that type as a server whose types begin at first_base has it. Bytes that were
// not asked for are missing.
std::string walked(std::uint32_t type, std::string value) {
    static const auto ids = two_catalogs();
    ValueWalker walker;
    walker.begin(*ids,
                 0,
                 ids->shape(0, type, OidValues::data),
                 static_cast<std::uint32_t>(value.size()),
                 OidValues::data);
    std::size_t at = 0;
    for (auto want = walker.next(); want.kind != ValueWalker::Want::Kind::nothing;
         want = walker.next()) {
        EXPECT_LE(want.size, value.size() - at);
        if (want.kind == ValueWalker::Want::Kind::number) {
            const auto number = ByteReader{bytes(value).subspan(at)}.big_endian<std::uint32_t>();
            if (const auto other = walker.number(number)) value.replace(at, 4, be32(*other));
        }
        at += want.size;
    }
    return value.substr(0, at);
}

TEST(ValueWalker, ReplacesTheNumbersOfTypesAndNothingElse) {
    EXPECT_EQ(walked(first_base + 1, moods(first_base)), moods(second_base));
    EXPECT_EQ(walked(first_base + 2, pair(first_base)), pair(second_base));
    EXPECT_EQ(walked(first_base + 3, pairs(first_base)), pairs(second_base));
    EXPECT_EQ(walked(first_base + 4, span(first_base)), span(second_base));
    EXPECT_EQ(walked(first_base + 5, spans(first_base)), spans(second_base));
    EXPECT_EQ(walked(first_base + 6, moods(first_base)), moods(second_base));
    EXPECT_EQ(walked(2249, pair(first_base)), pair(second_base));
    EXPECT_EQ(walked(2206, be32(first_base)), be32(second_base));
    EXPECT_EQ(walked(first_base, "happy"), "happy");
    EXPECT_EQ(walked(first_base + 1, be32(0) + be32(0) + be32(first_base)),
              be32(0) + be32(0) + be32(second_base))
        << "an empty array";
    EXPECT_EQ(walked(first_base + 4, "\x01"), "\x01") << "an empty range";
    EXPECT_EQ(walked(first_base + 2, ""), "");
}

// A value that ends too early, at every place, and one whose sizes lie: all of it passes, none of
// it twice.
TEST(ValueWalker, PassesEveryByteOfWhatIsNoValue) {
    const std::pair<std::uint32_t, std::string> values[] = {{first_base + 3, pairs(first_base)},
                                                            {first_base + 5, spans(first_base)}};
    for (const auto& [type, value] : values) {
        for (std::size_t size = 0; size < value.size(); ++size)
            EXPECT_EQ(walked(type, value.substr(0, size)).size(), size);
        for (std::size_t at = 0; at < value.size(); ++at) {
            for (const char wrong : {'\0', '\x7f', '\xff'}) {
                std::string bent = value;
                bent[at] = wrong;
                EXPECT_EQ(walked(type, bent).size(), bent.size());
            }
        }
    }
    EXPECT_EQ(walked(2206, "12345678"), "12345678");
    EXPECT_EQ(walked(2206, "12"), "12");
}

TEST(ValueWalker, GoesNoDeeperThanItsLimit) {
    const auto nested = [](std::uint32_t base, std::size_t depth, std::size_t translated) {
        std::string value = be32(1) + be32(depth < translated ? base : first_base) + sized("ok");
        for (std::size_t level = depth; level-- > 0;) value = be32(1) + be32(2249) + sized(value);
        return value;
    };
    EXPECT_EQ(walked(2249, nested(first_base, value_depth_max - 1, 0)),
              nested(second_base, value_depth_max - 1, value_depth_max));
    EXPECT_EQ(walked(2249, nested(first_base, value_depth_max, 0)),
              nested(first_base, value_depth_max, 0));
}

}  // namespace
}  // namespace segue::protocol::postgres
