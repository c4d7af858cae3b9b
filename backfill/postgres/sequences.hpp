#pragma once
// Sequences are not in the stream: before a change of authority the new side's are set ahead of the
// old side's.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SequencePlace {
    std::int64_t value = 0;
    bool is_called = false;
    friend bool operator==(const SequencePlace&, const SequencePlace&) = default;
};

// Where `to` must be set so that it never hands out what `from` has handed out; nullopt when it
// stands there or beyond already. The margin is max(cache, 1000) steps where it fits between the
// bounds, else none: a sequence must not be used up, or wrap around, for the sake of a margin. An
// unused sequence gets none either. Pure.
std::optional<SequencePlace> place_ahead(const Sequence& from, const Sequence& to);

enum class SequenceStep : std::uint8_t {
    stands,    // Far enough ahead.
    raise,     // What was handed out since has used up half of the margin.
    set_back,  // It stands behind, where it did not stand before: by somebody else's hand.
};
// What a sequence of the follower needs that is kept ahead of the authority's. `seen`: where it
// stood when it was last looked at. Pure.
SequenceStep keep_step(const Sequence& authority,
                       const Sequence& follower,
                       const std::optional<SequencePlace>& seen);

// Where one of the follower's shall stand.
struct SequenceRaise {
    std::string schema, name;
    bool ascending = true;
    SequencePlace place;
};
// One instant by two clocks: by ours for how long an answer is waited for, by the server's for what
// it hears of late, when a way that was cut is mended.
struct ServerDeadline {
    std::chrono::steady_clock::time_point here;
    std::string there;
};
Result<ServerDeadline> deadline_on(Connection& connection, std::chrono::seconds from_now);
// Sets each ahead that does not stand there yet; nothing after the deadline, whenever the server
// hears of it, and never back. `done`: those of which the server says so, also where the rest
// failed. Errc::timed_out when there was no answer shortly after the deadline.
Status raise_sequences(Connection& to,
                       const std::vector<SequenceRaise>& raise,
                       const ServerDeadline& until,
                       std::vector<bool>& done);

// "schema.name" of those that `to` does not have, though it should: those of columns of tables that
// it does not have either are not moved.
Result<std::vector<std::string>> missing_sequences(Connection& from, Connection& to);

// The error names a sequence that `to` does not have.
Status set_sequences_ahead(Connection& from, Connection& to);

}  // namespace segue::backfill::postgres
