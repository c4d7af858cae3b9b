#pragma once
// `segue auto` inside `segue run`: a thread that looks, lets router::Autopilot decide, and runs its
// verbs as any operator would, one at a time and refused as any other. What it needs to go on is in
// the databases before it acts, so that neither a closed terminal nor a restart ends the watch over
// a cutover.
//
// It acts only where this process moves the migration and both its rows can be read. A verb of an
// operator that changes the course pauses it; verify, repair, rehearse and mirror do not, but while
// one of them runs no other verb can, and nothing is decided.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <thread>

#include "backfill/plan_store.hpp"
#include "protocol/result.hpp"
#include "proxy/auto_report.hpp"
#include "proxy/auto_view.hpp"
#include "proxy/journal.hpp"
#include "proxy/operator.hpp"
#include "router/autopilot.hpp"

namespace segue::proxy {

struct PilotParts {
    std::function<AutoView()> look;  // May take a moment.
    Operator& verbs;
    Journal& journal;
    std::unique_ptr<backfill::PlanStore> store;
};

// Decisions that are kept for whoever follows.
inline constexpr std::size_t decisions_kept_max = 100;

class Pilot {
public:
    explicit Pilot(PilotParts parts) : parts_(std::move(parts)) {}
    ~Pilot();  // stop()
    void start();
    void stop();

    // None of these waits; any thread. What they ask for is so once `report` says it. An Error is
    // the reason why not: Errc::bad_value for a plan that is no plan, Errc::timed_out where the
    // same may be accepted in a moment. The same plan again, while it is under way, is no error.
    // Another one only takes the place of one that is paused or done.
    Status post(const std::string& text, const std::string& file, const std::string& who);
    Status pause(const std::string& who);
    Status resume(const std::string& who);
    Status give_up(const std::string& who);  // The plan is forgotten; nothing is undone.

    std::optional<AutoReport> report() const;
    // What the plan would do now. Looks by itself, on the caller's thread.
    Result<nlohmann::json> dry_run(const std::string& text, const std::string& file) const;

private:
    using Clock = std::chrono::steady_clock;
    enum class Ask : std::uint8_t { post, pause, resume, give_up };
    struct Request {
        Ask ask = Ask::pause;
        std::string who, text, file;
        std::optional<router::AutoPlan> plan;
    };
    struct Running {
        std::uint64_t number = 0;
        router::Order order;
    };

    void loop();
    std::chrono::milliseconds round();  // Until the next one.
    std::chrono::milliseconds decide(const AutoView& view);
    Status request(Request request);
    void serve(const Request& request, const AutoView& view);
    bool load(const AutoView& view);
    Status save(const AutoView& view);
    bool verb_is_over() const;
    void verb_ended(const AutoView& view);
    void obey(const router::Order& order);
    bool is_still_so(const AutoView& view) const;
    void note(const router::Decision& decision);
    void note_hold(const std::string& code, const std::string& reason);
    void publish();

    PilotParts parts_;
    const Clock::time_point began_ = Clock::now();

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Request> requests_;
    std::optional<AutoReport> report_;
    std::string reported_text_;  // Of the plan that `report_` is about.
    bool loaded_ = false;        // What the databases hold is known.
    bool asked_ = false;         // Since the last round began to wait.
    bool stopping_ = false;

    // Of the thread.
    std::optional<router::Autopilot> machine_;
    AutoReport now_;
    std::string text_;
    std::uint64_t revision_ = 0, decisions_ = 0;
    std::optional<Running> running_;
    std::optional<router::AutopilotState> saved_;
    std::thread thread_;
};

}  // namespace segue::proxy
