// What operators ask of the plan. Each is answered once it is so and on record, or refused, and
// then nothing of it takes effect later.
#include "proxy/pilot.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/plan_file.hpp"

namespace segue::proxy {

using Ask = PilotRequest::Ask;
using router::Pause;

namespace {

// Why it could not be kept.
VerbResult not_kept(const Error& error, const std::string& so_now) {
    if (error.code == Errc::refused) {
        return VerbResult::refused(
            "another Segue was at work here, and what it has written counts: look at `segue auto "
            "status`, then ask again");
    }
    return VerbResult::refused(so_now + ": " + error.detail);
}

std::string another_is_under_way(const std::string& plan) {
    return "the plan " + plan + " is under way: `segue auto pause` or `segue auto stop` first";
}

}  // namespace

Result<std::uint64_t> Pilot::request(PilotRequest request) {
    const std::lock_guard lock{mutex_};
    if (stopping_) return Error{Errc::refused, "Segue is stopping"};
    if (!loaded_) {
        const std::string why = report_ ? report_->reason : "`segue run` has just begun";
        return Error{Errc::timed_out,
                     "nothing can be asked of a plan now, and no plan does anything: " + why};
    }
    if (request.ask == Ask::post && report_ && report_->standing == Standing::running &&
        reported_text_ != request.text) {
        return Error{Errc::refused, another_is_under_way(report_->plan)};
    }
    if (request.ask != Ask::post && !report_) return Error{Errc::refused, "no plan is under way"};
    auto number = requests_.push(std::move(request));
    asked_ = true;
    changed_.notify_all();
    return number;
}

Result<std::uint64_t> Pilot::post(const std::string& text,
                                  const std::string& file,
                                  const std::string& who) {
    auto plan = parse_plan(text, file);
    if (!plan) return plan.error();
    return request({Ask::post, who, text, file, std::move(*plan)});
}

Result<std::uint64_t> Pilot::pause(const std::string& who) {
    return request({Ask::pause, who, "", "", {}});
}
Result<std::uint64_t> Pilot::resume(const std::string& who) {
    return request({Ask::resume, who, "", "", {}});
}
Result<std::uint64_t> Pilot::give_up(const std::string& who) {
    return request({Ask::give_up, who, "", "", {}});
}

VerbResult Pilot::serve(const PilotRequest& request, const AutoView& view) {
    const std::string who = request.who.empty() ? "somebody" : request.who;
    // Its plan ends with the migration, and nothing of it is kept.
    if (parts_.verbs.current_verb() == "finish")
        return VerbResult::refused(
            "`segue finish` is running, and ends every plan: look at `segue status` when it has "
            "ended");
    const bool needs_rest = request.ask == Ask::post || request.ask == Ask::resume;
    const bool under_way = machine_ && !machine_->done() && machine_->state().pause == Pause::none;
    if (request.ask == Ask::post && under_way) {
        const std::string& name = machine_->plan().name;
        // What it has begun with since the request was taken, if it is another one.
        if (request.text != text_) return VerbResult::refused(another_is_under_way(name));
        return VerbResult::done("the plan " + name + " is under way already");
    }
    if (request.ask != Ask::post && !machine_) return VerbResult::refused("no plan is under way");
    if (needs_rest && running_)
        return VerbResult::refused("`segue " + running_->order.verb +
                                   "` of the plan is still running");
    switch (request.ask) {
        case Ask::post:
            return begin_plan(request, view);
        case Ask::pause:
            return pause_plan(who, view);
        case Ask::resume:
            return resume_plan(who, view);
        case Ask::give_up:
            return give_plan_up(who, view);
    }
    return {};
}

VerbResult Pilot::begin_plan(const PilotRequest& request, const AutoView& view) {
    auto kept = std::pair{std::move(machine_), text_};
    machine_.emplace(*request.plan, view.where, Clock::now());
    text_ = request.text;
    if (const Status saved = save(view); !saved) {
        std::tie(machine_, text_) = std::move(kept);
        dropped_ = !machine_;  // It may be on record after all.
        return not_kept(saved.error(), "the plan does not begin, because it cannot be kept");
    }
    unreadable_ = false;
    now_ = AutoReport{};
    now_.file = request.file;
    now_.code = "posted";
    now_.reason = "posted by " + (request.who.empty() ? "somebody" : request.who);
    now_.since = std::chrono::system_clock::now();
    describe();
    publish();
    parts_.journal.event("auto", "the plan " + now_.plan + " begins, " + now_.reason);
    return VerbResult::done("the plan " + now_.plan + " begins");
}

// Effective at once, whatever becomes of the record: it is the safe side.
VerbResult Pilot::pause_plan(const std::string& who, const AutoView& view) {
    if (machine_->done()) return VerbResult::done("the plan is through");
    if (machine_->state().pause != Pause::none)
        return VerbResult::done("it is paused already: " + machine_->state().why);
    machine_->pause(who);
    const Status saved = save(view);
    note({router::Direction::hold, std::string{name(Pause::asked)}, machine_->state().why, {}});
    if (saved) return VerbResult::done("paused");
    return not_kept(saved.error(),
                    "the plan is paused, but that cannot be kept yet (it is tried again): a Segue "
                    "that is restarted before would go on with it");
}

VerbResult Pilot::resume_plan(const std::string& who, const AutoView& view) {
    if (machine_->state().pause == Pause::none)
        return VerbResult::done(machine_->done() ? "the plan is through" : "it is not paused");
    const auto kept = machine_;
    machine_->resume(view.where, Clock::now());
    if (const Status saved = save(view); !saved) {
        machine_ = kept;
        return not_kept(saved.error(), "it stays paused, because that it goes on cannot be kept");
    }
    now_.outcome = router::Direction::hold;
    now_.code = "resumed";
    now_.reason = "resumed by " + who;
    now_.since = std::chrono::system_clock::now();
    describe();
    publish();
    parts_.journal.event("auto", now_.reason);
    return VerbResult::done("resumed");
}

// A plan that is still on record would go on after a restart: then it is not said to be given up.
VerbResult Pilot::give_plan_up(const std::string& who, const AutoView& view) {
    const auto kept = std::exchange(machine_, std::nullopt);
    dropped_ = true;
    if (const Status saved = save(view); !saved) {
        machine_ = kept;
        dropped_ = false;
        (void)pause_plan(who, view);
        return not_kept(saved.error(),
                        "the plan is only paused, because that it is given up cannot be kept: ask "
                        "again when this is mended");
    }
    dropped_ = false;
    running_.reset();
    text_.clear();
    parts_.journal.event(
        "auto", "the plan " + kept->plan().name + " is given up by " + who + "; nothing is undone");
    const std::lock_guard lock{mutex_};
    report_.reset();
    return VerbResult::done("stopped; nothing is undone");
}

}  // namespace segue::proxy
