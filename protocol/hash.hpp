#pragma once
// A 128-bit hash of bytes that arrive in arbitrary slices: for cache keys and for digests of
// replies. Fast and well mixed; not meant to withstand somebody who constructs collisions.

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.hpp"

namespace segue {

struct Hash128 {
    std::uint64_t high = 0, low = 0;

    friend bool operator==(const Hash128&, const Hash128&) = default;
    // For unordered containers: the value is mixed already.
    struct Hasher {
        std::size_t operator()(const Hash128& value) const {
            return static_cast<std::size_t>(value.low);
        }
    };
};

// Slices do not matter: update("ab"), update("c") equals update("abc").
class HashStream {
public:
    void update(Bytes bytes);
    Hash128 finish() const;  // Of all bytes so far; more may follow.
    std::uint64_t size() const { return size_; }

private:
    void mix(std::uint64_t first, std::uint64_t second);

    std::uint64_t high_ = 0x243f6a8885a308d3, low_ = 0x13198a2e03707344;  // Digits of pi.
    std::uint64_t size_ = 0;
    std::byte tail_[16] = {};
    std::size_t tail_size_ = 0;
};

Hash128 hash128(Bytes bytes);

}  // namespace segue
