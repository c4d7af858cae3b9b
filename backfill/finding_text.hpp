#pragma once
// What is to be said of one kind of finding, beyond what each finding says of its own object.

#include <cstdint>
#include <string_view>

namespace segue::backfill {

// Whether an operator may decide that a finding of this kind shall not stop the move.
enum class Acceptance : std::uint8_t {
    possible,
    none,  // The move could not work, or would lose data: there is nothing to decide.
};

struct FindingText {
    std::string_view code;     // Stable.
    std::string_view means;    // What it means.
    std::string_view matters;  // Why it matters.
    std::string_view remedy;   // What to do.
    Acceptance acceptance = Acceptance::possible;
};

}  // namespace segue::backfill
