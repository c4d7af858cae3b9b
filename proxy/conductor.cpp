#include "proxy/conductor.hpp"

#include <cstdio>
#include <string>
#include <thread>
#include <variant>

#include "backfill/crash_point.hpp"
#include "proxy/change_run.hpp"

namespace segue::proxy {

using router::Outcome;

namespace {

std::string milliseconds(std::chrono::microseconds duration) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f ms", static_cast<double>(duration.count()) / 1000.0);
    return buffer;
}

std::string_view word(Outcome outcome) {
    switch (outcome) {
        case Outcome::done:
            return "done";
        case Outcome::failed:
            return "failed";
        case Outcome::unknown:
            return "outcome unknown";
    }
    return "";
}

void tell(Journal& journal,
          const router::Action& action,
          Outcome outcome,
          std::chrono::microseconds took,
          const std::string& reason) {
    std::string detail =
        std::string{name(action)} + ": " + std::string{word(outcome)} + " in " + milliseconds(took);
    if (outcome == Outcome::done) return journal.event("change", detail);
    journal.warning("change", reason.empty() ? detail : detail + ": " + reason);
}

}  // namespace

ChangeReport change_authority(const ChangeParts& parts, const ChangeLimits& limits, Side to) {
    ChangeRun run{parts, limits, to};
    router::Cutover order;
    Outcome last = Outcome::done;
    router::Action previous = router::Finished{};
    for (;;) {
        const router::Action action = order.next(last);
        // A step that is retried waits for a database: not as fast as it can, and not beyond our
        // own end.
        const bool again =
            action.index() == previous.index() && !std::holds_alternative<router::Finished>(action);
        if (again) {
            if (parts.stopping) {
                run.interrupted();
                return run.report();
            }
            if (run.overtaken(order.may_be_committed())) return run.report();
            std::this_thread::sleep_for(limits.retry_pause);
        }
        const auto begun = ChangeRun::Clock::now();
        last = std::visit([&](const auto& step) { return run.perform(step); }, action);
        const auto took =
            std::chrono::duration_cast<std::chrono::microseconds>(ChangeRun::Clock::now() - begun);
        if (std::holds_alternative<router::Finished>(action)) return run.report();
        if (!again || last == Outcome::done)
            tell(parts.journal, action, last, took, run.report().reason);
        if (last == Outcome::done)
            backfill::crash_point("change.after_" + std::string{name(action)});
        previous = action;
    }
}

ChangeReport rehearse_change(const ChangeParts& parts, const ChangeLimits& limits, Side to) {
    ChangeRun run{parts, limits, to};
    const auto step = [&](const router::Action& action) {
        const auto begun = ChangeRun::Clock::now();
        const Outcome outcome =
            std::visit([&](const auto& alternative) { return run.perform(alternative); }, action);
        const auto took =
            std::chrono::duration_cast<std::chrono::microseconds>(ChangeRun::Clock::now() - begun);
        tell(parts.journal, action, outcome, took, run.report().reason);
        return outcome == Outcome::done;
    };
    router::Ending ending = router::Ending::refused;
    if (step(router::Check{})) {
        const bool measured =
            step(router::Hold{}) && run.exchange_tickets(ChangeRun::Clock::now() + limits.deadline);
        step(router::Release{});
        if (measured) ending = router::Ending::undone;
    }
    run.perform(router::Finished{ending});
    return run.report();
}

}  // namespace segue::proxy
