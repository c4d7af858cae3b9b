#include <algorithm>

#include "backfill/preflight.hpp"

namespace segue::backfill {

void accept_findings(const std::vector<AcceptedFinding>& accepted, std::vector<Finding>& findings) {
    for (const AcceptedFinding& decision : accepted) {
        bool found = false;
        for (Finding& finding : findings) {
            if (finding.code != decision.code || finding.object != decision.object) continue;
            if (finding.code.text().acceptance == Acceptance::none) continue;
            found = true;
            finding.accepted = decision.reason;
            if (finding.severity == Severity::fail) finding.severity = Severity::warn;
        }
        if (found) continue;
        findings.push_back(
            {Severity::warn,
             "accept_unused",
             decision.code + " of " + decision.object,
             "[[accept]] names it, and the check has found nothing of the kind",
             "strike it out, or write code and object as `segue check` prints them"});
    }
}

void sort_findings(std::vector<Finding>& findings) {
    std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
        return a.severity < b.severity;
    });
}

}  // namespace segue::backfill
