#pragma once
// The part of the check that measures: how far the servers are, whose clock is right, how much
// there is to move, and what the application's statements ask for.

#include <chrono>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/preflight.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

// One server as seen from Segue's host.
struct Distance {
    std::chrono::microseconds round_trip{0};
    double megabytes_per_second = 0;
    double clock_ahead_seconds = 0;  // Of Segue's own clock.
};

// Empty, and a finding, when it could not be measured.
std::optional<Distance> measure_distance(Side side,
                                         Connection& connection,
                                         std::vector<Finding>& findings);
void check_clocks(const Distance& source, const Distance& target, std::vector<Finding>& findings);

// An average over less says nothing: what fills a database is most of what it has ever written.
inline constexpr std::chrono::hours rate_counted_for_min{1};
void tell_size(Connection& source,
               std::vector<Finding>& findings,
               std::chrono::seconds counted_for_min = rate_counted_for_min);

// By the server's statistics of statements, where they are collected, and by what sessions run now.
void check_statements(Connection& source, std::vector<Finding>& findings);

}  // namespace segue::backfill::postgres
