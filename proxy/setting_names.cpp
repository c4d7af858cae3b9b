#include "proxy/setting_names.hpp"

#include <utility>

#include "backfill/postgres/setting_names.hpp"
#include "proxy/catalog_connection.hpp"

namespace segue::proxy {

Status SettingNames::refresh(Side side) {
    Result<Names> loaded = load_(side);
    if (loaded) {
        const std::lock_guard lock{mutex_};
        current_ = std::make_shared<const Names>(std::move(*loaded));
        warned_ = false;
        return Done{};
    }
    Error error = loaded.error();
    error.detail = "the names of custom settings on the " + std::string{name(side)} +
                   " could not be read: " + error.detail;
    bool warn = false;
    {
        const std::lock_guard lock{mutex_};
        if (current_ == nullptr) return error;
        warn = !std::exchange(warned_, true);
    }
    if (warn) warn_(error.detail + "; sessions are asked for those that were read before");
    return Done{};
}

std::shared_ptr<const SettingNames::Names> SettingNames::current() const {
    const std::lock_guard lock{mutex_};
    return current_;
}

SettingNames::Load setting_names_of_servers(const Config& config) {
    return [&config](Side side) -> Result<SettingNames::Names> {
        auto connection = open_catalog(config, side);
        if (!connection) return connection.error();
        return backfill::postgres::load_setting_names(*connection);
    };
}

}  // namespace segue::proxy
