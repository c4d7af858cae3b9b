// Any three texts as keys of any type: where an order is known it is one (antisymmetric,
// transitive, reflexive). Input := byte (type), text, 0, text, 0, text

#include <array>

#include "protocol/postgres/key_order.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

namespace {

constexpr std::array<std::uint32_t, 16> oids = {
    16, 17, 19, 20, 21, 23, 25, 26, 1042, 1043, 1082, 1083, 1114, 1184, 1700, 2950};

}  // namespace

std::vector<std::string_view> fuzz::seeds() {
    return {
        "\3-1\0"
        "10\0"
        "9"sv,
        "\1\\x00\0\\xff\0\\x"sv,
        "\x0a"
        "0044-03-15 BC\0"
        "2024-02-29\0infinity"sv,
        "\x0c"
        "2024-02-29 12:34:56.05\0-infinity\0"
        "294276-12-31 23:59:59.999999"sv,
        "\x0d"
        "2024-02-29 12:34:56+00\0"
        "0044-03-15 00:00:00+00 BC\0infinity"sv,
        "\x0e-0.01\0NaN\0"
        "100000000000000000000.5"sv,
        "\x0e-Infinity\0"
        "1.0\0"
        "1.00"sv,
        "\x0f"
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\0"
        "00000000-0000-0000-0000-000000000000\0"sv,
        "\x0b"
        "24:00:00\0"
        "09:59:59.5\0"
        "10:00:00"sv,
        "\x08"
        "a \0"
        "a\t\0"
        "a"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto comparer = key_comparer(oids[data[0] % oids.size()], true);
    fuzz::require(comparer.has_value());
    std::string_view rest = fuzz::text_of(data + 1, size - 1);
    std::array<std::string_view, 3> keys;
    for (auto& key : keys) {
        const std::size_t zero = rest.find('\0');
        key = rest.substr(0, zero);
        rest = zero == std::string_view::npos ? std::string_view{} : rest.substr(zero + 1);
    }
    const auto ab = comparer->compare(keys[0], keys[1]);
    const auto bc = comparer->compare(keys[1], keys[2]);
    const auto ac = comparer->compare(keys[0], keys[2]);
    const auto aa = comparer->compare(keys[0], keys[0]);
    if (aa) fuzz::require(*aa == 0);
    if (ab) {
        fuzz::require(aa.has_value());
        const auto ba = comparer->compare(keys[1], keys[0]);
        fuzz::require(ba && (0 <=> *ba) == *ab);
    }
    if (ab && bc) fuzz::require(ac.has_value());
    if (ab && bc && *ab <= 0 && *bc <= 0) fuzz::require(*ac <= 0);
    if (ab && bc && *ab < 0 && *bc <= 0) fuzz::require(*ac < 0);
    return 0;
}
