#include "backfill/postgres/link.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;

// A view's definition, say, is looked up by a number that the snapshot still shows.
TEST(LinkTest, AsksAgainWhereSomethingWasDroppedWhileItWasDescribed) {
    int asked = 0;
    const auto answer = postgres::retry_locked(
        std::chrono::steady_clock::now() + std::chrono::seconds{60}, [&]() -> Result<int> {
            if (++asked == 2) return 7;
            return Error{Errc::server, "statement: could not open relation with OID 5", "XX000"};
        });
    ASSERT_TRUE(answer) << answer.error().detail;
    EXPECT_EQ(*answer, 7);
}

// Both are 57014: one would be so again, the other one need not.
TEST(LinkTest, TellsATimeThatIsOverFromACancel) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    Link link{databases.url(Side::source), {.application_name = "waits", .settings = {}}};
    const auto over =
        link.run("SELECT pg_sleep(600)", std::nullopt, std::chrono::steady_clock::now() + 200ms);
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().code, Errc::timed_out) << over.error().detail;
    EXPECT_FALSE(met_a_lock(over.error()));
    std::jthread cancels{[&] {
        EXPECT_TRUE(test::eventually(30s, [&] {
            return databases.value(
                       Side::source,
                       "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                       " WHERE application_name = 'waits' AND state = 'active' AND datname"
                       " = current_database()") == "1";
        }));
    }};
    const auto cancelled =
        link.run("SELECT pg_sleep(600)", std::nullopt, std::chrono::steady_clock::now() + 600s);
    ASSERT_FALSE(cancelled);
    EXPECT_EQ(cancelled.error().code, Errc::timed_out) << cancelled.error().detail;
    EXPECT_TRUE(met_a_lock(cancelled.error()));
}

}  // namespace
}  // namespace segue::backfill::postgres
