#include "backfill/postgres/mover_authority.hpp"

#include <chrono>

#include "backfill/postgres/bounded_query.hpp"

namespace segue::backfill::postgres {

namespace {

// A side that has not answered for so long has lost our connection, though no error tells of it.
constexpr std::chrono::seconds silence_max{20};

std::optional<router::Phase> parse_phase(std::string_view text) {
    using router::Phase;
    for (const Phase phase : {Phase::steady, Phase::switching, Phase::deciding, Phase::finished}) {
        if (text == router::name(phase)) return phase;
    }
    return std::nullopt;
}

// Later than what was told, and not written by this process itself.
bool is_news(const Told& told, const Claim& claim) {
    return claim.epoch > told.epoch && claim.epoch != told.own_epoch;
}

}  // namespace

Standing standing(const Told& told, const Claims& claims) {
    for (const auto& claim : claims.by_side) {
        if (claim && claim->phase == router::Phase::finished) return Standing::finished;
    }
    const auto &ours = claims.by_side[index(told.authority)],
               &others = claims.by_side[index(other(told.authority))];
    const bool steady_there = others && others->phase == router::Phase::steady &&
                              others->authority == other(told.authority);
    if (steady_there && is_news(told, *others)) return Standing::changed;
    const bool claims_it = ours && ours->authority == told.authority;
    if (claims_it && ours->phase == router::Phase::steady && ours->since > told.since)
        return Standing::changed;
    for (const auto& claim : claims.by_side) {
        const bool intent = claim && (claim->phase == router::Phase::switching ||
                                      claim->phase == router::Phase::deciding);
        if (intent && is_news(told, *claim)) return Standing::interrupted;
    }
    if (ours && ours->epoch < told.epoch) return Standing::lost;
    return Standing::as_told;
}

std::string text(Standing standing, const Told& told) {
    const std::string side{name(told.authority)};
    switch (standing) {
        case Standing::as_told:
            return "";
        case Standing::changed:
            return "another Segue has changed the authority meanwhile";
        case Standing::interrupted:
            return "another Segue was interrupted in the middle of a change of authority";
        case Standing::finished:
            return "another Segue has finished this migration";
        case Standing::lost:
            return "the control record of the " + side + " is older than epoch " +
                   std::to_string(told.epoch) +
                   ", which was committed there: a failover or a restored backup has lost it";
    }
    return "";
}

Result<std::optional<Claim>> read_claim(Connection& connection, const std::string& migration_id) {
    const auto rows = execute_within(
        connection,
        silence_max,
        "SELECT epoch, authority, phase, since FROM segue.control WHERE migration_id = $1",
        {migration_id});
    if (!rows) return rows.error();
    if (rows->size() == 0) return std::optional<Claim>{};
    const auto phase = parse_phase(rows->at(0, 2));
    const auto since = parse_lsn(rows->at(0, 3));
    if (!phase || !since) {
        return Error{Errc::bad_value,
                     "table segue.control holds a value that this version does not know"};
    }
    const Side authority = rows->at(0, 1) == name(Side::source) ? Side::source : Side::target;
    return std::optional<Claim>{
        Claim{static_cast<std::uint64_t>(rows->number(0, 0)), authority, *phase, *since}};
}

}  // namespace segue::backfill::postgres
