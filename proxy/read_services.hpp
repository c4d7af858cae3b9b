#pragma once
// Everything that shadow and shift run beside the sessions, built from what the program has.

#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "proxy/config.hpp"
#include "proxy/positions.hpp"
#include "proxy/reads.hpp"
#include "proxy/setting_names.hpp"
#include "proxy/shadow.hpp"
#include "proxy/traffic.hpp"
#include "proxy/type_map.hpp"

namespace segue::proxy {

// What is read anew from the servers' catalogs with what reads need of them.
struct CatalogsRead {
    TypeMap& types;
    SettingNames& setting_names;
};

// Outlives the session registry, which is given both members. All that is handed in outlives this.
struct ReadServices {
    ReadServices(const Config& config,
                 const Traffic& traffic,
                 Positions& positions,
                 backfill::Mover& mover,
                 CatalogsRead catalogs);

    void start();
    // After the relay threads have stopped.
    void stop();

    Reads reads;
    Shadow shadow;
};

}  // namespace segue::proxy
