#include "protocol/postgres/notification_barrier.hpp"

#include <gtest/gtest.h>

#include <string>

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;

std::string message(char tag, const std::string& body) {
    return std::string{tag} + "\0\0\0"s + static_cast<char>(body.size() + 4) + body;
}
std::string notification(const std::string& channel) {
    return message('A', "\0\0\0\1"s + channel + "\0\0"s);
}
const std::string done = message('C', "NOTIFY\0"s) + message('Z', "I");

TEST(NotificationBarrier, CollectsWhatWasNotifiedBeforeItAtEverySplit) {
    const std::string reply = done + notification("theirs") + done + notification("ours") + done;
    for (std::size_t size = 0; size < reply.size(); ++size) {
        EXPECT_TRUE(std::holds_alternative<NeedMore>(
            parse_barrier_reply(bytes(reply.substr(0, size)), "ours")));
    }
    const auto step = parse_barrier_reply(bytes(reply + notification("late")), "ours");
    ASSERT_TRUE(std::holds_alternative<std::string>(step));
    EXPECT_EQ(std::get<std::string>(step), notification("theirs") + notification("late"));
}

TEST(NotificationBarrier, IsNoneWithoutItsOwnNotification) {
    EXPECT_TRUE(std::holds_alternative<Error>(
        parse_barrier_reply(bytes(done + notification("theirs") + done + done), "ours")));
    const std::string refused = message('E', "SERROR\0C25006\0Mno\0\0"s);
    const auto step = parse_barrier_reply(bytes(done + refused), "ours");
    ASSERT_TRUE(std::holds_alternative<Error>(step));
    EXPECT_EQ(std::get<Error>(step).sqlstate, "25006");
}

}  // namespace
}  // namespace segue::protocol::postgres
