#include "backfill/postgres/ddl_left_out.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backfill/event_log.hpp"
#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(GrantedRelations, AreThoseThatAreNamedOneByOne) {
    EXPECT_THAT(granted_relations("GRANT SELECT ON a TO b"), ElementsAre("a"));
    EXPECT_THAT(
        granted_relations("REVOKE GRANT OPTION FOR SELECT (\"on\", x), UPDATE ON TABLE App.T,"
                          " \"Sch\"\"ema\" . \"T\" /* x */ FROM PUBLIC CASCADE"),
        ElementsAre("app.t", "Sch\"ema.T"));
    EXPECT_THAT(granted_relations("GRANT USAGE ON SEQUENCE app.s TO b WITH GRANT OPTION"),
                ElementsAre("app.s"));
    for (const char* const other : {"GRANT a TO b",
                                    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO b",
                                    "GRANT USAGE ON SCHEMA app TO b",
                                    "GRANT EXECUTE ON FUNCTION app.f(int) TO b",
                                    "GRANT SELECT ON",
                                    "GRANT SELECT ON a",
                                    "GRANT SELECT ON . TO b",
                                    "GRANT SELECT ON \"app.t\" TO b",
                                    ""}) {
        EXPECT_THAT(granted_relations(other), IsEmpty()) << other;
    }
}

class DdlLeftOut : public test::DdlTest {};

TEST_F(DdlLeftOut, LeavesOutWhatIsAboutTablesThatAreNotMoved) {
    EXPECT_EQ(
        both("CREATE TABLE app.t (i int); CREATE TABLE app.excluded (id serial, i int); CREATE"
             " FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"),
        "");
    const char* const commands[] = {
        "GRANT SELECT (i), UPDATE ON TABLE app.excluded TO PUBLIC",
        "SET search_path = app; REVOKE UPDATE ON \"excluded\" FROM PUBLIC",
        "GRANT USAGE ON SEQUENCE app.excluded_id_seq TO PUBLIC",
        "CREATE TRIGGER fires BEFORE INSERT ON app.excluded FOR EACH ROW EXECUTE FUNCTION app.f()",
        "COMMENT ON TRIGGER fires ON app.excluded IS 'x'",
        "DROP TRIGGER fires ON app.excluded",
        "CREATE POLICY p ON app.excluded USING (true)",
        "DROP POLICY p ON app.excluded",
        "CREATE INDEX excluded_i ON app.excluded (i)",
        "DROP INDEX app.excluded_i",
        "CREATE VIEW app.seen AS SELECT * FROM excluded",
        "CREATE OR REPLACE VIEW app.seen AS SELECT id, i FROM app.excluded",
        "CREATE VIEW app.\"Seen again\" AS SELECT * FROM app.seen",
        "GRANT SELECT ON app.seen, app.\"Seen again\", app.excluded TO PUBLIC",
        "COMMENT ON VIEW app.seen IS 'x'",
        "ALTER VIEW app.\"Seen again\" RENAME TO once",
        "DROP VIEW app.seen CASCADE",
        "ALTER TABLE app.excluded ADD COLUMN j int",
        "DROP TABLE app.excluded"};
    for (const char* const command : commands) EXPECT_EQ(both(command), "") << command;
    EXPECT_THAT(both("CREATE TABLE app.excluded (i int); GRANT SELECT ON app.t, app.excluded TO"
                     " PUBLIC"),
                HasSubstr("does not exist"));
}

// Of a like name, but moved: that it is missing on the target is for the operator to know.
TEST_F(DdlLeftOut, LeavesOutNothingOfALikeName) {
    const std::string unseen = "SET segue.mover = 'id-1'; ";
    databases_->run(Side::source,
                    unseen +
                        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.excluded (i int);"
                        " CREATE TABLE app.excluded_items (id serial)");
    databases_->run(Side::target, unseen + "CREATE TABLE app.excluded_items (id int)");
    const auto superuser = [&](const std::string& sql) {
        databases_->run(Side::source, sql);
        return carry();
    };
    EXPECT_THAT(superuser("SET search_path = elsewhere; GRANT SELECT ON excluded TO PUBLIC"),
                HasSubstr("does not exist"));
    EXPECT_THAT(superuser("SET search_path = elsewhere; CREATE VIEW app.v AS TABLE excluded"),
                HasSubstr("does not exist"));
    EXPECT_THAT(superuser("GRANT USAGE ON SEQUENCE app.excluded_items_id_seq TO PUBLIC"),
                HasSubstr("does not exist"));
    EXPECT_EQ(superuser("CREATE TABLE app.excluded (\"Id\" serial); SET search_path = nowhere, app;"
                        " GRANT SELECT ON excluded TO PUBLIC;"
                        " GRANT USAGE ON SEQUENCE \"excluded_Id_seq\" TO PUBLIC"),
              "");
    databases_->run(Side::source, unseen + "DROP SCHEMA elsewhere CASCADE");
}

// What is told of commands is as much as of anything else, and never nothing: what is built later
// asks.
TEST_F(DdlLeftOut, KeepsNoMoreOfWhatItHasCarriedThanOfOtherEvents) {
    databases_->run(Side::target,
                    "INSERT INTO segue.event (kind, detail) SELECT 'ddl', 'earlier ' || n FROM"
                    " generate_series(1, " +
                        std::to_string(events_kept_max + 50) + ") n");
    EXPECT_EQ(both("CREATE TABLE app.t (id int PRIMARY KEY)"), "");
    EXPECT_EQ(on_target("SELECT count(*) FROM segue.event WHERE kind = 'ddl'"),
              std::to_string(events_kept_max));
    EXPECT_EQ(on_target("SELECT detail LIKE 'CREATE TABLE, %' FROM segue.event WHERE kind = 'ddl'"
                        " ORDER BY id DESC LIMIT 1"),
              "t");
}

}  // namespace
}  // namespace segue::backfill::postgres
