#include "proxy/settings.hpp"

#include "proxy/certificate.hpp"

namespace segue::proxy {

backfill::ServerSettings server_settings(const Config& config) {
    backfill::ServerSettings settings;
    settings.migration = config.migration;
    settings.url[index(Side::source)] = config.source.connection;
    settings.url[index(Side::target)] = config.target.connection;
    settings.exclude = config.exclude;
    for (const Side side : {Side::source, Side::target})
        settings.mapped_roles[index(side)] = config.credentials.roles(side);
    settings.sync_roles = config.roles == RoleSync::sync;
    settings.full_identity_without_key = config.without_key == WithoutKey::full;
    settings.retained_log_bytes_max = config.retained_log_bytes_max;
    settings.carry_ddl = config.carry_ddl;
    settings.pg_bin = config.pg_bin;
    return settings;
}

backfill::MoverSettings mover_settings(const Config& config) {
    backfill::MoverSettings settings;
    settings.migration = config.migration;
    settings.url[index(Side::source)] = config.source.connection;
    settings.url[index(Side::target)] = config.target.connection;
    settings.exclude = config.exclude;
    settings.retained_log_bytes_max = config.retained_log_bytes_max;
    settings.copy_workers = config.copy_workers;
    settings.background_rows_per_second = config.background_rows_per_second;
    settings.suspect_rows_per_second = config.name_rows_per_second;
    settings.build = build_text();
    settings.pg_bin = config.pg_bin;
    return settings;
}

}  // namespace segue::proxy
