#pragma once
// `segue auto` inside `segue run`: a thread that looks, lets router::Autopilot decide, and runs its
// verbs as any operator would, one at a time and refused as any other. What it needs to go on is in
// the databases before it acts, so that neither a closed terminal nor a restart ends the watch over
// a cutover.
//
// It acts only where this process moves the migration and both its rows can be read, and goes by
// what another process has written there since. A verb of an operator that changes the course
// pauses it; verify, repair, rehearse and mirror do not, but while one of them runs no other verb
// can, and nothing is decided.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <thread>

#include "protocol/result.hpp"
#include "proxy/auto_report.hpp"
#include "proxy/auto_view.hpp"
#include "proxy/journal.hpp"
#include "proxy/operator.hpp"
#include "proxy/pilot_requests.hpp"
#include "proxy/plan_record.hpp"
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
    explicit Pilot(PilotParts parts);
    ~Pilot();  // stop()
    void start();
    void stop();

    // None of these waits; any thread. The number to ask `answer` with, which has one once it is
    // done and on record, or refused. An Error is the reason why it is refused at once:
    // Errc::bad_value for a plan that is no plan, Errc::timed_out where the same may be accepted in
    // a moment. The same plan again, while it is under way, is no error. Another one only takes the
    // place of one that is paused or done.
    Result<std::uint64_t> post(const std::string& text,
                               const std::string& file,
                               const std::string& who);
    Result<std::uint64_t> pause(const std::string& who);
    Result<std::uint64_t> resume(const std::string& who);
    // The plan is forgotten; nothing is undone.
    Result<std::uint64_t> give_up(const std::string& who);
    // Empty: no such request, or it is long ago.
    std::optional<Operator::View> answer(std::uint64_t number) const {
        return requests_.view(number);
    }

    std::optional<AutoReport> report() const;
    // What the plan would do now. Looks by itself, on the caller's thread.
    Result<nlohmann::json> dry_run(const std::string& text, const std::string& file) const;

private:
    using Clock = std::chrono::steady_clock;
    struct Running {
        std::uint64_t number = 0;
        router::Order order;
        std::uint64_t course_changes = 0;  // Before it.
    };

    void loop();
    std::chrono::milliseconds round();  // Until the next one.
    std::chrono::milliseconds closed(const AutoView& view);
    std::chrono::milliseconds decide(const AutoView& view);
    Result<std::uint64_t> request(PilotRequest request);
    VerbResult serve(const PilotRequest& request, const AutoView& view);
    VerbResult begin_plan(const PilotRequest& request, const AutoView& view);
    VerbResult pause_plan(const std::string& who, const AutoView& view);
    VerbResult resume_plan(const std::string& who, const AutoView& view);
    VerbResult give_plan_up(const std::string& who, const AutoView& view);
    bool load(const AutoView& view);
    void take_over(const backfill::StoredPlan& stored, const AutoView& view);
    Status save(const AutoView& view);
    bool verb_is_over() const;
    void verb_ended(const AutoView& view);
    void obey(const router::Order& order, std::uint64_t last_verb, const AutoView& view);
    // The last verb that was given, where nothing has changed since that look and none runs.
    std::optional<std::uint64_t> still_so_after(const AutoView& view) const;
    void note(const router::Decision& decision);
    void note_hold(const std::string& code, const std::string& reason);
    void note_unknown(const std::string& reason, const std::optional<backfill::StoredPlan>& plan);
    void describe();  // The machine, into `now_`.
    void publish();
    void set_loaded(bool loaded);
    bool is_loaded() const;

    PilotParts parts_;
    const Clock::time_point began_ = Clock::now();
    PilotRequests requests_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<AutoReport> report_;
    std::string reported_text_;  // Of the plan that `report_` is about.
    bool loaded_ = false;        // What the databases hold is known.
    bool asked_ = false;         // Since the last round began to wait.
    bool stopping_ = false;

    // Of the thread.
    std::optional<router::Autopilot> machine_;
    AutoReport now_;
    std::string text_;
    std::uint64_t decisions_ = 0;
    std::optional<Running> running_;
    PlanRecord record_;
    // What is on record for certain: the machine's state and the plan's text. Empty: nothing is, or
    // it is not known.
    std::optional<std::pair<router::AutopilotState, std::string>> saved_;
    bool unreadable_ = false;  // What is on record, as it was when that was looked at.
    bool dropped_ = false;     // That there is no plan is to be put on record.
    bool was_loaded_ = false;  // Once, or more often.
    // As far as another Segue has moved the migration: its plan has known since.
    std::uint64_t course_changes_before_ = 0;
    std::thread thread_;
};

}  // namespace segue::proxy
