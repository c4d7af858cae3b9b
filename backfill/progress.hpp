#pragma once
// How far a stream is applied, contiguously and beyond. Commits are named by where their record
// begins (TransactionBegin::start): that is known before their changes arrive.

#include <cstddef>
#include <map>
#include <set>
#include <vector>

#include "protocol/position.hpp"

namespace segue::backfill {

class Progress {
public:
    Progress() = default;
    // What was durable: everything up to `applied`, and the commits of `beyond` above it.
    Progress(Position applied, const std::vector<Position>& beyond)
        : frontier_(applied), beyond_(beyond.begin(), beyond.end()) {}

    // Everything delivered up to here has been dealt with, except what is parked.
    void reached(Position position);
    // A commit is set aside for later, while later ones go on: the contiguous position stays below
    // it.
    void parked(Position start);
    // A commit is on the follower; parked before, or next in order.
    void committed(Position start, Position position);

    // Stands below the first commit that is skipped or unfinished (law 3).
    Position contiguous() const;
    // Commits above contiguous() that are on the follower.
    std::vector<Position> beyond() const;

private:
    Position frontier_;
    std::map<Position, Position> parked_;  // Start -> the frontier when it was parked.
    std::set<Position> beyond_;
};

}  // namespace segue::backfill
