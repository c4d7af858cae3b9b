#pragma once
// The comparison of two replies, as a pure function of their digests.

#include <cstdint>
#include <string_view>

#include "protocol/reply.hpp"

namespace segue::router {

enum class Verdict : std::uint8_t {
    equal,
    reordered,  // The same rows in another order. A difference only where the statement defines the
                // order.
    different,
    not_comparable,  // One of them is incomplete or not covered by digests.
};

constexpr std::string_view name(Verdict verdict) {
    switch (verdict) {
        case Verdict::equal:
            return "equal";
        case Verdict::reordered:
            return "reordered";
        case Verdict::different:
            return "different";
        case Verdict::not_comparable:
            return "not comparable";
    }
    return "";
}

Verdict compare(const ReplyDigest& authority, const ReplyDigest& follower);

// True when the verdict must be confirmed before it counts as a difference.
bool is_suspect(Verdict verdict, bool order_defined);

}  // namespace segue::router
