#pragma once
// Whether the control records still say what this process goes by. Another Segue may have taken the
// lease and changed them while this one was frozen or cut off; and who rolls back by force, or
// finishes from an older state of affairs, asks nobody.

#include <cstdint>
#include <optional>
#include <string>

#include "backfill/postgres/connection.hpp"
#include "router/side.hpp"
#include "router/state.hpp"

namespace segue::backfill::postgres {

// What the program has told the mover.
struct Told {
    Side authority = Side::source;
    std::uint64_t epoch = 0;      // In which it became that.
    std::uint64_t own_epoch = 0;  // Of a change that this process itself is making; else 0.
    Position since;

    friend bool operator==(const Told&, const Told&) = default;
};

// One side's control record, as far as it matters here.
struct Claim {
    std::uint64_t epoch = 0;
    Side authority = Side::source;
    router::Phase phase = router::Phase::steady;
    Position since;
};
struct Claims {
    std::optional<Claim> by_side[2];  // Empty: there is none, or the side cannot be read.
};

enum class Standing : std::uint8_t {
    as_told,
    changed,      // By another process; the authority is elsewhere, or was and is back.
    interrupted,  // Another process has begun a change, and lost the lease in the middle of it.
    finished,
    lost,  // The authority's record is older than what is known of it: a failover, a restore.
};
Standing standing(const Told& told, const Claims& claims);
// For the operator. Empty: as told.
std::string text(Standing standing, const Told& told);

Result<std::optional<Claim>> read_claim(Connection& connection, const std::string& migration_id);

}  // namespace segue::backfill::postgres
