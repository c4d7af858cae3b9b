// What is told of the servers while nothing is moved.

#include <gtest/gtest.h>

#include <string>

#include "proxy/server_watch.hpp"
#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using test::consistent_world;
using test::Desk;
using test::World;

// Nobody has to ask for it first, and nobody is told again and again.
TEST(Operations, WarnOnceOfAServerThatIsMissingBeforeAnythingIsMoved) {
    World world;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const auto told = [&] {
        std::string all;
        for (const std::string& line : desk.program.journal.lines) {
            if (line.starts_with("servers")) all += line + "\n";
        }
        return all;
    };
    ServerWatch watch{desk.board, desk.program.journal};
    const auto tick = [&] {
        for (int i = 0; i < 30; ++i) watch.look(desk.program.steps);
    };
    tick();
    EXPECT_EQ(told(), "");
    world.down[index(Side::target)] = true;
    tick();
    const std::string warning =
        "servers! the target cannot be reached: the target cannot be reached; `segue start` needs "
        "it\n";
    EXPECT_EQ(told(), warning);
    EXPECT_FALSE(desk.board.read().out_of_reach[index(Side::target)].empty());
    world.down[index(Side::target)] = false;
    tick();
    EXPECT_EQ(told(), warning + "servers: the target can be reached again\n");
    EXPECT_TRUE(desk.board.read().out_of_reach[index(Side::target)].empty());
}

// The old one may be switched off then.
TEST(Operations, MissNoServerOnceTheMoveIsOver) {
    World world = consistent_world(Side::target, 7);
    for (auto& record : world.records) record->phase = router::Phase::finished;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.down[index(Side::source)] = true;
    ServerWatch watch{desk.board, desk.program.journal};
    for (int i = 0; i < 30; ++i) watch.look(desk.program.steps);
    for (const std::string& line : desk.program.journal.lines)
        EXPECT_FALSE(line.starts_with("servers")) << line;
}

}  // namespace
}  // namespace segue::proxy
