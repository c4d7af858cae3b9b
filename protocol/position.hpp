#pragma once
// An opaque, ordered place in an authority's stream. What the number stands for is the engine's
// affair (PostgreSQL: an LSN); the core only compares. Positions of different sides are not
// comparable.

#include <compare>
#include <cstdint>

namespace segue {

struct Position {
    std::uint64_t value = 0;  // Zero stands before everything.

    friend auto operator<=>(Position, Position) = default;
};

}  // namespace segue
