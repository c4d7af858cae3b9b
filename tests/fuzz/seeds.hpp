#pragma once
// What every fuzz target has in common: it defines `seeds` (bytes taken from the unit tests) and
// LLVMFuzzerTestOneInput. seeds.cpp hands the seeds to libFuzzer as a corpus folder when none is
// named.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"

namespace segue::fuzz {

std::vector<std::string_view> seeds();  // Defined by each target.

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

// A promise of the parser's that does not hold for this input.
inline void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace segue::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
