#pragma once
// Numbers that follow from a seed alone, the same on every machine and with every library.

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace segue::test {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}

    // From 0 to `count` - 1.
    unsigned below(unsigned count) { return static_cast<unsigned>(engine_() % count); }
    bool percent(unsigned chance) { return below(100) < chance; }
    template <class T>
    const T& one_of(const std::vector<T>& values) {
        return values[below(static_cast<unsigned>(values.size()))];
    }

private:
    std::mt19937_64 engine_;
};

}  // namespace segue::test
