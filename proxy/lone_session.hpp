#pragma once
// When a relay thread looks for the next bytes before it sleeps. Being woken costs as much as
// everything else that it does for a message, and more where the processor itself sleeps; one
// session that asks one question after the other pays that twice for each of them. Where several
// are at work a wake-up is shared, and looking would only take their servers' processor time.
//
// On a busy machine it takes that of the one session's server, and from a server far away nothing
// comes in time: so it is tried again and again for some turns whether the session gets on faster.
//
// Pure but for the word that threads share; used by one thread.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace segue::proxy {

// So many turns in a row must have been one session's.
inline constexpr int turns_alone_min = 32;
// A trial: so many turns without looks, then as many with them.
inline constexpr std::size_t turns_of_half_a_trial = 64;
// Of either, so many of the longest do not count.
inline constexpr std::size_t turns_not_counted = 8;
// Looks must make the session faster by a tenth.
inline constexpr double share_with_looks_max = 0.9;
// A trial holds for so many turns; when it found no gain, for twice as many as the last one each
// time, up to the second.
inline constexpr int turns_between_trials = 2048;
inline constexpr int turns_between_trials_max = 65536;

class LoneSession {
public:
    using Clock = std::chrono::steady_clock;

    // `longest` bounds a look; zero: never. `looking` is shared by all threads, of which at most
    // one looks at a time; it outlives this.
    LoneSession(std::chrono::microseconds longest, std::atomic<bool>* looking)
        : longest_(longest), looking_(looking) {}

    // In this turn something has come for that session.
    void brought(const void* session);

    // The turn, which had begun at `began`, has ended. For how long to look now, zero: not at all.
    // After a look that is not zero `looked` follows.
    std::chrono::microseconds begin(Clock::time_point began);
    void looked();

private:
    enum class Phase : std::uint8_t { without, with, decided };

    bool worth_a_look(std::chrono::nanoseconds turn);
    void decide(std::chrono::nanoseconds with);

    std::chrono::microseconds longest_;
    std::atomic<bool>* looking_;
    const void* session_ = nullptr;
    bool anything_ = false;  // In this turn.
    int turns_alone_ = 0;    // Of session_, this one included.
    Clock::time_point last_{};
    Phase phase_ = Phase::without;
    std::array<std::chrono::nanoseconds, turns_of_half_a_trial> turns_{};  // Of this phase,
    std::size_t taken_ = 0;                                                // so many.
    std::chrono::nanoseconds without_{0};                                  // What they took then.
    bool faster_ = false;
    int between_ = turns_between_trials;
    int left_ = 0;  // Of `between_`.
};

}  // namespace segue::proxy
