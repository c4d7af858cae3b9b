#include "backfill/postgres/preflight_roles.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "tests/support/postgres_server.hpp"

namespace segue::backfill {
namespace {

using test::PostgresServer;
using ::testing::HasSubstr;

// What `check` says of roles, by object: "CODE: REASON".
std::map<std::string, std::string> said_of_roles(const ServerSettings& settings) {
    const auto findings = postgres_preflight(settings);
    EXPECT_TRUE(findings);
    std::map<std::string, std::string> said;
    for (const Finding& finding : *findings) {
        if (finding.code.name().starts_with("role_"))
            said[finding.object] += std::string{finding.code.name()} + ": " + finding.reason;
    }
    return said;
}

TEST(PreflightRoles, TellsHowEachRoleGetsInOnBothServers) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{test::ServerOptions{.auth = test::ServerAuth::scram}}, target;
    source.run(
        "CREATE ROLE equal LOGIN PASSWORD 'a'; CREATE ROLE other LOGIN PASSWORD 'a'; CREATE ROLE "
        "absent LOGIN PASSWORD 'a';"
        "CREATE ROLE mapped LOGIN PASSWORD 'a'; CREATE ROLE twice LOGIN PASSWORD 'a'; CREATE ROLE "
        "bare LOGIN; CREATE ROLE nobody;"
        "SET password_encryption = md5; CREATE ROLE aged LOGIN PASSWORD 'a'");
    const auto copied = [&](const std::string& role) {
        const std::string verifier =
            source.value("SELECT rolpassword FROM pg_authid WHERE rolname = '" + role + "'");
        target.run("CREATE ROLE " + role + " LOGIN PASSWORD '" + verifier + "'");
    };
    copied("equal");
    copied("aged");
    target.run(
        "CREATE ROLE other LOGIN PASSWORD 'b'; CREATE ROLE mapped LOGIN PASSWORD 'b'; CREATE ROLE "
        "bare LOGIN");
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.socket_url();
    settings.url[1] = target.socket_url();
    settings.mapped_roles[0] = {"twice"};
    settings.mapped_roles[1] = {"twice", "mapped"};

    auto said = said_of_roles(settings);
    EXPECT_EQ(
        said["role equal"],
        "role_login: SCRAM-SHA-256, the same verifier on both sides: its own password on both");
    EXPECT_EQ(said["role aged"],
              "role_login: md5, the same verifier on both sides: its own password on both");
    EXPECT_THAT(said["role other"], HasSubstr("start gives the target the same verifier"));
    EXPECT_THAT(said["role absent"],
                HasSubstr("start gives the target the role with the same verifier"));
    EXPECT_EQ(said["role mapped"],
              "role_login: its own password on the source, [[credentials]] on the target");
    EXPECT_EQ(said["role twice"], "role_login: Segue logs it in on both sides by [[credentials]]");
    EXPECT_THAT(said["role bare"], HasSubstr("role_login: no password"));
    EXPECT_FALSE(said.contains("role nobody"));

    settings.sync_roles = false;
    said = said_of_roles(settings);
    EXPECT_THAT(said["target: role other"],
                HasSubstr("role_verifier: its password verifier differs"));
    EXPECT_THAT(said["target: role absent"], HasSubstr("role_missing"));
    EXPECT_EQ(
        said["role equal"],
        "role_login: SCRAM-SHA-256, the same verifier on both sides: its own password on both");
    EXPECT_FALSE(said.contains("target: role mapped"));
}

TEST(PreflightRoles, NamesWhatCannotBePassedOnAndManyRolesByTheirNumber) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    test::write_file(
        source.data() / "pg_hba.conf",
        "local all all trust\nhost all kerberos 127.0.0.1/32 gss\nhost all all ::1/128 cert\n"
        "host elsewhere all ::1/128 gss\n");
    source.run(
        "DO $$ BEGIN FOR i IN 1 .. 120 LOOP EXECUTE format('CREATE ROLE app_%s LOGIN', i); END "
        "LOOP; END $$");
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.socket_url();
    settings.url[1] = target.socket_url();
    auto said = said_of_roles(settings);
    EXPECT_THAT(said["source: pg_hba.conf line 2"], HasSubstr("logins of kerberos by gss"));
    EXPECT_FALSE(said.contains("source: pg_hba.conf line 4"));
    EXPECT_THAT(said["21 more roles"], HasSubstr("in order"));  // 120 and postgres.
}

// With such rights their commands are run there.
TEST(PreflightRoles, NamesWhoMayMakeSchemasOnTheSourceOnly) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    for (const PostgresServer* server : {&source, &target})
        server->run("CREATE ROLE app LOGIN; CREATE ROLE \"Maker\"; CREATE ROLE reader LOGIN");
    source.run(
        "ALTER DATABASE postgres OWNER TO app; GRANT CREATE ON DATABASE postgres TO"
        " \"Maker\", PUBLIC; CREATE ROLE late; GRANT CREATE ON DATABASE postgres TO late");
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.socket_url();
    settings.url[1] = target.socket_url();
    const auto remedies = [&] {
        const auto findings = postgres_preflight(settings);
        EXPECT_TRUE(findings);
        std::map<std::string, std::string> found;
        for (const Finding& finding : *findings)
            if (finding.code.name() == "ddl_rights") found[finding.object] = finding.remedy;
        return found;
    };
    const auto before = remedies();
    EXPECT_EQ(before.size(), 4u);
    for (const auto& [object, remedy] : before) {
        SCOPED_TRACE(object);
        EXPECT_THAT(remedy, HasSubstr(";  -- on the target"));
        if (object != "target: role late") target.run(remedy);
    }
    // What all may, a role that is still to come may as well.
    EXPECT_EQ(remedies(), (std::map<std::string, std::string>{}));
}

// Nobody carries them.
TEST(PreflightRoles, NamesTheDatabasesOwnerAndWhoHasRightsOnItOnOneSideOnly) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    for (const PostgresServer* server : {&source, &target}) {
        server->run(
            "CREATE ROLE mover LOGIN REPLICATION; CREATE ROLE app LOGIN; CREATE ROLE \"Reader\""
            " LOGIN");
        server->run("CREATE DATABASE shop");
    }
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.socket_url("shop");
    settings.url[1] = target.socket_url("shop");
    const auto found = [&] {
        const auto findings = postgres_preflight(settings);
        EXPECT_TRUE(findings);
        std::map<std::string, std::string> remedies;
        for (const Finding& finding : *findings) {
            if (finding.code.name().starts_with("database_") && finding.code != "database_setting")
                remedies[finding.object + ": " + finding.reason] = finding.remedy;
        }
        return remedies;
    };
    EXPECT_EQ(found(), (std::map<std::string, std::string>{}));
    source.run(
        "ALTER DATABASE shop OWNER TO app; REVOKE ALL ON DATABASE shop FROM PUBLIC;"
        " GRANT CONNECT ON DATABASE shop TO app, \"Reader\"; CREATE ROLE late LOGIN;"
        " GRANT CONNECT, TEMPORARY ON DATABASE shop TO late");
    source.run(
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO \"Reader\"",
        "shop");
    const auto said = found();
    EXPECT_TRUE(
        said.contains("target: database shop: it belongs to role postgres, on the source to"
                      " app, which may not alter its settings and grants on the target"));
    // What all may there, nobody lacks.
    EXPECT_EQ(said.size(), 3u);
    for (const auto& [what, remedy] : said) {
        SCOPED_TRACE(what);
        target.run(remedy, "shop");
    }
    const auto after = found();
    EXPECT_EQ(after.size(), 3u) << "late is not there, and has two rights; Reader may connect";
    for (const auto& [what, remedy] : after) {
        EXPECT_THAT(remedy, testing::StartsWith("GRANT "));
        if (what.find("role late") == std::string::npos) target.run(remedy, "shop");
    }
    target.run("CREATE ROLE late LOGIN");
    for (const auto& [what, remedy] : found()) target.run(remedy, "shop");
    EXPECT_EQ(found(), (std::map<std::string, std::string>{}));
    // Those on schema public come with the schema where our role may grant them.
    target.run("GRANT CONNECT ON DATABASE shop TO mover");
    settings.url[1] = target.socket_url("shop", "mover");
    EXPECT_EQ(found().size(), 1u) << "PUBLIC may look into the schema";
}

// What an owner needs no grant for on one side, it may need one for on the other.
TEST(PreflightRoles, LeavesTheOwnersOfEitherSideTheirGrantsOnTheDatabase) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    for (const PostgresServer* server : {&source, &target}) {
        server->run("CREATE ROLE mover LOGIN REPLICATION; CREATE ROLE app LOGIN; CREATE ROLE boss");
        server->run("CREATE DATABASE shop");
        server->run("REVOKE ALL ON DATABASE shop FROM PUBLIC");
        server->run("REVOKE ALL ON SCHEMA public FROM PUBLIC", "shop");
    }
    source.run("ALTER DATABASE shop OWNER TO app; GRANT CONNECT ON DATABASE shop TO boss");
    source.run("ALTER SCHEMA public OWNER TO app; GRANT USAGE ON SCHEMA public TO boss", "shop");
    target.run("ALTER DATABASE shop OWNER TO boss; GRANT CONNECT ON DATABASE shop TO mover");
    target.run("ALTER SCHEMA public OWNER TO boss", "shop");
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.socket_url("shop");
    settings.url[1] = target.socket_url("shop", "mover");
    const auto remedies = [&] {
        const auto findings = postgres_preflight(settings);
        EXPECT_TRUE(findings);
        std::set<std::string> said;
        for (const Finding& finding : *findings) {
            if (finding.code == "database_grants") said.insert(finding.remedy);
        }
        return said;
    };
    const auto said = remedies();
    EXPECT_THAT(
        said,
        testing::ElementsAre(testing::HasSubstr("GRANT CONNECT ON DATABASE \"shop\" TO \"app\";"),
                             testing::HasSubstr("GRANT USAGE ON SCHEMA public TO \"app\";")));
    for (const std::string& remedy : said) target.run(remedy, "shop");
    EXPECT_THAT(remedies(), testing::IsEmpty());
}

}  // namespace
}  // namespace segue::backfill
