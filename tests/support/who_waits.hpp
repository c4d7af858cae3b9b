#pragma once
// For the message of a test that has waited in vain.

#include <string>

#include "tests/support/postgres_server.hpp"

namespace segue::test {

// What each session of the server does and for whom it waits, and where its slots stand.
std::string who_waits(const PostgresServer& server);

}  // namespace segue::test
