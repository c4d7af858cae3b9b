// The network between Segue and the servers: half-open, slow.

#include <gtest/gtest.h>

#include "tests/faults/driven_life.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

MigrationOptions with_cables() {
    MigrationOptions options;
    options.cables = true;
    return options;
}

// What is connected hears nothing any more, and no error comes: as behind a firewall that has
// forgotten it.
TEST(Network, AHalfOpenFollowerIsGivenUpAndFoundAgain) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{with_cables()};
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    move.target_cable().silence();
    ASSERT_TRUE(workload.wait_for_more(200)) << "clients suffer from a follower that is silent";
    move.target_cable().mend();
    const auto caught_up = [&] {
        const auto status = move.segue().status();
        return status && (*status)["rollback_ready"] == true;
    };
    EXPECT_TRUE(eventually(90s, caught_up))
        << "the connections that hear nothing are kept for ever";
    move.segue().expect_done({"mirror", "sync"});
    ASSERT_TRUE(workload.wait_for_more(30));
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
}

TEST(Network, ASlowWayToTheFollowerIsOnlySlow) {
    SEGUE_NEEDS_POSTGRES();
    DrivenLife life{301, with_cables()};
    life.migration().target_cable().delay(20ms);
    life.begin();
    life.live();
    life.expect_right();
    EXPECT_EQ(life.workload().report().connections_lost, 0);
}

}  // namespace
}  // namespace segue::test
