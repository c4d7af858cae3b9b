#pragma once
// The control record in table segue.control of one PostgreSQL database.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "backfill/control.hpp"
#include "backfill/postgres/connection.hpp"

namespace segue::backfill::postgres {

// A compare-and-set is one statement, committed with synchronous_commit = on, which also waits for
// the standbys that synchronous_standby_names lists. When the server stops waiting for them the
// outcome is `unknown`, like a lost answer: a promoted standby might not have it.
// Its glances give a connection up for a new one that has not got any further for so long.
std::unique_ptr<ControlStore> make_control_store(
    std::string url, std::chrono::milliseconds glance_time_max = std::chrono::seconds{5});

// Which server this is; a difference from the recorded one invalidates slot and copy (law 3).
struct ServerIdentity {
    std::string system_identifier;
    std::uint32_t timeline = 0;
};
Result<ServerIdentity> read_server_identity(Connection& connection);

}  // namespace segue::backfill::postgres
