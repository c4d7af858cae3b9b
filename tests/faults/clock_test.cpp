// Wall clocks that jump, by hours and days, of Segue and of both servers: what Segue decides hangs
// on none of them.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <fstream>
#include <set>
#include <string_view>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

class Clock {
public:
    Clock() {
        ::chmod(folder_.c_str(), 0755);
        write_file(file(), std::string(sizeof(std::int64_t), '\0'));
    }
    ~Clock() { std::filesystem::remove_all(folder_); }

    // What a program is started with, to live by this clock.
    std::vector<std::pair<std::string, std::string>> environment() const {
        return {{"LD_PRELOAD", SEGUE_TEST_CLOCK}, {"SEGUE_CLOCK", file()}};
    }
    void jump(std::chrono::seconds ahead) {
        ahead_ = ahead;
        const std::int64_t seconds = ahead.count();
        // In place: it is mapped.
        std::fstream{file(), std::ios::in | std::ios::out | std::ios::binary}.write(
            reinterpret_cast<const char*>(&seconds), sizeof seconds);
    }
    std::chrono::seconds ahead() const { return ahead_; }

private:
    std::string file() const { return folder_ / "ahead"; }
    std::filesystem::path folder_ = make_folder("segue-clock");
    std::chrono::seconds ahead_{};
};

// Before any of it starts.
struct Clocks {
    Clock segue, source, target;
    MigrationOptions options() const {
        MigrationOptions options;
        options.environment = segue.environment();
        options.source.environment = source.environment();
        options.target.environment = target.environment();
        return options;
    }
};

// Whether the jump has reached the server: a test of the test.
void expect_ahead(const PostgresServer& server, std::chrono::hours hours) {
    Sql ours{server.socket_url()};
    const std::string ahead = ours.value("SELECT round((extract(epoch FROM clock_timestamp()) - " +
                                         std::to_string(std::time(nullptr)) + ") / 3600)");
    EXPECT_EQ(ahead, std::to_string(hours.count()));
}

TEST(ClockJump, OfAnyPartyLosesNothingAndHoldsNobodyUp) {
    SEGUE_NEEDS_POSTGRES();
    Clocks clocks;
    Migration move{clocks.options()};
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Workload clients{{move.through()}};
    clients.start();
    // A server whose clock goes back keeps its own pg_sleep waiting, also without Segue.
    const struct {
        const char* what;
        Clock& of;
        std::chrono::hours ahead;
    } jumps[] = {{"the source's, by a day", clocks.source, 24h},
                 {"the target's, by a day", clocks.target, 24h},
                 {"Segue's, by a day", clocks.segue, 24h},
                 {"Segue's, back by two", clocks.segue, -24h}};
    const char* verb = "cutover";
    std::set<std::string> told;  // The days of the changes, as Segue knows them.
    for (const auto& jump : jumps) {
        SCOPED_TRACE(jump.what);
        jump.of.jump(jump.ahead);
        expect_ahead(move.source(),
                     std::chrono::duration_cast<std::chrono::hours>(clocks.source.ahead()));
        expect_ahead(move.target(),
                     std::chrono::duration_cast<std::chrono::hours>(clocks.target.ahead()));
        EXPECT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
        ASSERT_TRUE(move.segue().wait_status("/rollback_ready", true, 60s));
        ASSERT_TRUE(move.segue().change(verb));
        told.insert((*move.segue().status())["last_change"]["at"].get<std::string>().substr(0, 10));
        verb = std::string_view{verb} == "cutover" ? "rollback" : "cutover";
    }
    EXPECT_GE(told.size(), 3u) << "its own clock did not jump";
    EXPECT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
    clients.stop();
    expect_no_client_noticed(clients.report());
    move.segue().expect_done({"verify"});
    move.expect_right(clients);
}

}  // namespace
}  // namespace segue::test
