// configs/roles.sql is all that Segue's role needs: with it alone, and no superuser, a database
// goes there, back, and there for good.

#include <gtest/gtest.h>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// Returns what it says.
std::string run_roles_sql(const PostgresServer& server, const std::string& side) {
    const CommandResult done = run_command({{(PostgresServer::binaries() / "psql").string(),
                                             "-X",
                                             "-q",
                                             "-v",
                                             "side=" + side,
                                             "-v",
                                             "role=least",
                                             "-f",
                                             std::string{TEST_FOLDER} + "/../../configs/roles.sql",
                                             server.socket_url("shop")}});
    EXPECT_EQ(done.exit_code, 0) << done.err;
    server.run("ALTER ROLE least PASSWORD 'least'");
    EXPECT_EQ(server.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'least'"), "f");
    EXPECT_EQ(server.value("SELECT count(*) FROM pg_roles WHERE rolsuper AND pg_has_role('least', "
                           "oid, 'MEMBER')"),
              "0");
    return done.out + done.err;
}

SegueOptions with_least(Migration& move) {
    return {.source_url = move.source().url("shop", "least", "least"),
            .target_url = move.target().url("shop", "least", "least")};
}

std::vector<std::string> failures(const SegueProcess& segue) {
    const CommandResult checked = segue.verb({"check", "--json"});
    const auto json = nlohmann::json::parse(checked.out, nullptr, false);
    std::vector<std::string> codes;
    if (!json.is_object()) return {"no JSON: " + checked.out + checked.err};
    for (const auto& finding : json["findings"]) {
        if (finding["severity"] == "fail") codes.push_back(finding["code"]);
    }
    return codes;
}

TEST(LeastPrivilege, IsEnoughForTheWholeLife) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    // Nothing was created by `mover`, who is a superuser, and another owner is there as well.
    move.source().run(
        "CREATE ROLE second NOLOGIN; CREATE SCHEMA theirs AUTHORIZATION second; SET ROLE second;"
        "CREATE TABLE theirs.t (id bigserial PRIMARY KEY, v text); INSERT INTO theirs.t (v) SELECT "
        "'x' FROM "
        "generate_series(1, 100);"
        "ALTER TABLE theirs.t ENABLE ROW LEVEL SECURITY; ALTER TABLE theirs.t FORCE ROW LEVEL "
        "SECURITY",
        "shop");
    move.source().run(
        "CREATE EXTENSION hstore; CREATE TABLE public.kept (h hstore PRIMARY KEY);"
        "ALTER TABLE public.kept OWNER TO app",
        "shop");
    run_roles_sql(move.source(), "source");
    run_roles_sql(move.target(), "target");
    SegueProcess least{with_least(move)};
    // What the target cannot know before the tables are there.
    EXPECT_EQ(failures(least), (std::vector<std::string>{"extension", "row_security"}));
    move.target().run("CREATE EXTENSION hstore; ALTER ROLE least BYPASSRLS", "shop");
    ASSERT_EQ(failures(least), std::vector<std::string>{});
    least.run();
    Workload workload{{least.url("shop", "app", "app")}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(100));
    ASSERT_EQ(least.expect_done({"start"}).exit_code, 0);
    ASSERT_TRUE(least.wait_consistent());
    ASSERT_TRUE(least.until_done({"mirror", "sync"}));
    ASSERT_TRUE(workload.wait_for_more(100));
    least.expect_done({"verify"});
    for (const char* verb : {"cutover", "rollback", "cutover"}) {
        ASSERT_TRUE(least.change(verb));
        ASSERT_TRUE(workload.wait_for_more(100));
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
    EXPECT_EQ(move.target().value("SELECT count(*) FROM theirs.t", "shop"), "100");
    least.expect_done({"finish"});
}

// Each line of the file is needed: without it `check` fails or warns, by this code.
TEST(LeastPrivilege, CheckNamesWhatIsTakenAway) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    run_roles_sql(move.source(), "source");
    run_roles_sql(move.target(), "target");
    SegueProcess least{with_least(move)};
    ASSERT_EQ(failures(least), std::vector<std::string>{});
    struct Taken {
        const char *away, *back, *code;
        bool on_target;
    };
    const Taken taken[] = {
        {"ALTER ROLE least NOREPLICATION",
         "ALTER ROLE least REPLICATION",
         "role_replication",
         false},
        {"REVOKE CREATE ON DATABASE shop FROM least",
         "GRANT CREATE ON DATABASE shop TO least",
         "role_create",
         true},
        {"REVOKE app FROM least", "GRANT app TO least", "role_owner", false},
        {"REVOKE SET ON PARAMETER session_replication_role FROM least",
         "GRANT SET ON PARAMETER session_replication_role TO least",
         "replica_role",
         true},
        {"ALTER ROLE least NOCREATEROLE", "ALTER ROLE least CREATEROLE", "role_createrole", true},
        {"REVOKE SELECT ON pg_authid FROM least",
         "GRANT SELECT ON pg_authid TO least",
         "role_verifiers",
         false},
        {"REVOKE pg_monitor FROM least", "GRANT pg_monitor TO least", "role_monitor", false},
        {"REVOKE pg_signal_backend FROM least",
         "GRANT pg_signal_backend TO least",
         "role_signal",
         true},
        {"ALTER ROLE least CONNECTION LIMIT 3",
         "ALTER ROLE least CONNECTION LIMIT -1",
         "connection_limit",
         false},
    };
    for (const Taken& one : taken) {
        SCOPED_TRACE(one.code);
        PostgresServer& server = one.on_target ? move.target() : move.source();
        server.run(one.away, "shop");
        CommandResult checked;
        // Its connections of the last time may be open for a moment longer than it, and count.
        EXPECT_TRUE(eventually(10s,
                               [&] {
                                   checked = least.verb({"check"});
                                   return checked.out.find(one.code) != std::string::npos;
                               }))
            << one.code << "\n"
            << checked.out << checked.err;
        server.run(one.back, "shop");
    }
    const CommandResult checked = least.expect_done({"check"});
    for (const Taken& one : taken) EXPECT_EQ(checked.out.find(one.code), std::string::npos);
}

// What a superuser would do without a word is said where there is none.
TEST(LeastPrivilege, CheckNamesWhatOnlyASuperuserCouldCreate) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    move.source().run(
        "CREATE EXTENSION file_fdw; CREATE FUNCTION quick(int) RETURNS int LANGUAGE internal AS "
        "'int4abs';"
        "CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit();"
        "CREATE ROLE powerful SUPERUSER; CREATE TABLE theirs (i int PRIMARY KEY); ALTER TABLE "
        "theirs OWNER TO powerful",
        "shop");
    const std::string said = run_roles_sql(move.source(), "source");
    EXPECT_NE(said.find("ALTER TABLE public.theirs OWNER TO"), std::string::npos) << said;
    run_roles_sql(move.target(), "target");
    SegueProcess least{with_least(move)};
    const CommandResult checked = least.verb({"check"});
    EXPECT_EQ(checked.exit_code, 1);
    for (const char* told : {"extension                 target: extension file_fdw",
                             "superuser_object          source: function public.quick(integer)",
                             "superuser_object          source: event trigger audit",
                             "owner_missing             target: role powerful",
                             "owner_not_ours            target: role powerful"})
        EXPECT_NE(checked.out.find(told), std::string::npos) << told << "\n" << checked.out;
    EXPECT_NE(checked.out.find("ALTER TABLE public.theirs OWNER TO"), std::string::npos);
    EXPECT_EQ(checked.out.find("GRANT powerful"), std::string::npos);
    move.target().run("CREATE EXTENSION file_fdw", "shop");
    EXPECT_EQ(least.verb({"check"}).out.find("extension file_fdw"), std::string::npos);
    // The owner that the file asks for, and it is enough.
    move.source().run("ALTER TABLE theirs OWNER TO app", "shop");
    EXPECT_EQ(run_roles_sql(move.source(), "source").find("OWNER TO"), std::string::npos);
    EXPECT_EQ(least.verb({"check"}).out.find("powerful"), std::string::npos);
}

}  // namespace
}  // namespace segue::test
