#pragma once
// What an operator has decided: a finding of this code about this object shall not stop the move.

#include <string>

namespace segue::backfill {

struct AcceptedFinding {
    std::string code, object;  // As `check` prints them.
    std::string reason;        // For those who read it later. May be empty.

    friend bool operator==(const AcceptedFinding&, const AcceptedFinding&) = default;
};

}  // namespace segue::backfill
