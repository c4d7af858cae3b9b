#include "protocol/hash.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace segue {

namespace {

constexpr std::size_t block_size = 16;

std::uint64_t word(const std::byte* at) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// The finalizer of MurmurHash3: every input bit reaches every output bit.
std::uint64_t avalanche(std::uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccd;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53;
    return value ^ (value >> 33);
}

}  // namespace

// One block of MurmurHash3 x64 128.
void HashStream::mix(std::uint64_t first, std::uint64_t second) {
    constexpr std::uint64_t c1 = 0x87c37b91114253d5, c2 = 0x4cf5ad432745937f;
    high_ ^= std::rotl(first * c1, 31) * c2;
    high_ = (std::rotl(high_, 27) + low_) * 5 + 0x52dce729;
    low_ ^= std::rotl(second * c2, 33) * c1;
    low_ = (std::rotl(low_, 31) + high_) * 5 + 0x38495ab5;
}

void HashStream::update(Bytes bytes) {
    size_ += bytes.size();
    if (tail_size_ > 0) {
        const std::size_t missing = std::min(block_size - tail_size_, bytes.size());
        std::copy_n(bytes.data(), missing, tail_ + tail_size_);
        tail_size_ += missing;
        bytes = bytes.subspan(missing);
        if (tail_size_ < block_size) return;
        mix(word(tail_), word(tail_ + 8));
        tail_size_ = 0;
    }
    for (; bytes.size() >= block_size; bytes = bytes.subspan(block_size)) {
        mix(word(bytes.data()), word(bytes.data() + 8));
    }
    std::copy(bytes.begin(), bytes.end(), tail_);
    tail_size_ = bytes.size();
}

Hash128 HashStream::finish() const {
    HashStream last = *this;
    std::fill(last.tail_ + last.tail_size_, last.tail_ + block_size, std::byte{0});
    last.mix(word(last.tail_), word(last.tail_ + 8));  // The size below tells padding from zeros.
    std::uint64_t high = last.high_ ^ size_, low = last.low_ ^ size_;
    high += low;
    low += high;
    high = avalanche(high);
    low = avalanche(low);
    high += low;
    low += high;
    return {high, low};
}

Hash128 hash128(Bytes bytes) {
    HashStream stream;
    stream.update(bytes);
    return stream.finish();
}

}  // namespace segue
