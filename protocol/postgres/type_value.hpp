#pragma once
// Walks one binary value, of any size and in pieces, and names the OIDs in it that are to be
// replaced: arrays, records, ranges and multiranges, nested in each other. It says what it wants
// next; whoever reads the stream gives it. Memory: one small entry for each level of nesting. A
// value that is not what its type says is passed over unchanged from there on.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/postgres/type_ids.hpp"

namespace segue::protocol::postgres {

// Deeper values pass unchanged below it.
inline constexpr std::size_t value_depth_max = 64;

class ValueWalker {
public:
    struct Want {
        enum class Kind : std::uint8_t { nothing, number, bytes };
        Kind kind = Kind::nothing;  // nothing: the value has ended.
        std::uint64_t size = 0;     // Of bytes, to be passed as they are.
    };

    // OIDs are those of `server`. `ids` must outlive the walk.
    void begin(const TypeIds& ids,
               std::size_t server,
               ValueShape shape,
               std::uint32_t size,
               OidValues oid_values);
    Want next();
    // The number that was wanted (4 bytes, big endian); what to put in its place, if anything.
    std::optional<std::uint32_t> number(std::uint32_t value);

private:
    enum class Step : std::uint8_t { dimensions, pass, type, size };
    struct Level {
        ValueShape shape;
        Step step = Step::size;
        Step after_pass = Step::size;
        std::uint32_t pass = 0;  // Bytes to be passed over before `after_pass`.
        std::uint32_t rest = 0;  // Of this value, without what its parts have taken already.
        ValueShape part;
    };

    void open(ValueShape shape, std::uint32_t size);
    void take_size(Level& level, std::uint32_t size);
    Want give_up();

    const TypeIds* ids_ = nullptr;
    std::size_t server_ = 0;
    OidValues oid_values_ = OidValues::data;
    std::vector<Level> levels_;
    bool broken_ = false;
};

}  // namespace segue::protocol::postgres
