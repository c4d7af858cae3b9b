#pragma once
// What a migration is at one moment: who answers, which knobs are set, and which moves are allowed.
// A value; the durable form of it is the control record (backfill/control.hpp).

#include <cstdint>
#include <string>
#include <string_view>

#include "router/shift_scope.hpp"
#include "router/side.hpp"

namespace segue::router {

enum class Backfill : std::uint8_t { none, copying, consistent };
enum class Mirror : std::uint8_t {
    off,
    async,
    sync
};  // sync: the gate is closed around every commit.

// Where a change of authority stands, as one side's control record tells it.
enum class Phase : std::uint8_t {
    steady,     // No change is under way as far as this side knows.
    switching,  // Intent: this side is the old authority and may be fenced. It alone can undo.
    deciding,   // The new side may have been told. Only the new side's record can tell the outcome.
    finished,   // The tombstone that `finish` leaves.
};

struct Knobs {
    Mirror mirror = Mirror::off;
    double shadow_percent = 0;    // Reads compared.
    double shift_percent = 0;     // Reads answered by the follower.
    bool paused = false;          // Copying and following.
    ShiftScope shift_scope = {};  // What shift_percent is a percentage of.
    // What the follower cannot follow, for which sync was given up until it can. Else empty.
    std::string sync_given_up = {};

    friend bool operator==(const Knobs&, const Knobs&) = default;
};

constexpr std::string_view name(Backfill state) {
    switch (state) {
        case Backfill::none:
            return "none";
        case Backfill::copying:
            return "copying";
        case Backfill::consistent:
            return "consistent";
    }
    return "";
}
constexpr std::string_view name(Mirror mode) {
    switch (mode) {
        case Mirror::off:
            return "off";
        case Mirror::async:
            return "async";
        case Mirror::sync:
            return "sync";
    }
    return "";
}
constexpr std::string_view name(Phase phase) {
    switch (phase) {
        case Phase::steady:
            return "steady";
        case Phase::switching:
            return "switching";
        case Phase::deciding:
            return "deciding";
        case Phase::finished:
            return "finished";
    }
    return "";
}

}  // namespace segue::router
