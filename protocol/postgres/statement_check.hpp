#pragma once
// Which of a session's prepared statements its own server cannot execute as things stand: their
// table was dropped, a type is gone, row security refuses them. No other server can prepare them
// now, and they need not be: to execute them would fail. The server is asked to analyse each anew,
// as it would before it executed it; none is executed, and none is changed. Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

// One round trip asks for no more, so that neither side's buffers fill while the other writes.
inline constexpr std::size_t statement_checks_max = 64;
// For a table that somebody has locked; then the statement counts as usable.
inline constexpr std::string_view statement_check_lock_timeout = "1s";

// How many there are to check: the named ones, in the state's order, then the unnamed one if there
// is one.
std::size_t checks_of(const SessionState& state);

// Checks [first, first + count), on the session's own backend at a boundary. Leaves the client's
// unnamed statement alone.
std::string statement_check_request(const SessionState& state,
                                    std::size_t first,
                                    std::size_t count);
// One answer for each: whether it is unusable. An error that does not say so, such as a timeout,
// leaves it usable.
Step<std::vector<bool>> parse_statement_check_reply(Bytes reply, std::size_t count);

// Those that `unusable` names, one for each of checks_of(state), become late ones. SQL's PREPARE is
// forgotten, because its uses are not seen, and what has parameters of types that were not built
// in.
void put_off_unusable(SessionState& state, const std::vector<bool>& unusable);

}  // namespace segue::protocol::postgres
