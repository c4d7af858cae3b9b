// The configuration file: defaults, every key, and a table of files that are refused with line and
// key.

#include "proxy/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace segue::proxy {
namespace {

class ConfigFile {
public:
    explicit ConfigFile(const std::string& text)
        : path_(std::filesystem::temp_directory_path() /
                ("segue-config-test-" + std::to_string(getpid()) + ".toml")) {
        std::ofstream{path_} << text;
    }
    ~ConfigFile() { std::filesystem::remove(path_); }
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

const std::string servers =
    "[source]\nurl = \"postgresql://segue:secret@db1:5433/shop\"\n"
    "[target]\nurl = \"postgresql://segue@db2/shop?sslmode=require\"\n";

Result<Config> load(const std::string& text) { return load_config(ConfigFile{text}.path()); }

TEST(Config, HasTheDefaultsOfTheManual) {
    const auto config = load(servers);
    ASSERT_TRUE(config) << config.error().detail;
    EXPECT_EQ(config->migration, "segue");
    ASSERT_EQ(config->listen.size(), 1u);
    EXPECT_EQ(config->listen[0].host, "127.0.0.1");
    EXPECT_EQ(config->listen[0].port, 6432);
    EXPECT_EQ(config->admin.port, 6480);
    EXPECT_EQ(config->mirror_policy, MirrorPolicy::strict);
    EXPECT_EQ(config->drain.count(), 2000);
    EXPECT_EQ(config->deadline.count(), 5000);
    EXPECT_EQ(config->retained_log_bytes_max, 10240ull << 20);
    EXPECT_EQ(config->source.host, "db1");
    EXPECT_EQ(config->source.port, 5433);
    EXPECT_EQ(config->source.user, "segue");
    EXPECT_EQ(config->source.database, "shop");
    EXPECT_EQ(config->source.sslmode, "");
    EXPECT_EQ(config->target.port, 5432);
    EXPECT_EQ(config->target.sslmode, "require");
    EXPECT_TRUE(config->name_rows);
    EXPECT_EQ(config->name_rows_per_second, 50'000u);
}

TEST(Config, TakesEveryKey) {
    setenv("SEGUE_TEST_PASSWORD", "it's", 1);
    const auto config = load(
        "[migration]\nname = \"shop_2\"\n"
        "[listen]\naddress = [\"0.0.0.0:7000\", \"unix:/tmp/segue.sock\", "
        "\"[::1]:7001\"]\nother_databases = \"refuse\"\n"
        "[admin]\naddress = \"unix:/tmp/segue.admin\"\n"
        "[source]\nurl = \"postgresql:///shop?host=/run/pg&user=mover\"\npassword_env = "
        "\"SEGUE_TEST_PASSWORD\"\n"
        "[target]\nurl = "
        "\"postgresql://segue@[::1]:5433/shop?sslnegotiation=direct&sslmode=require\"\nroles = "
        "\"keep\"\n"
        "[tables]\nexclude = [\"public.junk\"]\nwithout_key = \"refuse\"\n"
        "[mirror]\npolicy = \"bounded\"\nbound_ms = 50\n"
        "[cutover]\ndrain_ms = 10\ndeadline_ms = 20\nrequire_verify = true\n"
        "[limits]\nretained_log_mb = 1\nrelay_threads = 3\nio_uring = false\nlook_us = "
        "20\ncopy_workers = "
        "4\nclients = 5\nlogin_ms "
        "= 6\n"
        "[shadow]\nname_rows = false\nname_rows_per_second = 8\n"
        "[sessions]\ncarry_temporary_kb = 7\n"
        "[log]\nformat = \"json\"\nlevel = \"warning\"\n"
        "[tools]\npg_bin = \"\"\n");
    ASSERT_TRUE(config) << config.error().detail;
    ASSERT_EQ(config->listen.size(), 3u);
    EXPECT_EQ(config->listen[1].unix_path, "/tmp/segue.sock");
    EXPECT_EQ(config->log_format, LogFormat::json);
    EXPECT_EQ(config->log_level, LogLevel::warning);
    EXPECT_EQ(config->listen[2].host, "::1");
    EXPECT_EQ(config->admin.unix_path, "/tmp/segue.admin");
    EXPECT_EQ(config->source.unix_directory, "/run/pg");
    EXPECT_EQ(config->source.host, "");
    EXPECT_NE(config->source.connection.find("password='it\\'s'"), std::string::npos);
    EXPECT_EQ(config->target.host, "::1");
    EXPECT_TRUE(config->target.direct_tls);
    EXPECT_EQ(config->target.sslmode, "require");
    EXPECT_EQ(config->roles, RoleSync::keep);
    EXPECT_EQ(config->exclude, std::vector<std::string>{"public.junk"});
    EXPECT_EQ(config->without_key, WithoutKey::refuse);
    EXPECT_EQ(config->mirror_policy, MirrorPolicy::bounded);
    EXPECT_EQ(config->deadline.count(), 20);
    EXPECT_TRUE(config->require_verify);
    EXPECT_EQ(config->relay_threads, 3);
    EXPECT_FALSE(config->io_uring);
    EXPECT_EQ(config->look.count(), 20);
    EXPECT_EQ(config->clients_max, 5u);
    EXPECT_EQ(config->carry_temporary_max, 7u * 1024);
    EXPECT_FALSE(config->name_rows);
    EXPECT_EQ(config->name_rows_per_second, 8u);
}

TEST(Config, TakesCredentialsByRoleAndSide) {
    setenv("SEGUE_TEST_PASSWORD", "one", 1);
    const ConfigFile password{"two\nthree\n"};
    const std::string file = std::filesystem::temp_directory_path() / "segue-config-test-password";
    std::filesystem::copy_file(
        password.path(), file, std::filesystem::copy_options::overwrite_existing);
    const auto config = load(servers +
                             "[[credentials]]\nrole = \"app\"\nside = \"target\"\npassword_env = "
                             "\"SEGUE_TEST_PASSWORD\"\n"
                             "[[credentials]]\nrole = \"job\"\npassword_file = \"" +
                             file + "\"\n");
    std::filesystem::remove(file);
    ASSERT_TRUE(config) << config.error().detail;
    EXPECT_EQ(config->credentials.find("app", Side::source), nullptr);
    EXPECT_EQ(config->credentials.find("app", Side::target)->password, "one");
    EXPECT_EQ(config->credentials.find("job", Side::source)->password, "two");
    EXPECT_EQ(config->credentials.find("job", Side::target)->password, "two");
}

TEST(Config, TakesWhatTheOperatorAccepts) {
    const auto config = load(servers +
                             "[[accept]]\ncode = \"unlogged_table\"\nobject = \"source: a.b\"\n"
                             "reason = \"a cache\"\n"
                             "[[accept]]\ncode = \"unlogged_table\"\nobject = \"source: a.c\"\n");
    ASSERT_TRUE(config) << config.error().detail;
    EXPECT_EQ(config->accepted,
              (std::vector<backfill::AcceptedFinding>{{"unlogged_table", "source: a.b", "a cache"},
                                                      {"unlogged_table", "source: a.c", ""}}));
}

struct BadFile {
    std::string text;
    const char* expected;  // A part of the error: line, key, and what was expected.
};

TEST(Config, RefusesWithFileLineKeyAndWhatWasExpected) {
    const BadFile files[] = {
        {"[migration]\nnam = \"x\"\n" + servers,
         ":2: [migration] nam: unknown key; did you mean name?"},
        {"[mirrror]\n" + servers, ":1: mirrror: unknown section; did you mean mirror?"},
        {"wal = 1\n" + servers, ":1: wal: unknown key outside of a section"},
        {servers + "[credentials]\nrole = \"a\"\n",
         ":5: credentials: expected sections: [[credentials]]"},
        {servers + "[[credentials]]\nrole = \"a\"\n",
         "[credentials] password_env: expected either password_env or"},
        {servers + "[[credentials]]\nrole = \"a\"\npassword_file = \"/none\"\n",
         ":7: [credentials] password_file: expected a file that can be read, with the password as "
         "its first line: /none (No such file or directory)"},
        {servers + "[[credentials]]\nrole = \"a\"\npassword_env = \"NO_SUCH\"\nside = \"both\"\n",
         ":7: [credentials] password_env: expected an environment variable that is set"},
        {servers + "[[credentials]]\nrole = \"a\"\npasword_env = \"HOME\"\n",
         "did you mean password_env?"},
        {servers + "[[credentials]]\nrole = \"a\"\npassword_env = \"HOME\"\n[[credentials]]\nrole "
                   "= \"a\"\nside = \"source\"\n"
                   "password_env = \"HOME\"\n",
         ":9: [credentials] role: expected one password for a role and side"},
        {servers +
             "[[credentials]]\nrole = \"a\"\npassword_env = \"HOME\"\nclient = \"certificate\"\n",
         "[credentials] client: expected side = \"both\" and [listen] tls_client_ca"},
        {"[listen]\ntls_client_ca = \"/etc/hostname\"\n" + servers,
         "[listen] tls_client_ca: expected tls_certificate and tls_key"},
        {"[source]\nurl = \"postgresql://a@b/c?sslnegotiation=direct\"\n",
         "sslmode require, verify-ca or verify-full"},
        {"[source]\nurl = \"postgresql://a@b/c?sslcert=/x\"\n", "both sslcert and sslkey"},
        {servers + "[[accept]]\nobject = \"x\"\ncode = \"unloged_table\"\n",
         ":7: [accept] code: expected a code of `segue check`, but found \"unloged_table\"; did "
         "you "
         "mean unlogged_table?"},
        {servers + "[[accept]]\ncode = \"wal_level\"\nobject = \"source\"\n",
         ":6: [accept] code: expected a finding that can be accepted, but wal_level cannot"},
        {servers + "[[accept]]\ncode = \"large_objects\"\n",
         "[accept] object: expected the object as `segue check` prints it"},
        {"[migration]\nname = 7\n" + servers, ":2: [migration] name: expected a string"},
        {"[migration]\nname = \"No Good\"\n" + servers,
         ":2: [migration] name: expected 1 to 40 of"},
        {"[listen]\naddress = \"localhost\"\n" + servers,
         ":2: [listen] address: expected an address"},
        {"[listen]\naddress = [\"127.0.0.1:1\", \"127.0.0.1:1\"]\n" + servers,
         ":2: [listen] address: expected different"},
        {"[listen]\naddress = \"127.0.0.1:70000\"\n" + servers, ":2: [listen] address"},
        {"[listen]\naddress = 6432\n" + servers,
         ":2: [listen] address: expected a string or a list"},
        {"[listen]\naddress = \"unix:relative\"\n" + servers, ":2: [listen] address"},
        {"[listen]\n\ntls = \"maybe\"\n" + servers,
         ":3: [listen] tls: expected \"allow\" or \"require\""},
        {"[listen]\ntls = \"require\"\n" + servers,
         ":2: [listen] tls: expected tls_certificate and tls_key"},
        {"[listen]\ntls_key = \"/etc/hostname\"\n" + servers,
         "[listen] tls_certificate: expected both"},
        {"[listen]\ntls_key = \"/nowhere\"\ntls_certificate = \"/etc/hostname\"\n" + servers,
         ":2: [listen] tls_key: expected a file"},
        {"[admin]\naddress = \"0.0.0.0:6480\"\n" + servers,
         ":2: [admin] address: expected a token_file"},
        {"[admin]\naddress = \"127.example.org:6480\"\n" + servers,
         ":2: [admin] address: expected a token_file"},
        {"[admin]\naddress = \"127.0.0.1:6432\"\n" + servers,
         ":2: [admin] address: expected another address"},
        {"[target]\nurl = \"postgresql://segue@db2/shop\"\n", ":1: [source] url: missing"},
        {"[source]\nurl = 1\n[target]\nurl = \"postgresql://segue@db2/shop\"\n",
         ":2: [source] url: expected a string"},
        {"[source]\nurl = \"postgresql://db1/shop\"\n[target]\nurl = "
         "\"postgresql://segue@db2/shop\"\n",
         ":2: [source] url: expected a URI that names the role"},
        {"[source]\nurl = \"postgresql://a@db1\"\n[target]\nurl = "
         "\"postgresql://segue@db2/shop\"\n",
         ":2: [source] url: expected a URI that names the database"},
        {"[source]\nurl = \"postgresql://a@db1,db3/s\"\n[target]\nurl = "
         "\"postgresql://segue@db2/shop\"\n",
         ":2: [source] url: expected one host"},
        {"[source]\nurl = \"mysql://a:secret@db1/s\"\n[target]\nurl = "
         "\"postgresql://segue@db2/shop\"\n",
         ":2: [source] url: expected a libpq URI"},
        {"[source]\nurl = \"postgresql://a@db/s\"\n[target]\nurl = \"postgresql://b@db/s\"\n",
         ":4: [target] url: expected another database"},
        {"[development]\nmove_percent = 20\n" + servers,
         "[target] url: expected the source's own database"},
        {"[development]\nmove_percent = 101\n" + servers,
         ":2: [development] move_percent: expected a whole number from 0 to 100"},
        {servers + "roles = \"copy\"\n", ":5: [target] roles: expected \"sync\" or \"keep\""},
        {servers + "password_env = \"SEGUE_NOT_SET\"\n",
         ":5: [target] password_env: expected an environment variable"},
        {servers + "passfile = \"/nowhere\"\n",
         ":5: [target] passfile: expected a file that can be read: /nowhere (No such file or "
         "directory)"},
        {servers + "[tables]\nexclude = [\"junk\"]\n",
         ":6: [tables] exclude: expected \"schema.table\""},
        {servers + "[tables]\nexclude = \"a.b\"\n", ":6: [tables] exclude: expected a list"},
        {servers + "[tables]\nwithout_key = true\n", ":6: [tables] without_key: expected a string"},
        {servers + "[mirror]\nbound_ms = 0\n",
         ":6: [mirror] bound_ms: expected a whole number from 1"},
        {servers + "[mirror]\nbound_ms = 1.5\n", ":6: [mirror] bound_ms: expected a whole number"},
        {servers + "[cutover]\ndrain_ms = 5000\n",
         ":6: [cutover] drain_ms: expected less than deadline_ms"},
        {servers + "[cutover]\nrequire_verify = \"yes\"\n",
         ":6: [cutover] require_verify: expected true or false"},
        {servers + "[limits]\nretained_log = 5\n",
         ":6: [limits] retained_log: unknown key; did you mean retained_log_mb?"},
        {servers + "[tools]\npg_bin = \"/nowhere\"\n", ":6: [tools] pg_bin: expected a folder"},
        {"[listen\n", ":1: not TOML"},
        {"listen = 5\n" + servers, ":1: listen: expected a section"},
    };
    for (const BadFile& file : files) {
        SCOPED_TRACE(file.text);
        const auto config = load(file.text);
        ASSERT_FALSE(config);
        EXPECT_NE(config.error().detail.find(file.expected), std::string::npos)
            << config.error().detail;
        EXPECT_EQ(config.error().detail.find("secret"), std::string::npos)
            << "a password in an error";
        EXPECT_NE(config.error().detail.find(".toml"), std::string::npos);
    }
}

// Whoever asks for the status has neither the passwords of the servers nor Segue's key.
TEST(Config, WhatOnlyAsksTheAdminAddressNeedsNoSecret) {
    const std::string text =
        "[listen]\ntls_certificate = \"/none/cert\"\ntls_key = \"/none/key\"\n"
        "tls_client_ca = \"/none/ca\"\n"
        "[source]\nurl = \"postgresql://segue@db1/shop\"\npassword_env = \"NO_SUCH\"\n"
        "[target]\nurl = \"postgresql://segue@db2/shop\"\npassfile = \"/none/pass\"\n"
        "[[credentials]]\nrole = \"a\"\npassword_env = \"NO_SUCH\"\n"
        "[[credentials]]\nrole = \"b\"\npassword_file = \"/none/b\"\n"
        "[tools]\npg_bin = \"/none\"\n";
    const ConfigFile file{text};
    const auto needed = load_config(file.path());
    ASSERT_FALSE(needed);
    for (const char* key : {"tls_key", "NO_SUCH", "/none/pass", "/none/b", "pg_bin"})
        EXPECT_NE(needed.error().detail.find(key), std::string::npos) << needed.error().detail;
    const auto config = load_config(file.path(), ConfigUse::admin);
    ASSERT_TRUE(config) << config.error().detail;
    EXPECT_EQ(config->admin.port, 6480);
    EXPECT_EQ(config->source.host, "db1");
}

TEST(Config, WhatOnlyAsksTheAdminAddressNeedsItsTokenAndAFileWithoutMistakes) {
    const ConfigFile file{servers + "[admin]\ntoken_file = \"/none\"\n[cutover]\ndrian_ms = 1\n"};
    const auto config = load_config(file.path(), ConfigUse::admin);
    ASSERT_FALSE(config);
    for (const char* key : {"token_file", "drain_ms"})
        EXPECT_NE(config.error().detail.find(key), std::string::npos) << config.error().detail;
}

TEST(Config, ForcesMovesOnlyBetweenConnectionsToOneDatabase) {
    const auto config = load(
        "[source]\nurl = \"postgresql://a@db/s\"\n[target]\nurl = \"postgresql://a@db/s\"\n"
        "[development]\nmove_percent = 20\n");
    ASSERT_TRUE(config) << config.error().detail;
    EXPECT_EQ(config->move_percent, 20);
}

TEST(Config, CarriesDdlUnlessItIsTold) {
    const auto by_default = load(servers);
    const auto off = load(servers + "[ddl]\ncarry = false\n");
    ASSERT_TRUE(by_default && off);
    EXPECT_TRUE(by_default->carry_ddl);
    EXPECT_FALSE(off->carry_ddl);
}

TEST(Config, ReportsEveryMistakeAtOnce) {
    const auto config = load(servers + "[mirror]\npolicy = \"x\"\n[cutover]\ndrian_ms = 1\n");
    ASSERT_FALSE(config);
    EXPECT_NE(config.error().detail.find(":6: "), std::string::npos);
    EXPECT_NE(config.error().detail.find(":8: "), std::string::npos);
}

TEST(Config, SaysWhenTheFileCannotBeRead) {
    const auto config = load_config("/nowhere/segue.toml");
    ASSERT_FALSE(config);
    EXPECT_NE(config.error().detail.find("/nowhere/segue.toml"), std::string::npos);
}

}  // namespace
}  // namespace segue::proxy
