#pragma once
// The types of one application on two servers that numbered them differently, and bytes that hold
// them.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/postgres/type_ids.hpp"

namespace segue::protocol::postgres {

// app.mood (enum), app.pair (first mood, second int4, third mood[]), app.span (range of mood),
// app.level (domain over mood[]), app.plain (composite of int4 only), app.same (enum), which has
// one number on both.
inline std::vector<CatalogType> catalog(std::uint32_t base) {
    using Kind = CatalogType::Kind;
    return {{base, "app", "mood", Kind::plain, {}},
            {base + 1, "app", "_mood", Kind::array, {base}},
            {base + 2, "app", "pair", Kind::composite, {base, base + 1}},
            {base + 3, "app", "_pair", Kind::array, {base + 2}},
            {base + 4, "app", "span", Kind::range, {base + 2}},
            {base + 5, "app", "spans", Kind::multirange, {base + 4}},
            {base + 6, "app", "level", Kind::domain, {base + 1}},
            {base + 7, "app", "plain", Kind::composite, {}},
            {base + 8, "app", "numbers", Kind::range, {}},
            {99000, "app", "same", Kind::plain, {}}};
}

inline constexpr std::uint32_t first_base = 16400, second_base = 20500;

inline std::shared_ptr<const TypeIds> two_catalogs() {
    return std::make_shared<const TypeIds>(catalog(first_base), catalog(second_base));
}

inline std::string be32(std::uint32_t value) {
    std::string text;
    ByteWriter{text}.big_endian(value);
    return text;
}
inline std::string be16(std::uint16_t value) {
    std::string text;
    ByteWriter{text}.big_endian(value);
    return text;
}
inline std::string sized(std::string_view value) {
    return be32(static_cast<std::uint32_t>(value.size())) + std::string{value};
}

// Binary values as a server whose types begin at `base` has them. The number in the pair is data,
// whatever it looks like.
inline std::string moods(std::uint32_t base) {
    return be32(1) + be32(1) + be32(base) + be32(3) + be32(1) + sized("ok") + be32(0xffffffff) +
           sized("happy");
}
inline std::string pair(std::uint32_t base) {
    return be32(3) + be32(base) + sized("ok") + be32(23) + sized(be32(first_base)) +
           be32(base + 1) + sized(moods(base));
}
inline std::string pairs(std::uint32_t base) {
    return be32(2) + be32(0) + be32(base + 2) + be32(1) + be32(1) + be32(2) + be32(1) +
           sized(pair(base)) + sized(pair(base));
}
inline std::string span(std::uint32_t base) {
    return std::string{"\x02"} + sized(pair(base)) + sized(pair(base));
}
inline std::string spans(std::uint32_t base) { return be32(2) + sized(span(base)) + sized("\x01"); }

}  // namespace segue::protocol::postgres
