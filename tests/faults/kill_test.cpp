// kill -9 of Segue at every named instant, crashes of either server, a full disk: the migration
// goes on to its end, and not one acknowledged transaction is lost, doubled, revived or reordered.

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <sstream>

#include "tests/faults/driven_life.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// A life for so many of the kills that were asked for: storm_test has crashes, too.
constexpr int kills_for_a_life = 200;

int lives() {
    const char* const kills = std::getenv("SEGUE_FAULT_ROUNDS");
    return 1 + (kills != nullptr ? std::atoi(kills) : 0) / kills_for_a_life;
}

// The names come from the program itself, so that a new one is tried without anybody thinking of
// it.
std::set<std::string> crash_points() {
    DrivenLife life{1};
    life.begin("list");
    life.live();
    std::istringstream log{life.migration().segue().log()};
    std::set<std::string> points;
    const std::string prefix = "crash point ";
    for (std::string line; std::getline(log, line);) {
        if (line.starts_with(prefix)) points.insert(line.substr(prefix.size()));
    }
    life.expect_right();
    return points;
}

TEST(CrashPoints, NothingIsLostAtAnyOfThem) {
    SEGUE_NEEDS_POSTGRES();
    const std::set<std::string> points = crash_points();
    for (const char* area : {"copy.", "apply.", "change."}) {
        EXPECT_TRUE(points.lower_bound(area) != points.end() &&
                    points.lower_bound(area)->starts_with(area))
            << "no crash point of " << area;
    }
    for (const std::string& point : points) {
        SCOPED_TRACE(point);
        std::cout << "           " << point << std::endl;
        DrivenLife life{2};
        // Those that are reached all the time: not at the first.
        life.begin(point +
                   (point.starts_with("apply.") && point.ends_with("_commit") ? ":20" : ""));
        life.live();
        EXPECT_TRUE(life.has_died()) << "it was never reached";
        life.expect_right();
        if (testing::Test::HasFatalFailure()) return;
    }
}

// While tables are copied, while they are followed, in sync and in the middle of a change of
// authority.
TEST(ServerCrashes, OfEitherServerAtAnyTime) {
    SEGUE_NEEDS_POSTGRES();
    for (int round = 0; round < lives(); ++round) {
        SCOPED_TRACE("seed " + std::to_string(round));
        std::mt19937 random{static_cast<unsigned>(round)};
        DrivenLife life{static_cast<unsigned>(200 + round)};
        life.begin();
        // The servers die with the thread that started them, so it is this one that crashes them.
        std::atomic<bool> over{false};
        std::thread living{[&] {
            life.live();
            over = true;
        }};
        for (int crashes = 0; crashes < 4 && !over; ++crashes) {
            life.workload().wait_for_more(std::uniform_int_distribution<int>{1, 100}(random), 2s);
            if (over) break;
            Migration& migration = life.migration();
            (crashes % 2 == 0 ? migration.target() : migration.source()).restart(Stop::immediate);
        }
        living.join();
        EXPECT_EQ(life.restarts(), 0) << "Segue ended because a server did";
        life.expect_right();
        if (testing::Test::HasFailure()) return;
    }
}

// A small file system for the target's data: it fills up during the copy, and is then given room.
TEST(FullDisk, OfTheTargetIsSaidAndNothingIsLost) {
    SEGUE_NEEDS_POSTGRES();
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to mount a small file system";
    const std::filesystem::path disk = make_folder("segue-small-disk");
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=24m,mode=0777") != 0) {
        std::filesystem::remove(disk);
        GTEST_SKIP() << "may not mount a tmpfs here";
    }
    run_command({{"chown", "postgres", disk}});
    {
        Migration move;
        move.target().run("CREATE TABLESPACE small LOCATION '" + disk.string() + "'");
        move.target().run("ALTER DATABASE shop SET TABLESPACE small");
        move.source().run(
            "CREATE TABLE app.large AS SELECT i, repeat(md5(i::text), 20) AS t FROM "
            "generate_series(1, 60000) i; "
            "ALTER TABLE app.large ADD PRIMARY KEY (i); ALTER TABLE app.large OWNER TO app",
            "shop");
        move.segue().run();
        Workload workload{{move.through()}};
        workload.start();
        move.segue().expect_done({"start"});
        const bool said = eventually(60s, [&] {
            const auto status = move.segue().status();
            return status && (*status)["warnings"].dump().find("space") != std::string::npos;
        });
        EXPECT_TRUE(said) << "status does not warn of the full disk";
        ASSERT_TRUE(workload.wait_for_more(100)) << "clients suffer from the target's full disk";
        ASSERT_EQ(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=400m"), 0);
        if (!move.segue().running()) move.segue().run();
        move.segue().verb({"resume"});
        EXPECT_TRUE(move.segue().wait_consistent());
        workload.stop();
        expect_no_client_noticed(workload.report());
        move.expect_right(workload);
        move.target().stop(Stop::immediate);
    }
    umount2(disk.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(disk, ignored);
}

}  // namespace
}  // namespace segue::test
