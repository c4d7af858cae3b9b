#pragma once
// The gate of one session (mirror sync): answers that acknowledge a commit wait here, and
// everything behind them, until the follower has the commit. Pure: no socket, no clock; the caller
// asks for tokens, writes what is released, and owns the time.
//
// A token is a position of the authority's log read after the answer arrived: it lies at or beyond
// the commit that the answer acknowledges, and beyond every commit of answers before it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/position.hpp"
#include "protocol/write_mark.hpp"
#include "router/side.hpp"

namespace segue::router {

// Bytes held for one session; above it the caller stops reading the server. It never has to read on
// in order to go on: everything that is held has asked for its token.
inline constexpr std::size_t gate_held_size_max = 256 * 1024;

class Gate {
public:
    using Time = std::chrono::steady_clock::time_point;

    bool empty() const { return held_.empty(); }
    std::size_t held_size() const { return held_size_; }
    bool full() const { return held_size_ >= gate_held_size_max; }
    // When the oldest answer that waits arrived.
    std::optional<Time> waiting_since() const;

    // Bytes from an acknowledgement on. They wait for the token that is read under `request` or a
    // later one; requests are numbered upwards per side, and a session's sides and requests never
    // step back. `before`: of the side, read before the transaction began whose end is
    // acknowledged; unknown where that is not sure.
    void hold(Bytes from_acknowledgement,
              Side side,
              std::uint64_t request,
              Time now,
              WriteMark before = {});
    // Bytes without an acknowledgement, behind what is held. Only when not empty().
    void queue(Bytes bytes);

    // A token of `side`, read after every request up to `request` had been made. An answer waits
    // for `position`, but for nothing when nothing was written between its `before` and `written`:
    // then its transaction has not written either.
    void token(Side side, std::uint64_t request, Position position, WriteMark written = {});
    // Moves what `applied` of that side's stream covers to the end of `output`, in order. True when
    // something moved.
    bool release(Side side, Position applied, std::string& output);
    // Lets everything go without waiting: the declared policy `bounded`, or the gate was opened.
    void release_all(std::string& output);

private:
    struct Answer {
        std::string bytes;
        Side side = Side::source;
        std::uint64_t request = 0;
        std::optional<Position> token;
        Time since;
        WriteMark before;
    };
    std::vector<Answer> held_;  // In order; few, and none allocated while nothing waits.
    std::size_t held_size_ = 0;
};

}  // namespace segue::router
