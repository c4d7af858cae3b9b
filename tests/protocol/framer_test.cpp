#include "protocol/postgres/framer.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace segue::protocol::postgres {
namespace {

using namespace std::string_view_literals;

TEST(PostgresFramer, AsksForMoreAtEverySplitAndNeverEarlier) {
    constexpr auto stream = "Q\0\0\0\x0bselect\0S\0\0\0\4"sv;
    constexpr std::size_t first_size = 12;
    for (std::size_t size = 0; size < first_size; ++size) {
        SCOPED_TRACE(size);
        const auto step = next_frame(bytes(stream.substr(0, size)), 64);
        ASSERT_TRUE(std::holds_alternative<NeedMore>(step));
        EXPECT_GT(std::get<NeedMore>(step).size_min, size);
        EXPECT_LE(std::get<NeedMore>(step).size_min, first_size);
    }
    const auto step = next_frame(bytes(stream), 64);
    ASSERT_TRUE(std::holds_alternative<Frame>(step));
    EXPECT_EQ(std::get<Frame>(step).tag, 'Q');
    EXPECT_EQ(text(std::get<Frame>(step).body), "select\0"sv);
    const auto next = next_frame(bytes(stream.substr(first_size)), 64);
    EXPECT_EQ(std::get<Frame>(next).tag, 'S');
}

TEST(PostgresFramer, RefusesLengthsBeforeWaitingForTheBody) {
    EXPECT_EQ(std::get<Error>(next_frame(bytes("Q\0\0\0\3"sv), 64)).code, Errc::bad_value);
    EXPECT_EQ(std::get<Error>(next_frame(bytes("Q\xff\xff\xff\xff"sv), 64)).code, Errc::bad_value);
    EXPECT_EQ(std::get<Error>(next_frame(bytes("Q\x7f\xff\xff\xff"sv), 64)).code, Errc::too_large);
    EXPECT_TRUE(std::holds_alternative<NeedMore>(next_frame(bytes("Q\0\0\0\x3f"sv), 64)));
    EXPECT_EQ(std::get<Error>(next_frame(bytes("Q\0\0\0\x40"sv), 64)).code, Errc::too_large);
}

TEST(PostgresFramer, CutsStartupPacketsAtEverySplit) {
    constexpr auto packet = "\0\0\0\x10\0\3\0\0user\0x\0\0"sv;
    static_assert(packet.size() == 16);
    for (std::size_t size = 0; size < packet.size(); ++size) {
        EXPECT_TRUE(
            std::holds_alternative<NeedMore>(next_startup_packet(bytes(packet.substr(0, size)))))
            << size;
    }
    const auto step = next_startup_packet(bytes(packet));
    EXPECT_EQ(std::get<StartupPacket>(step).code, 196608u);
    EXPECT_EQ(std::get<StartupPacket>(step).body.size(), 8u);
}

TEST(PostgresFramer, RefusesStartupPacketsOfAWrongLength) {
    for (const auto packet :
         {"\0\0\0\7"sv, "\0\0\0\0"sv, "\0\0\x27\x11"sv, "\xff\xff\xff\xff"sv, "GET "sv}) {
        EXPECT_TRUE(std::holds_alternative<Error>(next_startup_packet(bytes(packet))));
    }
    EXPECT_TRUE(
        std::holds_alternative<NeedMore>(next_startup_packet(bytes("\0\0\x27\x10"sv))));  // 10,000
}

}  // namespace
}  // namespace segue::protocol::postgres
