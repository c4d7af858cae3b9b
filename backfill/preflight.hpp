#pragma once
// `segue check`: findings about both servers before a byte is copied. Reads only.

#include <string>
#include <vector>

#include "protocol/result.hpp"

namespace segue::backfill {

struct ServerSettings;  // backfill/change_steps.hpp

enum class Severity { fail, warn, information };

struct Finding {
    Severity severity = Severity::information;
    std::string code;    // Stable, e.g. "wal_level".
    std::string object;  // "source", "target", "source: public.orders" ...
    std::string reason;
    std::string remedy;  // A command to run, where there is one.
};

// An Error only when nothing could be examined; a server that cannot be reached is a finding
// (fail).
Result<std::vector<Finding>> postgres_preflight(const ServerSettings& settings);

}  // namespace segue::backfill
