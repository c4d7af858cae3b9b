#include "proxy/preflight.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "proxy/loopback.hpp"
#include "proxy/settings.hpp"

namespace segue::proxy {

using backfill::Finding;
using backfill::Severity;

namespace {

void check_way(Side side, const ServerConfig& server, std::vector<Finding>& findings) {
    if (!server.unix_directory.empty() || is_loopback(server.host)) return;
    if (server.sslmode == "verify-full") return;
    const std::string mode =
        server.sslmode.empty()
            ? "without an sslmode TLS is used only where it happens to work"
            : "sslmode=" + server.sslmode + " does not prove that it is the server that was meant";
    const std::string section{name(side)};
    findings.push_back(
        {Severity::warn,
         "connection_unverified",
         section + ": " + server.host,
         "it is another host, and " + mode,
         "[" + section + "] url = \"...?sslmode=verify-full&sslrootcert=/path/ca.pem\""});
}

void check_listen(const Config& config, std::vector<Finding>& findings) {
    if (config.tls == ListenTls::require) return;
    for (const Address& address : config.listen) {
        if (!address.unix_path.empty() || is_loopback(address.host)) continue;
        findings.push_back({Severity::warn,
                            "clients_in_clear",
                            "listen: " + address.host + ":" + std::to_string(address.port),
                            "clients of other hosts may connect without TLS",
                            "[listen] tls = \"require\", with tls_certificate and tls_key"});
    }
}

void check_secret(const std::string& file, const char* what, std::vector<Finding>& findings) {
    struct stat information {};
    if (file.empty() || stat(file.c_str(), &information) != 0) return;
    constexpr mode_t others = S_IRGRP | S_IROTH;
    if ((information.st_mode & others) == 0) return;
    findings.push_back(
        {Severity::warn,
         "secret_file",
         "file " + file,
         std::string{"it holds "} + what + ", and other users of this host may read it",
         "chmod 600 " + file});
}

}  // namespace

void check_exposure(const Config& config, std::vector<Finding>& findings) {
    check_way(Side::source, config.source, findings);
    check_way(Side::target, config.target, findings);
    check_listen(config, findings);
    if (config.source.password_in_url || config.target.password_in_url)
        check_secret(config.file, "a password", findings);
    check_secret(config.admin_token_file, "the admin token", findings);
    check_secret(config.admin_read_token_file, "the token of who reads", findings);
    check_secret(config.tls_key, "a private key", findings);
    for (const std::string& file : config.secret_files) check_secret(file, "a password", findings);
}

Result<std::vector<Finding>> preflight(const Config& config) {
    auto findings = backfill::postgres_preflight(server_settings(config));
    if (!findings) return findings.error();
    check_exposure(config, *findings);
    backfill::accept_findings(config.accepted, *findings);
    backfill::sort_findings(*findings);
    return findings;
}

}  // namespace segue::proxy
