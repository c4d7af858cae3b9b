#pragma once
// The log's lines about clients that lose their connection unasked and without having been told
// why, so that none of them is left unexplained.

#include <chrono>
#include <cstdint>

#include "router/side.hpp"

namespace segue::proxy {

// Lines of one relay thread a second: a crash of a server ends all sessions at once.
inline constexpr int end_lines_per_second_max = 10;

enum class EndCause : std::uint8_t {
    none,           // Its client has asked for it, or has been told why.
    client_gone,    // Without Terminate.
    server_gone,    // Without an error.
    server_broken,  // It took no more bytes, and said no error.
    answer_cut,     // A part of a message of the follower's had been passed on.
    answer_owed,    // Of a request whose outcome is unknown nobody may say that it failed.
    being_moved,    // Its state was being asked for when the sessions were swapped or ended.
    not_movable,    // Told with 57P01.
    lost_in_move,   // What was to give the session back has failed.
};

// Used by one thread.
class EndLog {
public:
    using Time = std::chrono::steady_clock::time_point;

    // By pid and side of the server's process. What its client did itself is told at level debug
    // only and not counted: some applications never say Terminate.
    void tell(EndCause cause, std::int32_t pid, Side side, Time now);

private:
    Time since_{};
    int lines_ = 0;
    std::uint64_t untold_ = 0;
};

}  // namespace segue::proxy
