// Twenty healthy schemas: `check` has nothing against any of them, and the whole life works.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/healthy_schemas.hpp"
#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

// Beside them what is not to be moved, with all that belongs to it.
constexpr const char* left_out = R"sql(
    SET ROLE app; CREATE SCHEMA left_out; CREATE TABLE left_out.junk (id serial PRIMARY KEY, d int GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE left_out.events (i int PRIMARY KEY) PARTITION BY RANGE (i);
    CREATE TABLE left_out.events_1 PARTITION OF left_out.events FOR VALUES FROM (0) TO (100);
    CREATE UNLOGGED TABLE left_out.events_2 PARTITION OF left_out.events FOR VALUES FROM (100) TO (200);
    CREATE INDEX ON left_out.events ((i + 1)); CREATE TABLE left_out.both_out (i int REFERENCES left_out.junk);
    INSERT INTO left_out.events VALUES (1), (150); INSERT INTO left_out.junk DEFAULT VALUES)sql";

MigrationOptions plain() {
    MigrationOptions options;
    options.workload_schema = false;
    options.lines = {{"tables",
                      "exclude = [\"left_out.junk\", \"left_out.events\", "
                      "\"left_out.both_out\", \"elsewhere.t\"]"}};
    return options;
}

std::string failures(const SegueProcess& segue) {
    const CommandResult checked = segue.verb({"check", "--json"});
    const auto json = nlohmann::json::parse(checked.out, nullptr, false);
    if (!json.is_object()) return "no JSON: " + checked.out + checked.err;
    std::string text;
    for (const auto& finding : json["findings"]) {
        if (finding["severity"] != "fail") continue;
        text += finding["code"].get<std::string>() + " of " + finding["object"].get<std::string>() +
                ": " + finding["reason"].get<std::string>() + "\n";
    }
    return text;
}

std::string path_of(const HealthySchema& schema) {
    return "SET search_path = " + std::string{schema.name} + ", public; ";
}

void make(Migration& move, const HealthySchema& schema) {
    SCOPED_TRACE(schema.name);
    Sql maker{move.superuser(move.source())};
    maker.query("SET ROLE app; CREATE SCHEMA " + std::string{schema.name} + "; " + path_of(schema));
    maker.query(schema.made);
}

void live(const std::vector<HealthySchema>& schemas) {
    Migration move{plain()};
    move.source().run(healthy_roles);
    for (PostgresServer* server : {&move.source(), &move.target()})
        server->run(healthy_extensions, "shop");
    for (const HealthySchema& schema : schemas) make(move, schema);
    move.source().run(left_out, "shop");
    EXPECT_EQ(failures(move.segue()), "");
    Sql client{(move.segue().run(), move.through())};
    const auto write = [&] {
        for (const HealthySchema& schema : schemas) {
            SCOPED_TRACE(schema.name);
            client.query(path_of(schema));
            client.query(schema.write);
        }
    };
    ASSERT_EQ(move.segue().expect_done({"start"}).exit_code, 0);
    write();
    ASSERT_TRUE(move.segue().wait_consistent());
    write();
    move.segue().expect_done({"verify"});
    EXPECT_EQ(failures(move.segue()), "");
    for (const char* verb : {"cutover", "rollback", "cutover"}) {
        ASSERT_TRUE(move.segue().change(verb));
        write();
    }
    move.segue().expect_done({"verify"});
    Sql{move.as_mover(move.source())}.query("DROP SCHEMA left_out CASCADE");
    move.expect_equal_soon();
    ASSERT_EQ(move.segue().expect_done({"finish"}).exit_code, 0);
}

TEST(Corpus, TwentyHealthySchemasAreMovedWithoutAWord) {
    SEGUE_NEEDS_POSTGRES();
    ASSERT_GE(healthy_schemas().size(), 20u);
    live(healthy_schemas());
}

// By option: minutes.
TEST(Corpus, EachHealthySchemaIsMovedByItself) {
    SEGUE_NEEDS_POSTGRES();
    if (std::getenv("SEGUE_CORPUS_EACH") == nullptr)
        GTEST_SKIP() << "runs when SEGUE_CORPUS_EACH is set";
    const std::string only = std::getenv("SEGUE_CORPUS_EACH");
    for (const HealthySchema& schema : healthy_schemas()) {
        SCOPED_TRACE(schema.name);
        if (only.empty() || only == schema.name) live({schema});
    }
}

}  // namespace
}  // namespace segue::test
