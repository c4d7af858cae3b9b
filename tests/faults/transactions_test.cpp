// Transactions that are very large, or that stay open or prepared: while tables are copied, while
// they are followed, and at a cutover.

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// SEGUE_FAULT_ROWS=10000000 for a night.
std::string rows() {
    const char* wanted = std::getenv("SEGUE_FAULT_ROWS");
    return wanted != nullptr ? wanted : "1000000";
}

TEST(LargeTransaction, IsCopiedFollowedAndCutOverInBoundedMemory) {
    SEGUE_NEEDS_POSTGRES();
    constexpr long memory_max_kb = 512 * 1024;
    Migration move;
    Sql writer{move.direct(move.source())};
    writer.query("CREATE TABLE app.million (id bigint PRIMARY KEY, body text)");
    // Open while the copy begins and committed in its midst.
    writer.query("INSERT INTO app.million SELECT i, 'first ' || i FROM generate_series(1, 1000) i");
    move.segue().run();
    Workload clients{{move.through(), 2}};
    clients.start();
    move.segue().expect_done({"start"});
    Sql client{move.through()};
    client.query("INSERT INTO app.million SELECT i, 'copied ' || i FROM generate_series(1001, " +
                 rows() + ") i");
    ASSERT_TRUE(move.segue().wait_consistent(300s));
    client.query("UPDATE app.million SET body = 'followed ' || id");
    ASSERT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
    // What is not applied yet refuses a cutover, at no cost to the clients.
    client.query("DELETE FROM app.million WHERE id % 2 = 0");
    const CommandResult early = move.segue().verb({"cutover"});
    if (early.exit_code != 0) {
        EXPECT_TRUE(eventually(300s, [&] { return move.segue().verb({"cutover"}).exit_code == 0; }))
            << early.err;
    }
    ASSERT_TRUE(clients.wait_for_more(30));
    clients.stop();
    expect_no_client_noticed(clients.report());
    const std::string count = "SELECT count(*) FROM app.million";
    EXPECT_EQ(client.value(count), move.source().value(count, "shop"));
    move.expect_right(clients);
    EXPECT_LT(move.segue().memory_peak_kb(), memory_max_kb);
    std::printf("memory at most %ld MB\n", move.segue().memory_peak_kb() / 1024);
}

// Creating a slot waits for every transaction that writes, prepared ones too.
TEST(OpenTransaction, DelaysTheCopyAndNothingElse) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.segue().run();
    Sql idle{move.through()}, preparing{move.through()};
    idle.query("BEGIN");
    idle.query("INSERT INTO app.keyed VALUES (-90, 'idle in transaction')");
    preparing.query("BEGIN");
    preparing.query("INSERT INTO app.keyed VALUES (-91, 'prepared')");
    preparing.query("PREPARE TRANSACTION 'old'");
    CommandResult started;
    std::thread start{[&] { started = move.segue().verb({"start"}); }};
    Workload clients{{move.through(), 2}};
    clients.start();
    EXPECT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
    idle.query("COMMIT");
    preparing.query("COMMIT PREPARED 'old'");
    start.join();
    EXPECT_EQ(started.exit_code, 0) << started.err;
    ASSERT_TRUE(move.segue().wait_consistent());
    clients.stop();
    expect_no_client_noticed(clients.report());
    move.expect_right(clients);
}

// Of one that began before the copy and ends after it, and of one that is prepared.
TEST(OpenTransaction, RefusesACutoverUntilItEndsAndLosesNothing) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Sql idle{move.through()}, preparing{move.through()};
    idle.query("BEGIN");
    idle.query("INSERT INTO app.keyed VALUES (-92, 'idle in transaction')");
    CommandResult refused = move.segue().verb({"cutover"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.err.find("idle in transaction for "), std::string::npos) << refused.err;
    preparing.query("BEGIN");
    preparing.query("INSERT INTO app.keyed VALUES (-93, 'prepared')");
    preparing.query("PREPARE TRANSACTION 'later'");
    idle.query("COMMIT");
    refused = move.segue().verb({"cutover"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.err.find("prepared transaction"), std::string::npos) << refused.err;
    EXPECT_NE(refused.err.find("later"), std::string::npos) << refused.err;
    preparing.query("COMMIT PREPARED 'later'");
    ASSERT_TRUE(move.segue().change("cutover"));
    preparing.query("UPDATE app.keyed SET body = 'after' WHERE id IN (-92, -93)");
    move.expect_equal_soon();
    EXPECT_EQ(move.target().value("SELECT count(*) FROM app.keyed WHERE body = 'after'", "shop"),
              "2");
}

}  // namespace
}  // namespace segue::test
