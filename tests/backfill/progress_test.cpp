#include "backfill/progress.hpp"

#include <gtest/gtest.h>

namespace segue::backfill {
namespace {

TEST(Progress, StandsBelowTheFirstParkedCommit) {
    Progress progress{Position{10}, {}};
    progress.committed(Position{12}, Position{15});
    EXPECT_EQ(progress.contiguous(), Position{15});
    progress.parked(Position{16});
    progress.reached(Position{20});
    progress.committed(Position{22}, Position{25});
    progress.committed(Position{26}, Position{29});
    EXPECT_EQ(progress.contiguous(), Position{15});
    EXPECT_EQ(progress.beyond(), (std::vector<Position>{Position{22}, Position{26}}));
    progress.committed(Position{16}, Position{20});
    EXPECT_EQ(progress.contiguous(), Position{29});
    EXPECT_TRUE(progress.beyond().empty());
}

TEST(Progress, WithSeveralParkedOnlyTheFirstCounts) {
    Progress progress{Position{10}, {}};
    progress.parked(Position{11});
    progress.reached(Position{15});
    progress.parked(Position{16});
    progress.committed(Position{20}, Position{25});
    progress.committed(Position{11}, Position{15});
    EXPECT_EQ(progress.contiguous(), Position{15});
    EXPECT_EQ(progress.beyond(), (std::vector<Position>{Position{20}}));
    progress.committed(Position{16}, Position{19});
    EXPECT_EQ(progress.contiguous(), Position{25});
}

TEST(Progress, WhatWasBeyondBeforeARestartIsKeptUntilItIsReached) {
    Progress progress{Position{10}, {Position{20}}};
    progress.committed(Position{11}, Position{15});
    EXPECT_EQ(progress.beyond(), (std::vector<Position>{Position{20}}));
    progress.reached(Position{25});
    EXPECT_TRUE(progress.beyond().empty());
    EXPECT_EQ(progress.contiguous(), Position{25});
}

}  // namespace
}  // namespace segue::backfill
