#include "protocol/postgres/replication.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace segue::protocol::postgres {
namespace {

using namespace std::literals;

// 2000-01-01 00:00:01 UTC.
constexpr ReplicationTime one_second_after_2000{std::chrono::microseconds{946'684'801'000'000}};

TEST(Replication, ReadsXLogData) {
    constexpr auto wire =
        "w\0\0\0\0\x01\x6b\x37\x48\0\0\0\x01\0\0\0\x02\0\0\0\0\0\x0f\x42\x40payload"sv;
    const auto message = parse_replication_message(bytes(wire));
    ASSERT_TRUE(message);
    const auto* data = std::get_if<XLogData>(&*message);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(data->start, Position{0x16b3748});
    EXPECT_EQ(data->server_end, Position{0x100000002});
    EXPECT_EQ(data->sent_at, one_second_after_2000);
    EXPECT_EQ(text(data->payload), "payload");
}

TEST(Replication, ReadsKeepalives) {
    constexpr auto wire = "k\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\x01"sv;
    const auto message = parse_replication_message(bytes(wire));
    ASSERT_TRUE(message);
    const auto* keepalive = std::get_if<Keepalive>(&*message);
    ASSERT_NE(keepalive, nullptr);
    EXPECT_EQ(keepalive->server_end, Position{0x16b3748});
    EXPECT_EQ(keepalive->sent_at, one_second_after_2000);
    EXPECT_TRUE(keepalive->reply_requested);
}

TEST(Replication, RefusesEveryCutAndEveryTail) {
    const std::string keepalive{"k\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\x01"sv};
    for (std::size_t size = 0; size < keepalive.size(); ++size) {
        EXPECT_FALSE(parse_replication_message(bytes(keepalive.substr(0, size)))) << size;
    }
    EXPECT_FALSE(parse_replication_message(bytes(keepalive + "x")));

    const std::string data = "w" + std::string(24, '\0');
    for (std::size_t size = 0; size < data.size(); ++size) {
        EXPECT_FALSE(parse_replication_message(bytes(data.substr(0, size)))) << size;
    }
    EXPECT_TRUE(
        parse_replication_message(bytes(data)));  // An empty payload is pgoutput's to refuse.
    EXPECT_FALSE(parse_replication_message(bytes("x" + data)));
}

TEST(Replication, RefusesTimesOutsideTheClock) {
    std::string late = "k" + std::string(17, '\0');
    late[9] = '\x7f';
    for (std::size_t i = 10; i < 17; ++i) late[i] = '\xff';
    EXPECT_FALSE(parse_replication_message(bytes(late)));
    EXPECT_FALSE(replication_time(std::numeric_limits<std::int64_t>::max()));
    EXPECT_TRUE(replication_time(std::numeric_limits<std::int64_t>::min()));
}

TEST(Replication, WritesStandbyStatus) {
    const StandbyStatus status{
        Position{0x300000004}, Position{0x16b3748}, Position{2}, one_second_after_2000, true};
    EXPECT_EQ(standby_status(status),
              std::string("r\0\0\0\x03\0\0\0\x04\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\0\0\x02"
                          "\0\0\0\0\0\x0f\x42\x40\x01"sv));
}

TEST(Replication, StartsWithQuotedNames) {
    EXPECT_EQ(start_replication("segue_m_source", Position{0x16b3748}, {"segue_m"}),
              "START_REPLICATION SLOT \"segue_m_source\" LOGICAL 0/16B3748 "
              "(proto_version '1', publication_names '\"segue_m\"')");
    EXPECT_EQ(start_replication("a", Position{1}, {"b", "c,d"}),
              "START_REPLICATION SLOT \"a\" LOGICAL 0/1 "
              "(proto_version '1', publication_names '\"b\",\"c,d\"')");
    EXPECT_EQ(start_replication("a\"b", Position{0xffffffff00000000}, {"it's \"x\""}),
              "START_REPLICATION SLOT \"a\"\"b\" LOGICAL FFFFFFFF/0 "
              "(proto_version '1', publication_names '\"it''s \"\"x\"\"\"')");
}

}  // namespace
}  // namespace segue::protocol::postgres
