#include "proxy/setting_names.hpp"

#include <chrono>
#include <utility>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/setting_names.hpp"

namespace segue::proxy {

namespace {

constexpr std::chrono::seconds connect_wait_max{5};

}  // namespace

Status SettingNames::refresh(Side side) {
    Result<Names> loaded = load_(side);
    if (!loaded) {
        Error error = loaded.error();
        error.detail = "the names of custom settings on the " + std::string{name(side)} +
                       " could not be read: " + error.detail;
        return error;
    }
    const std::lock_guard lock{mutex_};
    current_ = std::make_shared<const Names>(std::move(*loaded));
    return Done{};
}

std::shared_ptr<const SettingNames::Names> SettingNames::current() const {
    const std::lock_guard lock{mutex_};
    return current_;
}

SettingNames::Load setting_names_of_servers(const Config& config) {
    return [&config](Side side) -> Result<SettingNames::Names> {
        const ServerConfig& server = side == Side::source ? config.source : config.target;
        backfill::postgres::Connection::Options options;
        options.application_name = "segue catalog";
        options.connect_timeout = connect_wait_max;
        auto connection = backfill::postgres::Connection::open(server.connection, options);
        if (!connection) return connection.error();
        return backfill::postgres::load_setting_names(*connection);
    };
}

}  // namespace segue::proxy
