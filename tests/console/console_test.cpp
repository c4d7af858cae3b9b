// The operator's page, driven by a browser on a migration that is under way: a plan that is
// followed, a change of authority behind its confirmation, and what a verification has found.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// Markup in a name must stay text on the page.
constexpr const char* evil_table = R"(CREATE TABLE app."<img src=x onerror=alert(1)>" (id int))";

TEST(Console, ChangesTheAuthorityBehindAConfirmationAndShowsWhatDiffers) {
    SEGUE_NEEDS_POSTGRES();
    if (!std::filesystem::exists("/usr/bin/chromedriver"))
        GTEST_SKIP() << "no browser is installed here (Debian: chromium, chromium-driver)";
    Migration move;
    Sql{move.direct(move.source())}.query(
        "CREATE TABLE app.quiet (id int PRIMARY KEY); "
        "INSERT INTO app.quiet SELECT generate_series(1, 100);" +
        std::string{evil_table});
    ASSERT_TRUE(move.copy());
    Sql client{move.through()};
    ASSERT_EQ(client.value("SELECT count(*) FROM app.quiet"), "100");
    const auto page = [&](const std::string& part) {
        const CommandResult ran =
            run_command({{"/usr/bin/python3",
                          CONSOLE_FOLDER "/console.py",
                          "http://127.0.0.1:" + std::to_string(move.segue().admin_port()) + "/",
                          part},
                         {},
                         240s});
        EXPECT_EQ(ran.exit_code, 0) << part << "\n" << ran.out << ran.err;
    };
    const std::string plan = move.segue().folder() / "plan.toml";
    write_file(plan,
               "[plan]\nname = \"desk\"\ninterval_seconds = 0.5\nwindow_seconds = 2\n"
               "[[step]]\ndo = \"shadow\"\npercent = 100\nwatch_seconds = 3600\n"
               "[[step]]\ndo = \"cutover\"\n");
    move.segue().expect_done({"auto", plan, "--detach"});
    page("plan");
    page("change");
    EXPECT_TRUE(move.segue().wait_status("/authority", "target"));
    EXPECT_EQ(client.value("SELECT count(*) FROM app.quiet"), "100");

    // The follower is the source now.
    Sql{move.as_mover(move.source())}.query("DELETE FROM app.quiet WHERE id IN (7, 8)");
    EXPECT_EQ(move.segue().verb({"verify"}).exit_code, 1);
    page("differences");
    // Until then `finish` is refused.
    move.segue().expect_done({"repair"});
    page("finish");
    EXPECT_TRUE(move.segue().wait_status("/finished", true));
    EXPECT_EQ(client.value("SELECT count(*) FROM app.quiet"), "100");
}

}  // namespace
}  // namespace segue::test
