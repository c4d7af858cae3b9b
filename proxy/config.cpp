#include "proxy/config.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "backfill/finding_code.hpp"
#include "backfill/postgres/server_url.hpp"
#include "protocol/crypto.hpp"
#include "proxy/config_reader.hpp"
#include "proxy/explain.hpp"
#include "proxy/first_line.hpp"
#include "proxy/loopback.hpp"

namespace segue::proxy {

namespace {

// Four times this must fit into state_reply_size_max: rows as COPY writes them.
constexpr std::int64_t carry_temporary_kb_max = 4096;
constexpr std::int64_t look_us_max = 1000;
constexpr std::int64_t milliseconds_max = 24 * 3600 * 1000;
constexpr std::size_t migration_name_max =
    40;  // With prefix and side a slot's name must stay below 64.
constexpr std::uintmax_t config_size_max = 1 << 20;
constexpr std::size_t unix_path_max = 107;  // sockaddr_un
constexpr const char* address_form =
    "an address such as \"127.0.0.1:6432\", \"[::1]:6432\" or \"unix:/path\"";

std::optional<Address> parse_address(const std::string& text) {
    if (text.starts_with("unix:")) {
        Address address{"", 0, text.substr(5)};
        if (!address.unix_path.starts_with('/') || address.unix_path.size() > unix_path_max)
            return std::nullopt;
        return address;
    }
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) return std::nullopt;
    Address address{text.substr(0, colon), 0, ""};
    if (address.host.front() == '[' && address.host.back() == ']' && address.host.size() > 2) {
        address.host = address.host.substr(1, address.host.size() - 2);
    } else if (address.host.find(':') != std::string::npos) {
        return std::nullopt;
    }
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, address.port);
    if (error != std::errc{} || stop != end || address.port == 0) return std::nullopt;
    return address;
}

bool same(const Address& a, const Address& b) {
    return a.host == b.host && a.port == b.port && a.unix_path == b.unix_path;
}

bool local(const Address& address) {
    return !address.unix_path.empty() || is_loopback(address.host);
}

// A file that is needed must be there now, not when the first client comes.
void read_file_name(ConfigReader& reader, std::string_view key, bool needed, std::string& into) {
    into = reader.string(key).value_or("");
    if (!needed || into.empty()) return;
    if (const std::string why = why_unreadable(into); !why.empty())
        reader.expected(key, "a file that can be read: " + into + " (" + why + ")");
}

// Empty after a complaint.
std::string password_in(ConfigReader& reader, const std::string& variable) {
    const char* const value = std::getenv(variable.c_str());
    if (value != nullptr && *value != '\0') return value;
    reader.expected("password_env",
                    "an environment variable that is set, but " + variable + " is not");
    return {};
}

void read_milliseconds(ConfigReader& reader,
                       std::string_view key,
                       std::chrono::milliseconds& into) {
    if (const auto value = reader.whole(key, 1, milliseconds_max))
        into = std::chrono::milliseconds{*value};
}

void read_migration(ConfigReader& reader, Config& config) {
    reader.enter("migration");
    if (const auto value = reader.string("name")) {
        config.migration = *value;
        const bool good =
            !value->empty() && value->size() <= migration_name_max &&
            std::all_of(value->begin(), value->end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
            });
        if (!good)
            reader.expected("name",
                            "1 to 40 of a-z, 0-9, _ and - (it becomes a part of the slots' names)");
    }
    reader.leave();
}

void read_listen(ConfigReader& reader, ConfigUse use, Config& config) {
    reader.enter("listen");
    const std::vector<std::string> addresses = reader.strings("address", true);
    if (!addresses.empty()) config.listen.clear();
    for (const std::string& text : addresses) {
        const auto address = parse_address(text);
        if (!address) {
            reader.expected("address", address_form);
            continue;
        }
        const bool twice = std::any_of(config.listen.begin(),
                                       config.listen.end(),
                                       [&](const Address& known) { return same(known, *address); });
        if (twice)
            reader.expected("address", "different addresses, but this is there twice: " + text);
        config.listen.push_back(*address);
    }
    if (const auto value = reader.choice("tls", {"allow", "require"}))
        config.tls = static_cast<ListenTls>(*value);
    const bool needed = use == ConfigUse::servers;
    read_file_name(reader, "tls_certificate", needed, config.tls_certificate);
    read_file_name(reader, "tls_key", needed, config.tls_key);
    read_file_name(reader, "tls_client_ca", needed, config.tls_client_ca);
    if (!config.tls_client_ca.empty() && config.tls_key.empty()) {
        reader.expected("tls_client_ca", "tls_certificate and tls_key beside it");
    }
    if (config.tls_certificate.empty() != config.tls_key.empty()) {
        reader.expected(config.tls_key.empty() ? "tls_key" : "tls_certificate",
                        "both tls_certificate and tls_key, or neither");
    } else if (config.tls == ListenTls::require && config.tls_key.empty()) {
        reader.expected("tls", "tls_certificate and tls_key beside \"require\"");
    }
    if (const auto value = reader.choice("other_databases", {"source", "refuse"})) {
        config.other_databases = static_cast<OtherDatabases>(*value);
    }
    reader.leave();
}

void read_admin(ConfigReader& reader, ConfigUse use, Config& config) {
    reader.enter("admin");
    if (const auto text = reader.string("address")) {
        const auto address = parse_address(*text);
        if (address) {
            config.admin = *address;
        } else {
            reader.expected("address", address_form);
        }
    }
    read_file_name(reader, "token_file", true, config.admin_token_file);
    read_file_name(
        reader, "read_token_file", use == ConfigUse::servers, config.admin_read_token_file);
    if (!config.admin_read_token_file.empty() && config.admin_token_file.empty())
        reader.expected("read_token_file",
                        "a token_file beside it: without one everybody operates");
    if (!local(config.admin) && config.admin_token_file.empty()) {
        reader.expected("address",
                        "a token_file beside an address that is neither loopback nor unix");
    }
    for (const Address& address : config.listen) {
        if (same(address, config.admin))
            reader.expected("address", "another address than the clients'");
    }
    reader.leave();
}

void read_server(ConfigReader& reader,
                 std::string_view section,
                 ConfigUse use,
                 Config& config,
                 ServerConfig& server) {
    const std::size_t complaints = reader.complaints().size();
    const auto url = reader.string("url");
    if (!url && reader.complaints().size() == complaints) {
        reader.complain(
            section,
            "url",
            "missing; expected a libpq URI such as \"postgresql://segue@db1:5432/shop\"");
    }
    backfill::postgres::ServerSecrets secrets;
    const std::string variable = reader.string("password_env").value_or("");
    secrets.passfile = reader.string("passfile").value_or("");
    const bool needed = use == ConfigUse::servers;
    if (!variable.empty() && needed) secrets.password = password_in(reader, variable);
    if (!variable.empty() && !secrets.passfile.empty())
        reader.expected("passfile", "passfile or password_env, not both");
    if (const std::string why =
            needed && !secrets.passfile.empty() ? why_unreadable(secrets.passfile) : std::string{};
        !why.empty()) {
        reader.expected("passfile",
                        "a file that can be read: " + secrets.passfile + " (" + why + ")");
    }
    if (!secrets.passfile.empty()) config.secret_files.push_back(secrets.passfile);
    if (!url) return;
    auto parsed = backfill::postgres::parse_server_url(*url, secrets);
    if (!parsed) return reader.expected("url", parsed.error().detail);
    server.url = *url;
    server.connection = parsed->connection;
    server.host = parsed->host;
    server.tls_host = parsed->tls_host;
    server.unix_directory = parsed->unix_directory;
    server.port = parsed->port;
    server.database = parsed->database;
    server.user = parsed->user;
    server.sslmode = parsed->sslmode;
    server.sslrootcert = parsed->sslrootcert;
    server.direct_tls = parsed->direct_tls;
    server.sslcert = parsed->sslcert;
    server.sslkey = parsed->sslkey;
    server.password_in_url = parsed->has_password && secrets.password.empty();
}

void read_development(ConfigReader& reader, Config& config) {
    reader.enter("development");
    config.move_percent = static_cast<int>(reader.whole("move_percent", 0, 100).value_or(0));
    reader.leave();
}

void read_sessions(ConfigReader& reader, Config& config) {
    reader.enter("sessions");
    if (const auto value = reader.whole("carry_temporary_kb", 0, carry_temporary_kb_max)) {
        config.carry_temporary_max = static_cast<std::size_t>(*value) * 1024;
    }
    reader.leave();
}

void read_servers(ConfigReader& reader, ConfigUse use, Config& config) {
    reader.enter("source");
    read_server(reader, "source", use, config, config.source);
    reader.leave();
    reader.enter("target");
    read_server(reader, "target", use, config, config.target);
    if (const auto value = reader.choice("roles", {"sync", "keep"}))
        config.roles = static_cast<RoleSync>(*value);
    const ServerConfig& a = config.source;
    const ServerConfig& b = config.target;
    const bool same_database = a.host == b.host && a.unix_directory == b.unix_directory &&
                               a.port == b.port && a.database == b.database;
    if (!a.database.empty() && same_database && config.move_percent == 0) {
        reader.expected("url", "another database than the source's");
    }
    if (!same_database && config.move_percent > 0) {
        reader.expected(
            "url",
            "the source's own database, because [development] move_percent is set: sessions "
            "are then moved at random, which no migration wants");
    }
    reader.leave();
}

// The password of one [[credentials]]; empty after a complaint, and where nobody needs it.
std::string read_mapped_password(ConfigReader& reader, ConfigUse use, Config& config) {
    const std::string variable = reader.string("password_env").value_or("");
    const std::string file = reader.string("password_file").value_or("");
    if (variable.empty() == file.empty()) {
        reader.expected("password_env", "either password_env or password_file");
        return {};
    }
    if (use == ConfigUse::admin) return {};
    if (!variable.empty()) return password_in(reader, variable);
    config.secret_files.push_back(file);
    auto password = first_line(file);
    if (password) return std::move(*password);
    reader.expected("password_file",
                    "a file that can be read, with the password as its first line: " + file + " (" +
                        password.error().detail + ")");
    return {};
}

void read_credentials(ConfigReader& reader, ConfigUse use, Config& config) {
    const std::size_t count = reader.list_size("credentials");
    for (std::size_t item = 0; item < count; ++item) {
        reader.enter_item("credentials", item);
        const std::string role = reader.string("role").value_or("");
        if (role.empty()) reader.expected("role", "the name of a role");
        const std::size_t side = reader.choice("side", {"source", "target", "both"}).value_or(2);
        const auto proof = static_cast<ClientProof>(
            reader.choice("client", {"password", "certificate"}).value_or(0));
        std::string password = read_mapped_password(reader, use, config);
        if (proof == ClientProof::certificate && (side != 2 || config.tls_client_ca.empty())) {
            reader.expected("client",
                            "side = \"both\" and [listen] tls_client_ca beside \"certificate\"");
        }
        for (const Side of : {Side::source, Side::target}) {
            const bool meant = side == 2 || side == index(of);
            if (!meant || role.empty() || password.empty()) continue;
            if (!config.credentials.add(role, of, password, proof)) {
                reader.expected("role",
                                "one password for a role and side, but " + role +
                                    " has another for the " + std::string{name(of)});
            }
        }
        crypto::wipe(password);
        reader.leave();
    }
}

void read_accepted(ConfigReader& reader, Config& config) {
    const std::size_t count = reader.list_size("accept");
    for (std::size_t item = 0; item < count; ++item) {
        reader.enter_item("accept", item);
        const backfill::AcceptedFinding accepted{reader.string("code").value_or(""),
                                                 reader.string("object").value_or(""),
                                                 reader.string("reason").value_or("")};
        const backfill::FindingText* text = backfill::find_finding_text(accepted.code);
        if (text == nullptr) {
            const std::string near = nearest_code(accepted.code);
            reader.expected(
                "code",
                "a code of `segue check`, but found \"" + accepted.code + "\"; " +
                    (near.empty() ? "`segue explain` lists them" : "did you mean " + near + "?"));
        } else if (text->acceptance == backfill::Acceptance::none) {
            reader.expected("code",
                            "a finding that can be accepted, but " + accepted.code +
                                " cannot: the move could not work, or would lose data");
        }
        if (accepted.object.empty())
            reader.expected("object", "the object as `segue check` prints it");
        const bool twice =
            std::any_of(config.accepted.begin(), config.accepted.end(), [&](const auto& known) {
                return known.code == accepted.code && known.object == accepted.object;
            });
        if (twice) reader.expected("object", "each finding once, but this is there twice");
        config.accepted.push_back(accepted);
        reader.leave();
    }
}

void read_tables(ConfigReader& reader, Config& config) {
    reader.enter("tables");
    config.exclude = reader.strings("exclude", false);
    for (const std::string& table : config.exclude) {
        const auto dot = table.find('.');
        if (dot == std::string::npos || dot == 0 || dot + 1 == table.size()) {
            reader.expected("exclude", "\"schema.table\", but found \"" + table + "\"");
        }
    }
    if (const auto value = reader.choice("without_key", {"full", "refuse"})) {
        config.without_key = static_cast<WithoutKey>(*value);
    }
    reader.leave();
}

void read_ddl(ConfigReader& reader, Config& config) {
    reader.enter("ddl");
    config.carry_ddl = reader.boolean("carry").value_or(config.carry_ddl);
    reader.leave();
}

void read_change(ConfigReader& reader, Config& config) {
    reader.enter("mirror");
    if (const auto value = reader.choice("policy", {"strict", "bounded"})) {
        config.mirror_policy = static_cast<MirrorPolicy>(*value);
    }
    read_milliseconds(reader, "bound_ms", config.mirror_bound);
    reader.leave();
    reader.enter("cutover");
    read_milliseconds(reader, "drain_ms", config.drain);
    read_milliseconds(reader, "deadline_ms", config.deadline);
    if (config.drain >= config.deadline) {
        reader.expected("drain_ms",
                        "less than deadline_ms (" + std::to_string(config.deadline.count()) +
                            "), which it is a part of");
    }
    config.require_verify = reader.boolean("require_verify").value_or(false);
    reader.leave();
}

void read_verify(ConfigReader& reader, Config& config) {
    reader.enter("verify");
    config.verify_rows_per_second = static_cast<std::uint64_t>(
        reader.whole("rows_per_second", 0, std::int64_t{1} << 40).value_or(0));
    config.background_rows_per_second = static_cast<std::uint64_t>(
        reader.whole("background_rows_per_second", 0, std::int64_t{1} << 40).value_or(0));
    reader.leave();
}

void read_shadow(ConfigReader& reader, Config& config) {
    reader.enter("shadow");
    router::SlowerLimits& slower = config.slower;
    slower.samples_min =
        static_cast<std::uint64_t>(reader.whole("slower_samples", 1, router::latency_window)
                                       .value_or(static_cast<std::int64_t>(slower.samples_min)));
    slower.ratio = reader.number("slower_ratio", 1, 1000).value_or(slower.ratio);
    std::chrono::milliseconds difference{2};
    read_milliseconds(reader, "slower_ms", difference);
    slower.difference = difference;
    config.name_rows = reader.boolean("name_rows").value_or(config.name_rows);
    config.name_rows_per_second = static_cast<std::uint64_t>(
        reader.whole("name_rows_per_second", 0, std::int64_t{1} << 40)
            .value_or(static_cast<std::int64_t>(config.name_rows_per_second)));
    reader.leave();
}

void read_limits(ConfigReader& reader, ConfigUse use, Config& config) {
    reader.enter("limits");
    if (const auto value = reader.whole("retained_log_mb", 1, std::int64_t{1} << 40)) {
        config.retained_log_bytes_max = static_cast<std::uint64_t>(*value) << 20;
    }
    config.relay_threads = static_cast<int>(reader.whole("relay_threads", 0, 256).value_or(0));
    config.io_uring = reader.boolean("io_uring").value_or(config.io_uring);
    config.look = std::chrono::microseconds{
        reader.whole("look_us", 0, look_us_max).value_or(config.look.count())};
    config.copy_workers =
        static_cast<int>(reader.whole("copy_workers", 1, 64).value_or(config.copy_workers));
    config.clients_max = static_cast<std::uint32_t>(
        reader.whole("clients", 1, 1000000).value_or(config.clients_max));
    read_milliseconds(reader, "login_ms", config.login_timeout);
    reader.leave();
    reader.enter("tools");
    config.pg_bin = reader.string("pg_bin").value_or("");
    if (use == ConfigUse::servers && !config.pg_bin.empty() &&
        access((config.pg_bin + "/pg_dump").c_str(), X_OK) != 0) {
        reader.expected("pg_bin", "a folder with pg_dump in it: " + config.pg_bin);
    }
    reader.leave();
}

void read_log(ConfigReader& reader, Config& config) {
    reader.enter("log");
    if (const auto value = reader.choice("format", {"text", "json"}))
        config.log_format = static_cast<LogFormat>(*value);
    if (const auto value = reader.choice("level", {"debug", "info", "warning", "error"}))
        config.log_level = static_cast<LogLevel>(*value);
    reader.leave();
}

Result<Config> read_config(const toml::table& root, const std::string& path, ConfigUse use) {
    Config config;
    config.file = path;
    ConfigReader reader{root, path};
    read_migration(reader, config);
    read_listen(reader, use, config);
    read_admin(reader, use, config);
    read_sessions(reader, config);
    read_development(reader, config);
    read_servers(reader, use, config);
    read_credentials(reader, use, config);
    read_accepted(reader, config);
    read_tables(reader, config);
    read_ddl(reader, config);
    read_change(reader, config);
    read_verify(reader, config);
    read_shadow(reader, config);
    read_limits(reader, use, config);
    read_log(reader, config);
    reader.check_sections();
    if (reader.complaints().empty()) return config;
    std::string all;
    for (const std::string& complaint : reader.complaints())
        all += (all.empty() ? "" : "\n") + complaint;
    return Error{Errc::bad_value, all};
}

}  // namespace

Result<Config> load_config(const std::string& path, ConfigUse use) {
    if (const std::string why = why_unreadable(path); !why.empty())
        return Error{Errc::io, path + ": the configuration file cannot be read: " + why};
    std::error_code unknown;
    if (std::filesystem::file_size(path, unknown) > config_size_max && !unknown) {
        return Error{Errc::too_large,
                     path + ": the configuration file is larger than " +
                         std::to_string(config_size_max) + " bytes"};
    }
    try {
        return read_config(toml::parse_file(path), path, use);
    } catch (const toml::parse_error& error) {
        return Error{Errc::bad_value,
                     path + ":" + std::to_string(error.source().begin.line) +
                         ": not TOML: " + std::string{error.description()}};
    } catch (const std::exception& error) {
        return Error{Errc::io, path + ": " + error.what()};
    }
}

}  // namespace segue::proxy
