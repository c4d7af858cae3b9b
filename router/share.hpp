#pragma once
// Percent -> which reads. Error diffusion instead of a random draw: after any number of reads the share is
// within one read of what was asked for. One thread at a time; several of them add up to the same share.

#include <cstdint>

namespace segue::router {

class Share {
public:
    // Is the next read chosen? At 0 never, at 100 always; a change of `percent` counts from the next read on.
    bool take(double percent);

    // A chosen read went elsewhere after all: the next one not chosen takes its place. Bounded by
    // `owed_max`, so that an outage is not made up for later.
    void give_back();

    static constexpr double owed_max = 1000;  // Percent points: ten reads.

private:
    double owed_ = 0;  // Percent points of a read that are due.
};

// The same for sessions: a session stays where it was put as long as the percentage stays. `chosen` out of
// `total` live sessions; whether a new one joins the chosen.
bool take_session(double percent, std::uint64_t chosen, std::uint64_t total);

}  // namespace segue::router
