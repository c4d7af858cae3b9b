#include "proxy/reload.hpp"

#include <utility>

namespace segue::proxy {

namespace {

struct Key {
    const char* name;
    bool (*differs)(const Config& a, const Config& b);
    void (*take)(Config& into, const Config& from);
};

template <auto Member>
constexpr Key key(const char* name) {
    return {name,
            [](const Config& a, const Config& b) { return !(a.*Member == b.*Member); },
            [](Config& into, const Config& from) { into.*Member = from.*Member; }};
}

constexpr Key taken_keys[] = {
    key<&Config::tls>("[listen] tls"),
    key<&Config::tls_certificate>("[listen] tls_certificate"),
    key<&Config::tls_key>("[listen] tls_key"),
    key<&Config::tls_client_ca>("[listen] tls_client_ca"),
    key<&Config::other_databases>("[listen] other_databases"),
    key<&Config::accepted>("[[accept]]"),
    key<&Config::drain>("[cutover] drain_ms"),
    key<&Config::deadline>("[cutover] deadline_ms"),
    key<&Config::require_verify>("[cutover] require_verify"),
    key<&Config::verify_rows_per_second>("[verify] rows_per_second"),
    key<&Config::clients_max>("[limits] clients"),
    key<&Config::login_timeout>("[limits] login_ms"),
    key<&Config::log_level>("[log] level"),
};

constexpr Key token_keys[] = {
    key<&Config::admin_token_file>("[admin] token_file"),
    key<&Config::admin_read_token_file>("[admin] read_token_file"),
};

// Threads, slots, copies and connections are made with these.
constexpr Key kept_keys[] = {
    key<&Config::migration>("[migration] name"),
    key<&Config::listen>("[listen] address"),
    key<&Config::admin>("[admin] address"),
    key<&Config::source>("[source]"),
    key<&Config::target>("[target]"),
    key<&Config::roles>("[target] roles"),
    key<&Config::credentials>("[[credentials]]"),
    key<&Config::exclude>("[tables] exclude"),
    key<&Config::without_key>("[tables] without_key"),
    key<&Config::mirror_policy>("[mirror] policy"),
    key<&Config::mirror_bound>("[mirror] bound_ms"),
    key<&Config::background_rows_per_second>("[verify] background_rows_per_second"),
    key<&Config::slower>("[shadow] slower_samples, slower_ratio, slower_ms"),
    key<&Config::name_rows>("[shadow] name_rows"),
    key<&Config::name_rows_per_second>("[shadow] name_rows_per_second"),
    key<&Config::carry_temporary_max>("[sessions] carry_temporary_kb"),
    key<&Config::retained_log_bytes_max>("[limits] retained_log_mb"),
    key<&Config::relay_threads>("[limits] relay_threads"),
    key<&Config::io_uring>("[limits] io_uring"),
    key<&Config::look>("[limits] look_us"),
    key<&Config::copy_workers>("[limits] copy_workers"),
    key<&Config::log_format>("[log] format"),
    key<&Config::pg_bin>("[tools] pg_bin"),
    key<&Config::carry_ddl>("[ddl] carry"),
    key<&Config::move_percent>("[development] move_percent"),
};

std::string joined(const std::vector<std::string>& names) {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    return all;
}

}  // namespace

CurrentConfig::CurrentConfig(Config config)
    : config_(std::make_shared<const Config>(std::move(config))) {}

std::shared_ptr<const Config> CurrentConfig::get() const {
    const std::lock_guard lock{mutex_};
    return config_;
}

void CurrentConfig::set(Config config) {
    auto next = std::make_shared<const Config>(std::move(config));
    const std::lock_guard lock{mutex_};
    config_.swap(next);
}

Reload take_over(const Config& running, const Config& read) {
    Reload reload{running, {}, {}};
    const auto take = [&](const Key& key) {
        if (!key.differs(running, read)) return;
        key.take(reload.config, read);
        reload.taken.emplace_back(key.name);
    };
    const auto keep = [&](const Key& key) {
        if (key.differs(running, read)) reload.at_next_start.emplace_back(key.name);
    };
    for (const Key& key : taken_keys) take(key);
    for (const Key& key : token_keys) running.admin == read.admin ? take(key) : keep(key);
    for (const Key& key : kept_keys) keep(key);
    return reload;
}

std::string tell_reload(const Reload& reload) {
    std::string text = "certificates and tokens have been read again";
    if (!reload.taken.empty()) text += "; changed: " + joined(reload.taken);
    if (!reload.at_next_start.empty())
        text += "; taken only at the next start of `segue run`: " + joined(reload.at_next_start);
    return text;
}

}  // namespace segue::proxy
