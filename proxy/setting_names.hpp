#pragma once
// Which custom settings the database's own functions and policies set or read, as a catalog said
// last. Whoever asks a session for its state asks for them too: no server tells which ones a
// session has. Thread-safe.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "router/side.hpp"

namespace segue::proxy {

class SettingNames {
public:
    using Names = std::vector<std::string>;
    using Load = std::function<Result<Names>(Side)>;

    using Warn = std::function<void(const std::string&)>;

    SettingNames(Load load, Warn warn) : load_(std::move(load)), warn_(std::move(warn)) {}

    // Asks that side's server; blocks. Where it cannot be read the names of before serve, which
    // change with the schema only: that is done, and warned of once until it can be read again. An
    // error only where there are none yet.
    Status refresh(Side side);
    // Null before the first refresh.
    std::shared_ptr<const Names> current() const;

private:
    Load load_;
    Warn warn_;
    mutable std::mutex mutex_;
    std::shared_ptr<const Names> current_;
    bool warned_ = false;
};

// Reads the catalogs of the configuration's servers, each time on a new connection.
SettingNames::Load setting_names_of_servers(const Config& config);

}  // namespace segue::proxy
