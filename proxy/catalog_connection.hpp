#pragma once
// A connection of its own for whoever reads a server's catalog now and then, and holds none for it.

#include <chrono>

#include "backfill/postgres/connection.hpp"
#include "proxy/config.hpp"
#include "router/side.hpp"

namespace segue::proxy {

inline constexpr std::chrono::seconds catalog_connect_max{5};

// Blocks. The error names the server, never the password. Not `normalised`: it keeps the server's
// settings, as a client's does.
Result<backfill::postgres::Connection> open_catalog(const Config& config,
                                                    Side side,
                                                    bool normalised = true);

}  // namespace segue::proxy
