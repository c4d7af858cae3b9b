#pragma once
// The configuration as the mover and the steps inside the databases take it.

#include "backfill/change_steps.hpp"
#include "backfill/mover.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

backfill::ServerSettings server_settings(const Config& config);
backfill::MoverSettings mover_settings(const Config& config);

}  // namespace segue::proxy
