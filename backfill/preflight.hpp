#pragma once
// `segue check`: findings about both servers before a byte is copied. Reads only.

#include <optional>
#include <string>
#include <vector>

#include "backfill/accepted_finding.hpp"
#include "backfill/finding_code.hpp"
#include "protocol/result.hpp"

namespace segue::backfill {

struct ServerSettings;  // backfill/change_steps.hpp

enum class Severity { fail, warn, information };

struct Finding {
    Severity severity = Severity::information;
    FindingCode code;
    std::string object;  // "source", "target", "source: public.orders" ...
    std::string reason;
    std::string remedy;  // A command to run, where there is one.
    // The operator's words, where the configuration accepts the finding; may be empty then.
    std::optional<std::string> accepted = std::nullopt;
};

// Marks what is accepted: a failure becomes a warning. Decisions that decide nothing are findings.
void accept_findings(const std::vector<AcceptedFinding>& accepted, std::vector<Finding>& findings);
// Failures first, else in the order in which they were found.
void sort_findings(std::vector<Finding>& findings);

// Every finding about the two servers. An Error only when nothing could be examined; a server that
// cannot be reached is a finding (fail).
Result<std::vector<Finding>> postgres_preflight(const ServerSettings& settings);

}  // namespace segue::backfill
