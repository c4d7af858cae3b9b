#include "proxy/positions.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <semaphore>

namespace segue::proxy {
namespace {

// A server whose answers the test hands out one by one.
struct ScriptedServer {
    std::counting_semaphore<> asked{0}, may_answer{0}, tickets{0};
    Result<Positions::LogEnd> answer = Positions::LogEnd{Position{10}, Position{10}};

    Positions::Server server() {
        return {[this](Side side) -> Result<Positions::LogEnd> {
                    if (side == Side::target) return Positions::LogEnd{Position{7}, Position{7}};
                    asked.release();
                    may_answer.acquire();
                    return answer;
                },
                [this](Side) -> Status {
                    tickets.release();
                    return Done{};
                }};
    }
};

// Blocks until the eventfd has been written: the way a relay thread learns of a token.
void wait_for_wake_up(int event_fd) {
    std::uint64_t count = 0;
    ASSERT_EQ(::read(event_fd, &count, sizeof count), static_cast<ssize_t>(sizeof count));
}

struct PositionsTest : testing::Test {
    ScriptedServer scripted;
    Positions positions{scripted.server()};
    int event_fd = ::eventfd(0, 0);
    void SetUp() override {
        positions.subscribe(event_fd);
        positions.start();
    }
    void TearDown() override {
        scripted.may_answer.release(
            1000);  // Whatever is still asked is answered, so that stop can join.
        positions.stop();
        ::close(event_fd);
    }
};

TEST_F(PositionsTest, AnswersWithAReadingThatBeganAfterTheRequest) {
    const auto first = positions.ask(Side::source);
    scripted.asked.acquire();                         // The reading for the first has begun ...
    const auto second = positions.ask(Side::source);  // ... so it must not serve the second.
    scripted.may_answer.release();
    wait_for_wake_up(event_fd);
    const Token token = positions.newest(Side::source);
    EXPECT_EQ(token.request, first);
    EXPECT_LT(token.request, second);

    scripted.asked.acquire();
    scripted.answer = Positions::LogEnd{Position{20}, Position{20}};
    scripted.may_answer.release();
    wait_for_wake_up(event_fd);
    EXPECT_EQ(positions.newest(Side::source).request, second);
    EXPECT_EQ(positions.newest(Side::source).position, Position{20});
}

TEST_F(PositionsTest, ServesEverybodyWhoWaitsWithOneReading) {
    positions.ask(Side::source);
    scripted.asked.acquire();
    for (int i = 0; i < 50; ++i) positions.ask(Side::source);
    scripted.may_answer.release(2);
    wait_for_wake_up(event_fd);
    while (positions.newest(Side::source).request < 51) wait_for_wake_up(event_fd);
    scripted.asked.acquire();
    EXPECT_FALSE(scripted.asked.try_acquire()) << "two readings were enough for 51 requests";
}

TEST_F(PositionsTest, AHangingServerDoesNotHoldUpTheOther) {
    positions.ask(Side::source);
    scripted.asked.acquire();  // Hangs from here on.
    const auto request = positions.ask(Side::target);
    wait_for_wake_up(event_fd);
    EXPECT_EQ(positions.newest(Side::target).request, request);
    EXPECT_EQ(positions.newest(Side::target).position, Position{7});
    EXPECT_EQ(positions.newest(Side::source).request, 0u);
}

TEST_F(PositionsTest, AsksAgainAfterAFailureAndReportsIt) {
    scripted.answer = Error{Errc::closed, "gone"};
    positions.ask(Side::source);
    scripted.asked.acquire();
    scripted.may_answer.release();
    scripted.asked.acquire();  // The retry.
    EXPECT_EQ(positions.problem(Side::source), "gone");
    scripted.answer = Positions::LogEnd{Position{30}, Position{30}};
    scripted.may_answer.release();
    wait_for_wake_up(event_fd);
    EXPECT_EQ(positions.newest(Side::source).position, Position{30});
}

TEST_F(PositionsTest, CommitsATicketOnAServerThatDoesNotFlush) {
    scripted.answer = Positions::LogEnd{Position{40}, Position{35}};
    positions.ask(Side::source);
    scripted.may_answer.release(2);  // The token, and the reading before the ticket.
    wait_for_wake_up(event_fd);
    EXPECT_EQ(positions.newest(Side::source).position, Position{40})
        << "the token does not wait for it";
    scripted.tickets.acquire();
}

}  // namespace
}  // namespace segue::proxy
