// What `check` says of two servers that are set up differently, and of what runs on them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>
#include <string_view>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/preflight_extensions.hpp"
#include "backfill/preflight.hpp"
#include "tests/backfill/preflight_support.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::backfill {
namespace {

using test::PostgresServer;
using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::Not;

// "fail code of object", and the same for warn; "note ..." only of those that are asked for.
std::set<std::string> told(const PostgresServer& source,
                           const PostgresServer& target,
                           const std::set<std::string_view>& notes = {}) {
    ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = source.url();
    settings.url[1] = target.url();
    const auto findings = postgres_preflight(settings);
    EXPECT_TRUE(findings);
    std::set<std::string> said;
    for (const Finding& finding : *findings) {
        const bool note = finding.severity == Severity::information;
        if (note && !notes.contains(finding.code.name())) continue;
        said.insert((note                                 ? "note "
                     : finding.severity == Severity::fail ? "fail "
                                                          : "warn ") +
                    std::string{finding.code.name()} + " of " + finding.object);
    }
    return said;
}

// A server that was made of another one's files has its identity.
TEST(PreflightServers, TellsOneServerFromTheCopyOfItsFiles) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer source, target;
    EXPECT_TRUE(told(source, source).contains("fail same_database of target"));
    const std::string settings = test::read_file(target.data() / "postgresql.conf");
    target.stop();
    source.stop();
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"rm", "-rf", target.data()},
          {"cp", "-a", source.data(), target.data()}}) {
        ASSERT_EQ(test::run_command({command}).exit_code, 0);
    }
    test::write_file(target.data() / "postgresql.conf", settings);
    source.start();
    target.start();
    EXPECT_EQ(source.value("SELECT system_identifier FROM pg_control_system()"),
              target.value("SELECT system_identifier FROM pg_control_system()"));
    EXPECT_FALSE(told(source, target).contains("fail same_database of target"));
    EXPECT_TRUE(told(target, target).contains("fail same_database of target"));
    EXPECT_EQ(source.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

TEST(PreflightServers, ComparesHowTheyAreSetUp) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{{.settings = {"max_prepared_transactions=5",
                                              "wal_sender_timeout=5s",
                                              "max_connections=70",
                                              "shared_preload_libraries=pg_stat_statements",
                                              "synchronous_commit=off",
                                              "logical_decoding_work_mem=1MB",
                                              "max_slot_wal_keep_size=1GB",
                                              "archive_mode=on",
                                              "archive_command=false",
                                              "allow_in_place_tablespaces=on"}}};
    const PostgresServer target{{.settings = {"TimeZone=Asia/Tokyo",
                                              "random_page_cost=1.1",
                                              "archive_mode=on",
                                              "archive_command=true",
                                              "max_connections=10",
                                              "max_prepared_transactions=0",
                                              "default_transaction_read_only=on",
                                              "synchronous_standby_names=one",
                                              "superuser_reserved_connections=1",
                                              "max_wal_senders=4"}}};
    source.run(
        "CREATE ROLE careless LOGIN; ALTER ROLE careless SET session_replication_role = replica");
    source.run("SET password_encryption = md5; CREATE ROLE aged LOGIN PASSWORD 'a'");
    source.run("SELECT pg_replication_origin_create('of a tool')");
    source.run("CREATE TABLESPACE apart LOCATION ''");
    source.run("CREATE TABLE t (i int PRIMARY KEY) TABLESPACE apart");
    source.run("SELECT pg_switch_wal()");
    EXPECT_TRUE(test::eventually(std::chrono::seconds{60}, [&] {
        return source.value("SELECT failed_count > 0 FROM pg_stat_archiver") == "t";
    }));
    const std::set<std::string_view> notes = {
        "planner_differs", "log_archiving", "other_consumers", "tablespace"};
    EXPECT_THAT(told(source, target, notes),
                IsSupersetOf({"note planner_differs of target: setting random_page_cost",
                              "warn log_archiving of source",
                              "note log_archiving of target",
                              "note other_consumers of source: origin of a tool",
                              "note tablespace of source: tablespace apart",
                              "warn setting_differs of target: setting TimeZone",
                              "fail max_connections of target",
                              "warn two_phase of target",
                              "warn preload_library of target: library pg_stat_statements",
                              "warn wal_sender_timeout of source",
                              "warn decoding_memory of source",
                              "warn slot_keep_size of source",
                              "warn commit_async of source: setting synchronous_commit",
                              "warn replication_role_setting of source: role careless",
                              "warn read_only_default of target",
                              "warn synchronous_standbys of target",
                              "warn durability of source: setting fsync",
                              "warn md5_verifier of source: roles"}));
}

TEST(PreflightServers, NamesTheLimitsThatAreReached) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{{.settings = {"max_replication_slots=1",
                                              "max_locks_per_transaction=10",
                                              "max_connections=10",
                                              "max_wal_senders=1",
                                              "max_worker_processes=1",
                                              "autovacuum_max_workers=1"}}};
    const PostgresServer target;
    source.run("SELECT pg_create_physical_replication_slot('taken')");
    source.run(
        "DO $$ BEGIN FOR i IN 1 .. 400 LOOP EXECUTE format('CREATE TABLE t%s (i int PRIMARY KEY)', "
        "i);"
        " COMMIT; END LOOP; END $$");
    EXPECT_THAT(told(source, target),
                IsSupersetOf({"fail replication_slots of source", "warn lock_table of source"}));
}

TEST(PreflightServers, SeesWhatRuns) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{{.settings = {"max_prepared_transactions=5"}}}, target;
    source.run("CREATE TABLE t (i int PRIMARY KEY)");
    // One that is left behind is found at once, however young it is.
    source.run("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'");
    EXPECT_THAT(told(source, target),
                Contains("fail prepared_transaction of source: transaction 'left behind'"));
    source.run("COMMIT PREPARED 'left behind'");
    test::Sql direct{source.socket_url()}, there{target.url()};
    direct.query("SELECT pg_advisory_lock(1)");
    direct.query("CREATE TEMPORARY TABLE mine (i int)");
    direct.query("LISTEN news");
    test::Sql setting{source.socket_url()};
    setting.query("CREATE SEQUENCE s");
    setting.query("SELECT setval('s', 7)");
    there.query("SELECT 1");
    // Sessions that have just come may be going.
    EXPECT_TRUE(test::eventually(std::chrono::seconds{20}, [&] {
        return told(source, target)
            .contains("warn direct_session of source: role postgres from a unix socket");
    }));
    EXPECT_THAT(told(source, target, {"sequence_set_back"}),
                IsSupersetOf({"note sequence_set_back of source: setval and RESTART IDENTITY",
                              "warn advisory_locks of source: role postgres",
                              "warn session_state of source: LISTEN",
                              "warn target_session of target: role postgres from 127.0.0.1"}));
    EXPECT_THAT(told(source, target),
                Not(Contains("warn direct_session of source: role postgres from 127.0.0.1")));
}

// Whoever may make a view somewhere on the database's path would else have his functions called by
// Segue's own role.
TEST(PreflightServers, LooksUpNoNameByThePathOfTheDatabase) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    databases.run(
        Side::source,
        "CREATE SCHEMA mine; CREATE TABLE mine.ran (what text);"
        "CREATE FUNCTION mine.run(what text) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO mine.ran VALUES (what); RETURN what; END $$;"
        "CREATE VIEW mine.pg_settings AS SELECT mine.run(name) AS name, setting, source"
        " FROM pg_catalog.pg_settings;"
        "CREATE FUNCTION mine.like_or_equal(text, text) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO mine.ran VALUES ($1); RETURN true; END $$;"
        "CREATE OPERATOR mine.= (FUNCTION = mine.like_or_equal, LEFTARG = text, RIGHTARG = text);"
        "CREATE OPERATOR mine.~~ (FUNCTION = mine.like_or_equal, LEFTARG = text, RIGHTARG = text)");
    databases.run(
        Side::source,
        "ALTER DATABASE \"" + databases.database() + "\" SET search_path = mine, pg_catalog");
    EXPECT_TRUE(postgres_preflight(test::settings_of(databases)));
    EXPECT_EQ(databases.value(Side::source, "SELECT count(*) FROM mine.ran"), "0");
}

TEST(PreflightServers, OrderVersionsAsNumbers) {
    const std::pair<const char*, const char*> rising[] = {
        {"1.9", "1.10"}, {"1.0", "1.0.1"}, {"2", "10"}, {"1.4", "1.4devel"}, {"3.03", "3.4"}};
    for (const auto& [lower, higher] : rising) {
        EXPECT_LT(postgres::compare_versions(lower, higher), 0) << lower << " " << higher;
        EXPECT_GT(postgres::compare_versions(higher, lower), 0) << lower << " " << higher;
        EXPECT_EQ(postgres::compare_versions(lower, lower), 0);
    }
    EXPECT_EQ(postgres::compare_versions("1.01", "1.1"), 0);
}

}  // namespace
}  // namespace segue::backfill
