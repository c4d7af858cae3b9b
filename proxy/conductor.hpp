#pragma once
// Carries out a change of authority: router::Cutover says what comes next, here it is done, with
// blocking calls, on the operator's thread. Roles, not sides: `to` is the side that shall answer
// for the data.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "backfill/change_steps.hpp"
#include "backfill/mover.hpp"
#include "protocol/result.hpp"
#include "proxy/journal.hpp"
#include "proxy/sessions.hpp"
#include "proxy/traffic.hpp"
#include "router/cutover.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// What a change uses and does not own.
struct ChangeParts {
    backfill::ChangeSteps& steps;
    backfill::Mover& mover;
    Sessions& sessions;
    Traffic& traffic;
    Journal& journal;
    const std::atomic<bool>&
        stopping;  // The program shall end: a retry without limit ends, the clients stay held.
};

struct ChangeLimits {
    std::chrono::milliseconds drain{2000};  // For open transactions.
    std::chrono::milliseconds deadline{
        5000};  // From hold to release, before the point of no return.
    // Step 1, which no client notices: for the mover's streams to be connected, for arming, for the
    // two probes, for preparing the sessions.
    std::chrono::milliseconds connect{
        8000};  // Above the longest pause between two of the mover's runs.
    std::chrono::milliseconds arm{10000};
    std::chrono::milliseconds probe{15000};
    std::chrono::milliseconds prestage{15000};
    // For how long, all in all, one change may slow the clients down before its hold
    // (Traffic::pace).
    std::chrono::milliseconds slowed{2000};
    std::chrono::milliseconds retry_pause{200};  // Between two attempts at what must be done.
};

struct ChangeReport {
    router::Ending ending = router::Ending::refused;
    std::string reason;  // Empty when all went well. Names the thing and the remedy.
    std::chrono::microseconds hold{0};
    std::chrono::microseconds longest_wait{0};
    bool held = false;                    // Clients were held, so the two figures mean something.
    std::chrono::microseconds slowed{0};  // Clients were slowed down for so long before it.
    bool interrupted =
        false;  // The program is ending; recovery goes on from the records at the next start.
    bool overtaken =
        false;  // By another process; clients are still held, and recovery has to tell where to go.
};

// Makes `to` the authority, or leaves everything as it was.
ChangeReport change_authority(const ChangeParts& parts, const ChangeLimits& limits, Side to);

// Prepares, holds, drains, sends the two tickets, releases: what a change would cost now. No fence,
// no intent. The ending is `undone` when it went well.
ChangeReport rehearse_change(const ChangeParts& parts, const ChangeLimits& limits, Side to);

}  // namespace segue::proxy
