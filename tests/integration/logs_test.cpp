// No value of a row is in what Segue writes for its operator, also when rows are what fails.

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* marker = "Marker4711";

struct Spoilt {
    const char* name;
    const char* on_target;  // Makes the follower refuse what comes next, with the row in its error.
};

class Logs : public testing::TestWithParam<Spoilt> {};

TEST_P(Logs, HoldNoValueOfARowThatCannotBeApplied) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options;
    options.workload_schema = false;
    options.lines.push_back({"log", "level = \"debug\""});
    Migration move{options};
    Sql{move.superuser(move.source())}.query(
        "CREATE TABLE goods (id int PRIMARY KEY, v text); ALTER TABLE goods OWNER TO app");
    ASSERT_TRUE(move.copy());
    Sql rogue{move.as_mover(move.target())};
    rogue.query(GetParam().on_target);
    Sql client{move.through()};
    client.query("INSERT INTO goods VALUES (4711, '" + std::string{marker} + "')");
    nlohmann::json last;
    EXPECT_TRUE(eventually(30s,
                           [&] {
                               last = move.segue().status().value_or(nlohmann::json::object());
                               return last.contains("warnings") && !last["warnings"].empty();
                           }))
        << "the row was applied: " << last.dump(1);
    // Status knows it first; whoever looks after the mover tells it to the log a little later.
    const auto told = [&] { return move.segue().log().find("goods") != std::string::npos; };
    EXPECT_TRUE(eventually(30s, told)) << move.segue().log();
    const std::string events = move.segue().verb({"events"}).out;
    const std::string text =
        events + move.segue().log() + last.dump() +
        http_get(move.segue().admin_port(), "/metrics").value_or("") +
        move.segue().verb({"status"}).out + move.segue().verb({"check"}).out +
        move.source().value("SELECT string_agg(detail, ' ') FROM segue.event", "shop") +
        move.target().value("SELECT string_agg(detail, ' ') FROM segue.event", "shop");
    EXPECT_EQ(text.find(marker), std::string::npos) << text;
    EXPECT_NE(events.find("start, asked by "), std::string::npos) << events;
}

INSTANTIATE_TEST_SUITE_P(
    OnTheFollower,
    Logs,
    testing::Values(
        Spoilt{"another_type", "ALTER TABLE goods ALTER v TYPE int USING NULL"},
        Spoilt{"a_check", "ALTER TABLE goods ADD CHECK (v <> 'Marker4711')"},
        Spoilt{
            "a_raise",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no % here', "
            "NEW.v; END $$; CREATE TRIGGER f BEFORE INSERT ON goods FOR EACH ROW EXECUTE FUNCTION "
            "f(); ALTER TABLE goods ENABLE ALWAYS TRIGGER f"},
        Spoilt{"a_duplicate", "INSERT INTO goods VALUES (4711, 'Marker4711')"}),
    [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace segue::test
