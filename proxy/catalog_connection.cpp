#include "proxy/catalog_connection.hpp"

namespace segue::proxy {

using backfill::postgres::Connection;

Result<Connection> open_catalog(const Config& config, Side side, bool normalised) {
    const ServerConfig& server = side == Side::source ? config.source : config.target;
    Connection::Options options;
    options.application_name = "segue catalog";
    options.normalised = normalised;
    options.connect_timeout = catalog_connect_max;
    return Connection::open(server.connection, options);
}

}  // namespace segue::proxy
