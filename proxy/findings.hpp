#pragma once
// What `check` prints: the findings of the preflight as a table or as JSON.

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "backfill/preflight.hpp"

namespace segue::proxy {

enum class FindingsShown : std::uint8_t { all, failures };

bool has_failure(const std::vector<backfill::Finding>& findings);
// "connect (target), wal_level (source)": for a log, which takes one line.
std::string failures_line(const std::vector<backfill::Finding>& findings);
// Failures first. One finding a paragraph: severity, code, object; reason; remedy.
std::string findings_text(const std::vector<backfill::Finding>& findings,
                          FindingsShown shown,
                          bool colours = false);
// {"ok", "findings": [{severity fail|warn|information, code, object, reason, remedy, accepted,
// accepted_reason}]}
nlohmann::json findings_json(const std::vector<backfill::Finding>& findings);

}  // namespace segue::proxy
