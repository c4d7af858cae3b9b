#pragma once
// The whole check: the servers (backfill/preflight.hpp), what the configuration itself exposes, and
// what the operator has accepted.

#include <vector>

#include "backfill/preflight.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

Result<std::vector<backfill::Finding>> preflight(const Config& config);

// Connections that others may read or change, and files with secrets that others may read.
void check_exposure(const Config& config, std::vector<backfill::Finding>& findings);

}  // namespace segue::proxy
