// `segue run` with the wrong configuration against a migration that another Segue runs: it says
// what is wrong, and the migration does not notice it.

#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

struct Mistake {
    const char* name;
    std::function<void(Migration&, SegueOptions&)> make;
    const char* said;
};

void to_other_database(Migration& move, SegueOptions& options) {
    move.source().run("CREATE DATABASE other");
    move.target().run("CREATE DATABASE other");
    for (std::string* url : {&options.source_url, &options.target_url})
        url->replace(url->rfind("/shop"), 5, "/other");
}
void to_other_target(Migration& move, SegueOptions& options) {
    move.target().run("CREATE DATABASE other");
    options.target_url.replace(options.target_url.rfind("/shop"), 5, "/other");
}

class WrongConfiguration : public testing::TestWithParam<Mistake> {};

TEST_P(WrongConfiguration, IsSaidAndDoesNothing) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Workload clients{{move.through()}};
    clients.start();
    const auto lease = [&] {
        return move.target().value("SELECT generation FROM segue.lease", "shop") +
               move.source().value("SELECT generation FROM segue.lease", "shop");
    };
    const auto record = [&] {
        const std::string all = "SELECT row(c.*)::text FROM segue.control c";
        return move.source().value(all, "shop") + move.target().value(all, "shop");
    };
    const std::string leases = lease(), records = record();
    {
        SegueOptions options = move.segue_options();
        GetParam().make(move, options);
        SegueProcess wrong{options};
        wrong.launch();
        const auto said = [&] {
            const auto status = wrong.status();
            const std::string all = status ? status->dump() : "";
            return (all + wrong.log()).find(GetParam().said) != std::string::npos;
        };
        EXPECT_TRUE(eventually(30s, said))
            << wrong.log() << (wrong.status() ? wrong.status()->dump(1) : "no status");
        for (const char* verb : {"start", "cutover", "rollback", "finish"}) {
            SCOPED_TRACE(verb);
            const CommandResult refused = wrong.verb({verb});
            EXPECT_NE(refused.exit_code, 0) << refused.out << refused.err;
        }
        ASSERT_TRUE(clients.wait_for_more(30)) << "the clients suffer";
        EXPECT_EQ(lease(), leases);
        EXPECT_EQ(record(), records);
    }
    ASSERT_TRUE(move.segue().change("cutover"));
    ASSERT_TRUE(clients.wait_for_more(30));
    clients.stop();
    expect_no_client_noticed(clients.report());
    move.expect_right(clients);
}

INSTANTIATE_TEST_SUITE_P(
    Of,
    WrongConfiguration,
    testing::Values(Mistake{"swapped_sides",
                            [](Migration&, SegueOptions& options) {
                                std::swap(options.source_url, options.target_url);
                            },
                            "the source's URL leads to the target of the migration"},
                    Mistake{"other_name",
                            [](Migration&, SegueOptions& options) { options.migration = "other"; },
                            "correct [migration] name"},
                    Mistake{"one_server_twice",
                            [](Migration&, SegueOptions& options) {
                                options.target_url = options.source_url;
                            },
                            "expected another database than the source's"},
                    Mistake{"other_target", to_other_target, "moves this migration"}),
    [](const auto& test) { return std::string{test.param.name}; });

// Another database of the same servers is another migration, which nobody has started.
TEST(OtherDatabase, OfTheSameServersIsAnotherMigration) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    SegueOptions options = move.segue_options();
    to_other_database(move, options);
    SegueProcess other{options};
    other.run();
    EXPECT_EQ(other.verb({"cutover"}).exit_code, 1);
    EXPECT_EQ((*other.status())["backfill"]["state"], "none");
    ASSERT_TRUE(move.segue().change("cutover"));
    EXPECT_EQ(move.target().value("SELECT authority FROM segue.control", "shop"), "target");
}

}  // namespace
}  // namespace segue::test
