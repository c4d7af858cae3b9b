#pragma once
// What the tests of `check` ask about.

#include "backfill/change_steps.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::test {

inline backfill::ServerSettings settings_of(const Databases& databases) {
    backfill::ServerSettings settings;
    settings.migration = "shop";
    settings.url[0] = databases.url(Side::source);
    settings.url[1] = databases.url(Side::target);
    return settings;
}

}  // namespace segue::test
