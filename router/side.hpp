#pragma once
// Sides are databases and never change names; roles are authority and follower.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace segue {

enum class Side : std::uint8_t { source, target };

constexpr Side other(Side side) { return side == Side::source ? Side::target : Side::source; }
constexpr std::string_view name(Side side) { return side == Side::source ? "source" : "target"; }
constexpr std::size_t index(Side side) { return side == Side::source ? 0 : 1; }

}  // namespace segue
