// Bad input: each gives an error that names the thing and the remedy, with the exit code of
// INTERFACE, and changes nothing.

#include <gtest/gtest.h>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// Exit code 1, and the text names every word.
void expect_refused(const CommandResult& result, const std::vector<std::string>& words) {
    EXPECT_EQ(result.exit_code, 1) << result.out << result.err;
    for (const std::string& word : words) {
        EXPECT_NE((result.out + result.err).find(word), std::string::npos)
            << "\"" << word << "\" is not named in:\n"
            << result.out << result.err;
    }
}

void expect_untouched(PostgresServer& server) {
    EXPECT_EQ(server.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'segue'", "shop"),
              "0");
    EXPECT_EQ(server.value("SELECT count(*) FROM pg_replication_slots", "shop"), "0");
    EXPECT_EQ(server.value("SELECT count(*) FROM pg_publication", "shop"), "0");
}

MigrationOptions small() {
    MigrationOptions options;
    options.workload_schema = false;
    return options;
}

TEST(Check, PassesOnASoundPairAndChangesNothing) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    const CommandResult checked = move.segue().expect_done({"check"});
    EXPECT_FALSE(checked.out.empty());
    expect_untouched(move.source());
    expect_untouched(move.target());
    const CommandResult json = move.segue().expect_done({"check", "--json"});
    EXPECT_FALSE(nlohmann::json::parse(json.out, nullptr, false).is_discarded()) << json.out;
}

TEST(Check, NamesAStoppedServer) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{small()};
    move.target().stop();
    expect_refused(move.segue().verb({"check"}), {"target", std::to_string(move.target().port())});
    move.segue().run();
    expect_refused(move.segue().verb({"start"}), {"target"});
    Sql client{move.through()};
    EXPECT_TRUE(client.connected()) << "clients of the source need no target: " << client.error();
    move.source().stop();
    Sql refused{move.through()};
    EXPECT_FALSE(refused.connected());
    EXPECT_NE(refused.error().find("source"), std::string::npos) << refused.error();
    EXPECT_TRUE(move.segue().status().has_value());
}

TEST(Check, NamesAWrongPasswordAndAMissingDatabase) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{small()};
    SegueProcess wrong{{.source_url = move.source().url("shop", "mover", "wrong"),
                        .target_url = move.target().url("shop", "mover", "mover")}};
    const CommandResult refused = wrong.verb({"check"});
    expect_refused(refused, {"source", "password", "mover"});
    EXPECT_EQ((refused.out + refused.err).find("wrong"), std::string::npos)
        << "the password was printed";
    SegueProcess nowhere{{.source_url = move.source().url("shop", "mover", "mover"),
                          .target_url = move.target().url("nowhere", "mover", "mover")}};
    expect_refused(nowhere.verb({"check"}), {"nowhere", "target"});
}

TEST(Check, NamesAMissingPrivilege) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{small()};
    for (PostgresServer* server : {&move.source(), &move.target()})
        server->run("CREATE ROLE weak LOGIN PASSWORD 'weak'");
    SegueProcess weak{{.source_url = move.source().url("shop", "weak", "weak"),
                       .target_url = move.target().url("shop", "weak", "weak")}};
    expect_refused(weak.verb({"check"}), {"weak", "REPLICATION"});
}

// What check asks for is enough: with it granted, the same role copies and is let go back.
TEST(Check, WhatItAsksForIsEnoughForARoleThatIsNoSuperuser) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        server->run("CREATE ROLE weak LOGIN REPLICATION CREATEROLE PASSWORD 'weak'");
        server->run("GRANT SET ON PARAMETER session_replication_role TO weak", "shop");
        server->run("GRANT CREATE ON DATABASE shop TO weak; GRANT SELECT ON pg_authid TO weak",
                    "shop");
    }
    move.source().run("GRANT app TO weak");
    move.target().run("ALTER ROLE postgres PASSWORD 'another'");
    SegueProcess weak{{.source_url = move.source().url("shop", "weak", "weak"),
                       .target_url = move.target().url("shop", "weak", "weak")}};
    const CommandResult checked = weak.expect_done({"check"});
    EXPECT_NE(checked.out.find("role postgres"), std::string::npos) << checked.out;
    weak.run();
    weak.expect_done({"start"});
    EXPECT_TRUE(weak.wait_consistent());
    ASSERT_TRUE(weak.change("cutover"));
    ASSERT_TRUE(weak.change("rollback"));
}

TEST(Check, NamesWalLevelTheCommandAndTheRestart) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options = small();
    options.source.logical = false;
    Migration move{options};
    expect_refused(move.segue().verb({"check"}),
                   {"source", "wal_level", "ALTER SYSTEM SET wal_level", "restart"});
    move.segue().run();
    expect_refused(move.segue().verb({"start"}), {"wal_level"});
    expect_untouched(move.source());
    expect_untouched(move.target());
}

TEST(Check, NamesAMissingReplicationSlot) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options = small();
    options.source.settings = {"max_replication_slots=1"};
    Migration move{options};
    move.source().run("SELECT pg_create_physical_replication_slot('taken')");
    expect_refused(move.segue().verb({"check"}), {"source", "max_replication_slots"});
}

TEST(Check, NamesATargetTableThatIsNotEmptyOrDifferent) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{small()};
    move.source().run(
        "CREATE TABLE goods (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)",
        "shop");
    move.target().run(
        "CREATE TABLE goods (id int PRIMARY KEY, v text); INSERT INTO goods VALUES (1, 'mine')",
        "shop");
    expect_refused(move.segue().verb({"check"}), {"goods", "target"});
    move.target().run("TRUNCATE goods; ALTER TABLE goods ALTER v TYPE varchar(5)", "shop");
    expect_refused(move.segue().verb({"check"}), {"goods"});
}

TEST(Check, NamesWhatMakesAMoveUnsafe) {
    SEGUE_NEEDS_POSTGRES();
    MigrationOptions options = small();
    options.lines = {{"tables", "without_key = \"refuse\""}};
    Migration move{options};
    move.source().run("CREATE TABLE no_key (v int)", "shop");
    expect_refused(move.segue().verb({"check"}), {"no_key"});
    move.source().run("DROP TABLE no_key; CREATE TABLE with_xid (id int PRIMARY KEY, x xid)",
                      "shop");
    expect_refused(move.segue().verb({"check"}), {"with_xid"});
    move.source().run(
        "DROP TABLE with_xid; CREATE TABLE ruled (id int PRIMARY KEY); "
        "CREATE RULE r AS ON INSERT TO ruled DO ALSO NOTHING; ALTER TABLE ruled ENABLE ALWAYS RULE "
        "r",
        "shop");
    expect_refused(move.segue().verb({"check"}), {"ruled"});
}

TEST(Run, EndsWhenAnAddressIsInUseAndNamesIt) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{small()};
    move.segue().run();
    expect_refused(move.segue().verb({"run"}, 20s), {"in use", "127.0.0.1:"});
    EXPECT_TRUE(move.segue().status()) << "the first one goes on";
}

TEST(Configuration, EveryMistakeIsNamedWithFileLineAndKey) {
    const std::filesystem::path folder = make_folder("segue-config");
    struct Mistake {
        const char* text;
        std::vector<std::string> words;
    };
    const char* urls =
        "[source]\nurl = \"postgresql://a@h/d\"\n[target]\nurl = \"postgresql://a@i/d\"\n";
    const Mistake mistakes[] = {
        {"[mirror]\npolcy = \"strict\"\n", {"polcy", ":2"}},
        {"[cutover]\ndrain_ms = \"soon\"\n", {"drain_ms", ":2"}},
        {"[mirror]\npolicy = \"lax\"\n", {"policy", "strict", "bounded"}},
        {"[listen]\ntls = \"require\"\n", {"tls"}},
        {"[admin]\naddress = \"0.0.0.0:6480\"\n", {"token_file"}},
    };
    for (const Mistake& mistake : mistakes) {
        SCOPED_TRACE(mistake.text);
        SegueProcess with_program{
            {.source_url = "postgresql://a@h/d", .target_url = "postgresql://a@i/d"}};
        write_file(with_program.config(), std::string{mistake.text} + urls);
        const CommandResult refused = with_program.verb({"check"});
        EXPECT_EQ(refused.exit_code, 2) << refused.out << refused.err;
        EXPECT_NE(refused.err.find("segue.toml"), std::string::npos) << refused.err;
        for (const std::string& word : mistake.words)
            EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
    }
    std::filesystem::remove_all(folder);
}

TEST(Verbs, MisuseIsExitCodeTwoAndWhatIsNotAllowedIsRefusedWithTheReason) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    SegueProcess& segue = move.segue();
    EXPECT_EQ(segue.verb({"fly"}).exit_code, 2);
    EXPECT_EQ(segue.verb({"shadow", "150"}).exit_code, 2);
    EXPECT_EQ(segue.verb({"mirror", "maybe"}).exit_code, 2);
    EXPECT_EQ(segue.verb({}).exit_code, 2);
    expect_refused(segue.verb({"cutover"}), {"segue run"});  // Nobody answers at the admin address.
    segue.run();
    for (const char* verb : {"cutover", "verify", "rehearse", "rollback", "finish"}) {
        SCOPED_TRACE(verb);
        const CommandResult refused = segue.verb({verb});
        EXPECT_EQ(refused.exit_code, 1);
        EXPECT_FALSE(refused.err.empty());
    }
    expect_refused(segue.verb({"mirror", "sync"}), {"segue start"});
    expect_refused(segue.verb({"shadow", "10"}), {"segue start"});
    expect_refused(segue.verb({"shift", "10"}), {"segue start"});
    ASSERT_EQ(segue.expect_done({"start"}).exit_code, 0);
    EXPECT_EQ(segue.expect_done({"start"}).exit_code, 0);  // Already so.
    ASSERT_TRUE(segue.wait_consistent());
    expect_refused(segue.verb({"rollback"}), {"source"});
    segue.expect_done({"mirror", "sync"});
    segue.expect_done({"mirror", "sync"});
    ASSERT_TRUE(segue.change("cutover"));
    expect_refused(segue.verb({"cutover"}), {"target"});
    for (const char* verb : {"status", "verify", "rehearse"}) {
        CommandResult json;
        EXPECT_TRUE(eventually(60s,
                               [&] {
                                   json = segue.verb({verb, "--json"});
                                   return json.exit_code == 0;
                               }))
            << verb << json.err;
        EXPECT_FALSE(nlohmann::json::parse(json.out, nullptr, false).is_discarded())
            << verb << json.out;
    }
    EXPECT_NE(http_get(segue.admin_port(), "/metrics").value_or("").find("segue_"),
              std::string::npos);
}

TEST(Status, HasEveryFieldOfTheInterfaceWithItsType) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    const auto status = move.segue().status();
    ASSERT_TRUE(status);
    const auto expect_keys = [&](const std::string& path, const std::vector<std::string>& keys) {
        const nlohmann::json& object = path.empty() ? *status : (*status)[path];
        for (const std::string& key : keys) EXPECT_TRUE(object.contains(key)) << path << "." << key;
    };
    expect_keys("",
                {"authority",
                 "epoch",
                 "finished",
                 "backfill",
                 "mirror",
                 "shadow",
                 "shift",
                 "sessions",
                 "rollback_ready",
                 "rollback_blockers",
                 "last_change",
                 "verify",
                 "stray_writes",
                 "warnings"});
    expect_keys("backfill",
                {"state",
                 "paused",
                 "rows_copied",
                 "rows_total_estimate",
                 "bytes_copied",
                 "eta_seconds",
                 "tables"});
    expect_keys("mirror",
                {"mode",
                 "policy",
                 "degraded",
                 "lag_bytes",
                 "lag_seconds",
                 "applied_position",
                 "retained_log_bytes"});
    expect_keys("shadow", {"percent", "compared", "equal", "different", "unconfirmed", "shed"});
    expect_keys("shift", {"percent", "served_by_follower", "fallbacks"});
    expect_keys("sessions", {"total", "held", "pinned", "pins"});
    expect_keys("verify", {"state", "rows_compared", "differences", "at"});
    EXPECT_EQ((*status)["authority"], "source");
    EXPECT_EQ((*status)["epoch"], 0);
    EXPECT_EQ((*status)["mirror"]["policy"], "strict");
    EXPECT_EQ((*status)["verify"]["state"], "never");
    EXPECT_TRUE((*status)["rollback_blockers"].is_array());
    EXPECT_FALSE((*status)["backfill"]["tables"].empty());
    for (const auto& table : (*status)["backfill"]["tables"]) {
        for (const char* key : {"schema", "name", "state", "rows_copied", "rows_total_estimate"})
            EXPECT_TRUE(table.contains(key));
    }
}

}  // namespace
}  // namespace segue::test
