#pragma once
// Named instants at which tests kill the program as kill -9 would. In production each costs one
// comparison of a pointer with null: nothing happens unless SEGUE_CRASH_AT was set when the program
// started.

#include <string_view>

namespace segue::backfill {

// Kills this process with SIGKILL when SEGUE_CRASH_AT names `point`: "name", or "name:3" for the
// third time it is reached. Names are <area>.<instant>, e.g. "copy.before_loaded",
// "apply.before_commit", "change.after_intent". "freeze name" stops it there with SIGSTOP. With
// SEGUE_CRASH_AT=list each name is printed to standard error when first reached.
void crash_point(std::string_view point);

}  // namespace segue::backfill
