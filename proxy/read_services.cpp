#include "proxy/read_services.hpp"

#include "proxy/catalog_connection.hpp"

namespace segue::proxy {

namespace {

using backfill::postgres::LoadedCatalog;

// A new connection each time: every few seconds at most, and none is held for it. Before anybody
// reads on the follower it must be known whether it speaks the client's type OIDs, and what to ask
// a session for.
Result<LoadedCatalog> load(const Config& config, CatalogsRead catalogs, Side side) {
    if (catalogs.types.current() == nullptr) {
        if (const Status read = catalogs.types.refresh(); !read) return read.error();
    }
    if (const Status read = catalogs.setting_names.refresh(side); !read) return read.error();
    auto connection = open_catalog(config, side);
    if (!connection) return connection.error();
    return backfill::postgres::load_read_catalog(*connection, config.exclude);
}

ShadowPeers shadow_peers(const Config& config,
                         Reads& reads,
                         Positions& positions,
                         backfill::Mover& mover) {
    ShadowPeers peers;
    peers.reads = &reads;
    peers.positions = &positions;
    for (const Side side : {Side::source, Side::target})
        peers.applied[index(side)] = &mover.applied(side);
    peers.open_twin = [&mover](const std::string& role,
                               std::chrono::steady_clock::time_point deadline) {
        return mover.open_twin(role, deadline);
    };
    if (config.name_rows) {
        peers.suspect = [&mover](const auto& tables, backfill::WallTime seen_at) {
            mover.suspect(tables, seen_at);
        };
    }
    return peers;
}

}  // namespace

ReadServices::ReadServices(const Config& config,
                           const Traffic& traffic,
                           Positions& positions,
                           backfill::Mover& mover,
                           CatalogsRead catalogs)
    : reads(
          traffic,
          [&config, catalogs](Side side) { return load(config, catalogs, side); },
          config.slower,
          [&mover] { return mover.suspects(); }),
      shadow(shadow_peers(config, reads, positions, mover)) {}

void ReadServices::start() {
    reads.start();
    shadow.start();
}

void ReadServices::stop() {
    shadow.stop();
    reads.stop();
}

}  // namespace segue::proxy
