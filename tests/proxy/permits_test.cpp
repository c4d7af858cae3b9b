#include "proxy/permits.hpp"

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace segue::proxy {
namespace {

TEST(Permits, AreTriedForWithoutAWaitAndGoToWhoeverWaitsFirst) {
    boost::asio::io_context control;
    const auto permits = std::make_shared<Permits>(control.get_executor(), 1);
    EXPECT_FALSE(Permit{});
    EXPECT_TRUE(permits->try_acquire());
    Permit held{permits};
    EXPECT_TRUE(held);
    EXPECT_FALSE(permits->try_acquire());

    bool acquired = false;
    const auto wait = [&]() -> boost::asio::awaitable<void> {
        co_await permits->acquire();
        acquired = true;
    };
    boost::asio::co_spawn(control, wait(), boost::asio::detached);
    control.poll();
    EXPECT_FALSE(acquired);
    { const Permit gone = std::move(held); }
    EXPECT_FALSE(permits->try_acquire()) << "it is the waiting coroutine's already";
    control.restart();
    control.poll();
    EXPECT_TRUE(acquired);
    permits->release();
    EXPECT_TRUE(permits->try_acquire());
}

}  // namespace
}  // namespace segue::proxy
