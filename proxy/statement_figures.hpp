#pragma once
// What was found out about each compared statement, so that an operator learns which reads differ,
// and which take longer on the follower before it answers them. Thread-safe.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/sessions.hpp"

namespace segue::proxy {

// Statements with figures of their own; further ones are only counted in the totals.
inline constexpr std::size_t statements_measured_max = 2000;
inline constexpr std::size_t statements_reported_max = 10;

enum class Comparison : std::uint8_t { equal, different, unconfirmed };

class StatementFigures {
public:
    // `text` as the application sent it: only what is left without its values is kept.
    void add(std::string_view text,
             Comparison outcome,
             std::chrono::microseconds authority,
             std::chrono::microseconds follower);

    // Those that differ most often, then those that could not be confirmed, then those by which the
    // follower loses most time; at most statements_reported_max.
    std::vector<StatementReport> report() const;
    // All of them, with sums instead of means.
    std::vector<StatementReport> sums() const;

private:
    struct Sums {
        std::uint64_t compared = 0, different = 0, unconfirmed = 0;
        std::chrono::microseconds authority{0}, follower{0};
    };
    mutable std::mutex mutex_;
    std::unordered_map<std::string, Sums> sums_;
};

}  // namespace segue::proxy
