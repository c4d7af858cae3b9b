// What the configuration itself exposes, what `check` prints, and what `explain` tells.

#include "proxy/preflight.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "proxy/explain.hpp"
#include "proxy/findings.hpp"
#include "proxy/help_format.hpp"
#include "proxy/loopback.hpp"

namespace segue::proxy {
namespace {

using backfill::Finding;
using backfill::Severity;

Config local_config() {
    Config config;
    config.source.host = config.target.host = "127.0.0.1";
    return config;
}

std::string exposed(const Config& config) {
    std::vector<Finding> findings;
    check_exposure(config, findings);
    std::string text;
    for (const Finding& finding : findings) {
        EXPECT_EQ(finding.severity, Severity::warn);
        EXPECT_FALSE(finding.remedy.empty());
        text += std::string{finding.code.name()} + " of " + finding.object + "; ";
    }
    return text;
}

TEST(Exposure, IsNoneOnOneHost) {
    Config config = local_config();
    EXPECT_EQ(exposed(config), "");
    config.source.host = "";
    config.source.unix_directory = "/run/postgresql";
    config.target.host = "localhost";
    EXPECT_EQ(exposed(config), "");
}

TEST(Exposure, KnowsThisHostByItsAddress) {
    for (const char* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"})
        EXPECT_TRUE(is_loopback(host)) << host;
    for (const char* host :
         {"127.example.org", "10.0.0.1", "::", "::2", "localhost.example.org", ""})
        EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Exposure, IsEveryConnectionToAServerThatIsNeitherLocalNorVerified) {
    Config config = local_config();
    config.target.host = "db2";
    for (const char* mode : {"", "disable", "prefer", "require", "verify-ca"}) {
        config.target.sslmode = mode;
        EXPECT_EQ(exposed(config), "connection_unverified of target: db2; ") << mode;
    }
    config.target.sslmode = "verify-full";
    EXPECT_EQ(exposed(config), "");
    config.source.host = "db1";
    EXPECT_EQ(exposed(config), "connection_unverified of source: db1; ");
}

TEST(Exposure, IsWhatClientsOfOtherHostsSendInClear) {
    Config config = local_config();
    config.listen = {{"0.0.0.0", 6432, ""}, {"", 0, "/tmp/s"}, {"127.0.0.1", 6433, ""}};
    EXPECT_EQ(exposed(config), "clients_in_clear of listen: 0.0.0.0:6432; ");
    config.tls = ListenTls::require;
    EXPECT_EQ(exposed(config), "");
}

TEST(Exposure, IsASecretThatOtherUsersMayRead) {
    const std::string file =
        std::filesystem::temp_directory_path() / ("segue-secret-" + std::to_string(getpid()));
    std::ofstream{file} << "secret";
    Config config = local_config();
    config.file = config.admin_token_file = file;
    ASSERT_EQ(chmod(file.c_str(), 0640), 0);
    EXPECT_EQ(exposed(config), "secret_file of file " + file + "; ");
    config.source.password_in_url = true;
    EXPECT_EQ(exposed(config),
              "secret_file of file " + file + "; secret_file of file " + file + "; ");
    ASSERT_EQ(chmod(file.c_str(), 0600), 0);
    EXPECT_EQ(exposed(config), "");
    std::filesystem::remove(file);
}

TEST(Findings, AcceptedOnesAreShownAndDoNotFail) {
    std::vector<Finding> findings = {{Severity::fail, "unlogged_table", "source: a.b", "r", "c"}};
    EXPECT_TRUE(has_failure(findings));
    backfill::accept_findings({{"unlogged_table", "source: a.b", "a cache"}}, findings);
    EXPECT_FALSE(has_failure(findings));
    const std::string text = findings_text(findings, FindingsShown::all);
    EXPECT_NE(text.find("accepted by the configuration: a cache"), std::string::npos) << text;
    const nlohmann::json json = findings_json(findings);
    EXPECT_EQ(json["ok"], true);
    EXPECT_EQ(json["findings"][0]["severity"], "warn");
    EXPECT_EQ(json["findings"][0]["accepted"], true);
    EXPECT_EQ(json["findings"][0]["accepted_reason"], "a cache");
}

TEST(Explain, TellsEveryCodeInLinesThatFit) {
    const std::string all = explain_all();
    for (const backfill::FindingText& text : backfill::finding_texts) {
        const std::string code{text.code};
        SCOPED_TRACE(code);
        EXPECT_NE(("\n" + all).find("\n" + code + " "), std::string::npos);
        std::istringstream lines{explain(code)};
        std::size_t count = 0;
        for (std::string line; std::getline(lines, line); ++count)
            EXPECT_LE(line.size(), help_width) << line;
        EXPECT_GT(count, 10u);
        EXPECT_EQ(explain_json(code).size(), 1u);
    }
    EXPECT_EQ(explain_json("").size(), backfill::finding_texts.size());
    EXPECT_EQ(explain("wal_levl"), "");
    EXPECT_EQ(nearest_code("wal_levl"), "wal_level");
}

}  // namespace
}  // namespace segue::proxy
