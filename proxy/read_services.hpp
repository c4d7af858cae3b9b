#pragma once
// Everything that shadow and shift run beside the sessions, built from what the program has.

#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "proxy/config.hpp"
#include "proxy/positions.hpp"
#include "proxy/reads.hpp"
#include "proxy/shadow.hpp"
#include "proxy/traffic.hpp"
#include "proxy/type_map.hpp"

namespace segue::proxy {

// Outlives the session registry, which is given both members. All that is handed in outlives this.
struct ReadServices {
    ReadServices(const Config& config,
                 const Traffic& traffic,
                 Positions& positions,
                 backfill::Mover& mover,
                 TypeMap& types);

    void start();
    // After the relay threads have stopped.
    void stop();

    Reads reads;
    Shadow shadow;
};

}  // namespace segue::proxy
