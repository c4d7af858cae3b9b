#pragma once
// The configuration file, checked. Every error names file, line and key, and what was expected
// (INTERFACE, "Configuration").

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "backfill/accepted_finding.hpp"
#include "protocol/result.hpp"
#include "proxy/credential_map.hpp"
#include "router/latency.hpp"

namespace segue::proxy {

struct Address {
    std::string host;  // Or empty, and path set.
    std::uint16_t port = 0;
    std::string unix_path;

    friend bool operator==(const Address&, const Address&) = default;
};

enum class ListenTls : std::uint8_t { allow, require };
enum class OtherDatabases : std::uint8_t { source, refuse };
enum class WithoutKey : std::uint8_t { full, refuse };
enum class RoleSync : std::uint8_t { sync, keep };
enum class LogFormat : std::uint8_t { text, json };
enum class LogLevel : std::uint8_t { debug, info, warning, error };
enum class MirrorPolicy : std::uint8_t { strict, bounded };

struct ServerConfig {
    std::string url;         // As written.
    std::string connection;  // libpq connection string, password included. Never logged.
    std::string host;        // Split from the URL for the sessions' own connections.
    std::string
        tls_host;  // What its certificate is for, where that is not `host` (hostaddr in the URL).
    std::uint16_t port = 5432;
    std::string unix_directory;  // Instead of host when the URL names a socket folder.
    std::string database, user;
    std::string sslmode;  // Empty when the URL says nothing: as the client's own connection.
    std::string sslrootcert;
    bool direct_tls =
        false;  // sslnegotiation=direct: TLS from the first byte, as servers from 17 on take it.
    std::string sslcert,
        sslkey;  // Segue's own, which it shows on the sessions' connections as well.
    bool password_in_url = false;

    friend bool operator==(const ServerConfig&, const ServerConfig&) = default;
};

struct Config {
    std::string file;
    std::string migration = "segue";
    std::vector<Address> listen = {{"127.0.0.1", 6432, ""}};
    ListenTls tls = ListenTls::allow;
    std::string tls_certificate, tls_key;
    std::string tls_client_ca;  // Empty: clients are not asked for certificates.
    OtherDatabases other_databases = OtherDatabases::source;
    Address admin = {"127.0.0.1", 6480, ""};
    std::string admin_token_file, admin_read_token_file;
    ServerConfig source, target;
    RoleSync roles = RoleSync::sync;
    CredentialMap credentials;
    std::vector<backfill::AcceptedFinding> accepted;  // [[accept]]
    std::vector<std::string> secret_files;            // Those that were named for passwords.
    std::vector<std::string> exclude;
    WithoutKey without_key = WithoutKey::full;
    MirrorPolicy mirror_policy = MirrorPolicy::strict;
    std::chrono::milliseconds mirror_bound{2000};
    std::chrono::milliseconds drain{2000};
    std::chrono::milliseconds deadline{5000};
    bool require_verify = false;
    std::uint64_t verify_rows_per_second = 0;      // [verify]; zero: no limit.
    std::uint64_t background_rows_per_second = 0;  // Likewise; zero: off.
    router::SlowerLimits slower;                   // [shadow] slower_samples, _ratio, _ms
    bool name_rows = true;                         // [shadow]: of reads that differ.
    std::uint64_t name_rows_per_second = 50'000;   // Zero: no limit.
    std::uint64_t retained_log_bytes_max = 10240ull << 20;
    std::string pg_bin;
    LogFormat log_format = LogFormat::text;  // [log] format
    LogLevel log_level = LogLevel::info;     // [log] level
    // Ours beyond INTERFACE, all with defaults:
    int relay_threads = 0;                           // [limits] relay_threads; 0: see the example.
    bool io_uring = true;                            // [limits] io_uring
    std::chrono::microseconds look{100};             // [limits] look_us; 0: never.
    int copy_workers = 2;                            // [limits] copy_workers
    std::uint32_t clients_max = 10000;               // [limits] clients
    std::chrono::milliseconds login_timeout{60000};  // [limits] login_ms
    std::size_t carry_temporary_max =
        1024 * 1024;         // [sessions] carry_temporary_kb, in bytes; 0: none are carried.
    bool carry_ddl = true;  // [ddl] carry
    int move_percent = 0;  // [development] move_percent; above 0 both sides are the same database,
                           // and nothing can be started.
};

// What the caller needs of what the file names.
enum class ConfigUse : std::uint8_t {
    servers,  // All of it: passwords (from password_env, too), certificates, tools.
    admin     // The admin address and its token: of all else only what is written is checked.
};

// Reads and checks the file. For ConfigUse::admin the servers have no password but what is in
// their URL, and nobody else any.
Result<Config> load_config(const std::string& path, ConfigUse use = ConfigUse::servers);

}  // namespace segue::proxy
