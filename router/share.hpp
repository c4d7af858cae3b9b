#pragma once
// Percent -> which reads. Error diffusion instead of a random draw: after any number of reads the
// share is within one read of what was asked for. One thread at a time; several of them add up to
// the same share.

#include <cstdint>

namespace segue::router {

class Share {
public:
    // Is the next read chosen? At 0 never, at 100 always; a change of `percent` counts from the
    // next read on, and nothing is made up for under another percentage.
    bool take(double percent);

    // A chosen read went elsewhere after all: the next one not chosen takes its place. What is
    // beyond `owed_max` is made up for slowly, at no more than `repaid_max` above the percentage,
    // so that no burst follows a start or an outage; and what is beyond `debt_max` never.
    void give_back();

    // Percent points of a read.
    static constexpr double owed_max = 1000;       // Ten reads.
    static constexpr double debt_max = 1'000'000;  // Ten thousand reads.
    static constexpr double repaid_max = 2;        // For each read.

private:
    void owe(double points);

    double percent_ = 0;
    double owed_ = 0;  // Due at once.
    double debt_ = 0;  // Due some time.
};

// The same for sessions: a session stays where it was put as long as the percentage stays. `chosen`
// out of `total` live sessions; whether a new one joins the chosen.
bool take_session(double percent, std::uint64_t chosen, std::uint64_t total);

// The live sessions that a share is of. Which of them are chosen is known by themselves, here only
// how many. The share is within half a session of what was asked for when a session has joined or
// every one has settled; one that leaves is made up for by those that come.
class SessionShare {
public:
    // A new session: whether it is one of the chosen.
    bool join(double percent);
    // The percentage is another one than when the session joined or settled last. No more sessions
    // change their place than the new share needs.
    bool settle(bool chosen, double percent);
    void leave(bool chosen);

    std::uint64_t chosen() const { return chosen_; }
    std::uint64_t total() const { return total_; }

private:
    std::uint64_t chosen_ = 0, total_ = 0;
};

}  // namespace segue::router
