#include "router/autopilot.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "router/counted.hpp"

namespace segue::router {

namespace {

// The course once that verb is done.
Course after(Course course, const Order& order) {
    if (order.verb == "shadow") course.shadow_percent = order.percent.value_or(0);
    if (order.verb == "shift") course.shift_percent = order.percent.value_or(0);
    if (order.verb == "finish") {
        course.shadow_percent = course.shift_percent = 0;
        course.paused = false;
        course.finished = true;
    }
    if (order.verb == "cutover" || order.verb == "rollback") {
        course.authority = order.verb == "cutover" ? Side::target : Side::source;
        course.shadow_percent = course.shift_percent = 0;
    }
    if (course.shift_percent == 0) course.shift_scope = {};
    return course;
}

std::string what_of(const ShiftScope& scope) {
    const std::string limits = describe(scope);
    return "a percentage of " + std::string{name(scope.by)} +
           (limits.empty() ? "" : ", only those " + limits);
}

std::string difference(const Course& was, const Course& is) {
    const auto percent = [](const char* knob, double before, double now) {
        return std::string{knob} + " is " + plain(now) + " % and was " + plain(before) + " %";
    };
    if (was == is) return "the course was changed, and changed back";
    if (is.finished) return "the migration is finished";
    if (was.authority != is.authority)
        return "the " + std::string{name(is.authority)} + " has become the authority";
    if (was.paused != is.paused)
        return is.paused ? "following was paused" : "following was resumed";
    if (was.shift_percent != is.shift_percent)
        return percent("shift", was.shift_percent, is.shift_percent);
    if (was.shift_scope != is.shift_scope) return "shift is now " + what_of(is.shift_scope);
    return percent("shadow", was.shadow_percent, is.shadow_percent);
}

std::string taken_over_text(const std::string& what) {
    return "taken over by hand: " + what +
           "; `segue events` tells who it was, `segue auto resume` goes on from there";
}

bool holds_clients(Deed deed) {
    return deed == Deed::rehearse || deed == Deed::cutover || deed == Deed::finish;
}

std::size_t position_of(const AutoPlan& plan, Deed deed) {
    const auto found = std::find_if(plan.steps.begin(),
                                    plan.steps.end(),
                                    [&](const PlanStep& step) { return step.deed == deed; });
    return static_cast<std::size_t>(found - plan.steps.begin());
}

bool knob_in_force(const PlanStep& step, const Course& course) {
    const double percent = step.deed == Deed::shadow  ? course.shadow_percent
                           : step.deed == Deed::shift ? course.shift_percent
                                                      : 0;
    return percent > 0 && step.percent <= percent;
}

std::optional<Order> way_back(const PlanStep& step) {
    switch (step.deed) {
        case Deed::shadow:
            return Order{"shadow", 0};
        case Deed::shift:
            return Order{"shift", 0};
        case Deed::soak:
            return Order{"rollback", std::nullopt};
        case Deed::start:
        case Deed::verify:
        case Deed::mirror:
        case Deed::rehearse:
        case Deed::cutover:
        case Deed::finish:
            return std::nullopt;
    }
    return std::nullopt;
}

// A plan may accept reads that differ, as its limits do, and nothing else: rows can be mended.
std::string known_to_differ(const PlanStep& step, const Where& where) {
    const char* const by_hand = "; or `segue finish --accept-differences` by hand";
    if (where.verified_different)
        return std::string{"verification found differences: `segue repair`"} + by_hand;
    if (where.stray_writes > 0) {
        return std::string{
                   "somebody else than Segue wrote to the follower: `segue verify`, then "
                   "`segue repair`"} +
               by_hand;
    }
    if (!where.rows_in_question.empty()) return where.rows_in_question + by_hand;
    if (where.differing_statements == 0 || !step.accept_differing_reads.empty()) return "";
    return std::string{
               "reads are answered differently: `segue statements` names them, `segue "
               "statements --forget` begins to count anew"} +
           by_hand +
           ". A plan that is to go on then says why, by `accept_differing_reads` of its finish";
}

// What a finish will ask for that lets differences pass by its plan's own limits. Empty: nothing.
std::string finish_condition(const AutoPlan& plan, const PlanStep& step) {
    if (step.deed != Deed::finish) return "";
    if (!step.accept_differing_reads.empty())
        return "although reads differ, because: " + step.accept_differing_reads;
    std::uint64_t allowed = 0;
    for (const PlanStep& one : plan.steps) {
        if (one.deed == Deed::soak) allowed = std::max(allowed, one.guardrails.differences_max);
    }
    if (allowed == 0) return "";
    return "holds once a read differs, of which the soak allows " + std::to_string(allowed) +
           ", unless it has an `accept_differing_reads`";
}

// What is in the way of every step but the first. Empty: nothing.
std::string in_the_way(const PlanStep& step, const Where& where) {
    if (step.deed == Deed::start) return "";
    if (!where.begun) return "nothing is being moved: `segue start` begins";
    if (!where.consistent) return "the databases are not consistent yet";
    if (where.course.paused) return "following is paused: `segue resume`";
    if (step.deed == Deed::verify && where.verified_different)
        return "verification found differences: `segue repair`";
    if (step.deed == Deed::finish) return known_to_differ(step, where);
    const bool changes = step.deed == Deed::cutover || step.deed == Deed::rehearse;
    return changes && !where.blockers.empty() ? where.blockers.front() : "";
}

}  // namespace

std::size_t step_in_force(const AutoPlan& plan, const Where& where) {
    if (where.course.finished) return plan.steps.size();
    const std::size_t cutover = position_of(plan, Deed::cutover);
    if (where.course.authority == Side::target && cutover < plan.steps.size()) return cutover + 1;
    std::size_t position = 0;
    for (std::size_t i = 0; i < cutover; ++i) {
        if (knob_in_force(plan.steps[i], where.course)) position = i;
    }
    const std::size_t verify = position_of(plan, Deed::verify);
    return verify < position && !where.verified_equal ? verify : position;
}

Autopilot::Autopilot(AutoPlan plan, const Where& where, Moment)
    : plan_(std::move(plan)), course_changes_(where.course_changes) {
    state_.course = where.course;
    begin(step_in_force(plan_, where));
}

Autopilot::Autopilot(AutoPlan plan, AutopilotState state, const Where& where, Moment now)
    : plan_(std::move(plan)), state_(std::move(state)), course_changes_(where.course_changes) {
    state_.step = std::min(state_.step, plan_.steps.size());
    if (state_.step == plan_.steps.size()) state_.stance = Stance::done;
    if (done() || state_.pause != Pause::none) return;
    if (where.course == state_.course) return;
    const PlanStep& present = plan_.steps[state_.step];
    const auto order = state_.stance == Stance::going_back ? way_back(present)
                       : state_.stance == Stance::entering ? std::optional{order_of(present)}
                                                           : std::nullopt;
    // Else the first look says that it was taken over.
    if (order && where.course == after(state_.course, *order)) ended(*order, true, "", where, now);
}

const PlanStep* Autopilot::step() const {
    return state_.step < plan_.steps.size() ? &plan_.steps[state_.step] : nullptr;
}

void Autopilot::begin(std::size_t step) {
    state_.step = step;
    state_.stance = step < plan_.steps.size() ? Stance::entering : Stance::done;
    state_.pause = Pause::none;
    state_.why.clear();
    state_.progress = {};
    watch_.reset();
    readings_.clear();
    retry_at_.reset();
    refusal_.clear();
    breaches_ = 0;
    refusals_ = 0;
    confirmed_ = false;
}

Decision Autopilot::look(const Where& where, const Figures& figures, Moment now) {
    if (done()) return hold("done", "the plan is through");
    if (state_.pause != Pause::none) return hold(std::string{name(state_.pause)}, state_.why);
    if (has_begun_to_finish(where.course)) state_.course = where.course;
    if (where.course != state_.course || where.course_changes != course_changes_)
        return stop(Pause::taken_over, taken_over_text(difference(state_.course, where.course)));
    switch (state_.stance) {
        case Stance::entering:
            return enter(where, now);
        case Stance::watching:
            return watch(where, figures, now);
        case Stance::going_back:
            return take_back(now);
        case Stance::done:
            break;
    }
    return hold("done", "the plan is through");
}

// `finish` takes the reads back before it ends the migration, and may be refused in between.
bool Autopilot::has_begun_to_finish(const Course& course) const {
    if (state_.stance != Stance::entering || step()->deed != Deed::finish) return false;
    Course begun = after(state_.course, order_of(*step()));
    begun.finished = false;
    return course == begun;
}

Order Autopilot::order_of(const PlanStep& step) const {
    switch (step.deed) {
        case Deed::shadow:
        case Deed::shift:
            return {std::string{name(step.deed)}, step.percent};
        case Deed::soak:
            return {"shadow", step.percent};
        case Deed::start:
        case Deed::verify:
        case Deed::mirror:
        case Deed::rehearse:
        case Deed::cutover:
            return {std::string{name(step.deed)}, std::nullopt};
        case Deed::finish:
            return {std::string{name(step.deed)}, std::nullopt, step.accept_differing_reads};
    }
    return {};
}

// What its verb would bring about is so already.
std::string Autopilot::satisfied(const PlanStep& step, const Where& where) const {
    switch (step.deed) {
        case Deed::start:
            return where.consistent ? "the databases are consistent" : "";
        case Deed::verify:
            return where.verified_equal ? "verified: equal" : "";
        case Deed::mirror:
            return where.mirror_sync ? "mirror is sync" : "";
        case Deed::shadow:
        case Deed::shift:
        case Deed::soak:
            return after(where.course, order_of(step)) == where.course ? "in force" : "";
        case Deed::cutover:
            return where.course.authority == Side::target ? "the target is the authority" : "";
        case Deed::rehearse:
        case Deed::finish:
            return "";
    }
    return "";
}

Decision Autopilot::enter(const Where& where, Moment now) {
    const PlanStep& present = *step();
    if (present.confirm && !confirmed_) {
        return stop(Pause::confirm,
                    "the plan asks for a word before `" + title(present) +
                        "`: `segue auto resume` begins it");
    }
    if (retry_at_ && now < *retry_at_) return hold("refused", refusal_);
    if (const std::string obstacle = in_the_way(present, where); !obstacle.empty())
        return hold("not_ready", obstacle);
    if (!satisfied(present, where).empty()) {
        state_.stance = Stance::watching;
        return hold("begins", title(present) + ": " + satisfied(present, where));
    }
    return {Direction::advance, "order", "begins: " + title(present), order_of(present)};
}

Decision Autopilot::watch(const Where& where, const Figures& figures, Moment now) {
    const PlanStep& present = *step();
    if (is_watched(present.deed)) return judge_watched(where, figures, now);
    const std::string reached = satisfied(present, where);
    // Once it is made, a change of authority is watched, whatever would be in the way of another.
    const bool made = present.deed == Deed::cutover && !reached.empty();
    if (const std::string obstacle = in_the_way(present, where); !obstacle.empty() && !made)
        return hold("not_ready", obstacle);
    const bool once = present.deed == Deed::rehearse || present.deed == Deed::finish;
    if (!reached.empty() || once)
        return advance(where, once ? title(present) + " is done" : reached);
    if (present.deed == Deed::start) return hold("copying", "the databases are not consistent yet");
    // It was so, and is not any more.
    state_.stance = Stance::entering;
    return hold("again", title(present) + " is not in force any more");
}

Decision Autopilot::judge_watched(const Where& where, const Figures& figures, Moment now) {
    if (!watch_) {
        const bool anew = state_.progress == WatchProgress{};
        watch_.emplace(now, figures, state_.progress);
        progress_ = state_.progress;
        return hold("watching", anew ? "the watch begins" : "the watch goes on after a restart");
    }
    watch_->look(now, figures.counters, plan_.window, step()->guardrails.rate_samples_min);
    Judgement judged = judge(plan_, *step(), *watch_, figures, where.course.shadow_percent, now);
    readings_ = std::move(judged.readings);
    if (judged.finding != Finding::breach) breaches_ = 0;
    note_progress(judged, figures);
    switch (judged.finding) {
        case Finding::good:
            return advance(where, judged.reason);
        case Finding::waiting:
        case Finding::unknown:
            return hold(std::move(judged.code), std::move(judged.reason));
        case Finding::breach:
            break;
    }
    if (++breaches_ >= plan_.breaches_max) return go_back(judged.reason);
    return hold(judged.code,
                "breach " + std::to_string(breaches_) + " of " +
                    std::to_string(plan_.breaches_max) + ": " + judged.reason);
}

// Silence and breaches are no time that was watched. A difference goes on record at once: what has
// begun to be a breach must not be forgotten.
void Autopilot::note_progress(const Judgement& judged, const Figures& figures) {
    WatchProgress now = router::progress(*step(), *watch_, figures.counters);
    const bool counts = judged.finding == Finding::good || judged.finding == Finding::waiting;
    if (!counts) now.watched = progress_.watched;
    progress_ = now;
    state_.progress.different = std::max(state_.progress.different, now.different);
    if (!counts) return;
    watch_->count();
    if (now.watched - state_.progress.watched < progress_kept_every) return;
    state_.progress.watched = now.watched;
    state_.progress.samples = now.samples;
}

Decision Autopilot::advance(const Where& where, const std::string& reason) {
    begin(state_.step + 1);
    state_.course = where.course;
    const std::string next = step() != nullptr ? "next: " + title(*step()) : "the plan is through";
    return {Direction::advance, "next", reason + "; " + next, std::nullopt};
}

Decision Autopilot::go_back(const std::string& reason) {
    state_.stance = Stance::going_back;
    state_.why = reason;
    return {Direction::go_back, "back", reason, way_back(*step())};
}

Decision Autopilot::take_back(Moment now) {
    if (retry_at_ && now < *retry_at_)
        return {
            Direction::go_back, "back_refused", "going back (" + state_.why + "): " + refusal_, {}};
    return {Direction::go_back, "back", state_.why, way_back(*step())};
}

Decision Autopilot::stop(Pause pause, std::string why) {
    state_.pause = pause;
    state_.why = std::move(why);
    return hold(std::string{name(pause)}, state_.why);
}

Decision Autopilot::hold(std::string code, std::string reason) const {
    return {Direction::hold, std::move(code), std::move(reason), std::nullopt};
}

void Autopilot::ended(
    const Order& order, bool done, const std::string& reason, const Where& where, Moment now) {
    course_changes_ = where.course_changes;
    const Course aim = after(state_.course, order);
    // Its answer may have been lost, and what it should bring about is there.
    const bool reached = where.course == aim;
    const bool changed = aim != state_.course;
    if (!(changed ? reached : done)) {
        if (done) {
            stop(Pause::taken_over, taken_over_text(difference(aim, where.course)));
            return;
        }
        refusal_ = "`segue " + order.verb + "` was refused: " + reason;
        retry_at_ = now + std::chrono::duration_cast<Moment::duration>(plan_.retry);
        const bool too_often = state_.stance == Stance::entering && holds_clients(step()->deed) &&
                               ++refusals_ >= plan_.attempts_max;
        if (too_often) {
            stop(Pause::refused,
                 refusal_ + "; tried " + counted(refusals_, "time", "times") +
                     ", `segue auto resume` tries again");
        }
        return;
    }
    state_.course = where.course;
    retry_at_.reset();
    refusal_.clear();
    switch (state_.stance) {
        case Stance::going_back:
            state_.pause = Pause::went_back;
            state_.why = "went back by `segue " + order.verb +
                         (order.percent ? " " + plain(*order.percent) : "") + "`: " + state_.why +
                         "; `segue auto resume` begins again from there";
            break;
        case Stance::entering:
            state_.stance = order.verb == "finish" ? Stance::done : Stance::watching;
            break;
        case Stance::watching:
        case Stance::done:
            break;
    }
}

void Autopilot::pause(const std::string& who) {
    if (done() || state_.pause != Pause::none) return;
    stop(Pause::asked, "paused by " + who);
}

void Autopilot::resume(const Where& where, Moment) {
    if (done() || state_.pause == Pause::none) return;
    const bool same = where.course == state_.course && state_.stance != Stance::going_back;
    const Pause pause = state_.pause;
    state_.course = where.course;
    course_changes_ = where.course_changes;
    const bool stays =
        same && (pause == Pause::asked || pause == Pause::refused || pause == Pause::confirm);
    begin(stays ? state_.step : step_in_force(plan_, where));
    confirmed_ = stays && pause == Pause::confirm;
}

std::vector<Forecast> dry_run(
    const AutoPlan& plan, const Where& where, const Figures& figures, Moment began, Moment now) {
    Figures nothing;
    nothing.counters = {0, 0, 0, 0, 0, 0, std::nullopt, std::nullopt, 0};
    const Watch watch{began, nothing, {now - began, 0, 0}};
    const std::size_t first = step_in_force(plan, where);
    std::vector<Forecast> forecasts;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const PlanStep& step = plan.steps[i];
        Forecast forecast;
        forecast.step = i;
        forecast.behind = i < first;
        forecast.here = i == first;
        // A step alone, as it is entered.
        AutoPlan alone = plan;
        alone.steps = {step};
        alone.steps.front().confirm = false;
        Autopilot machine{alone, where, now};
        const Decision entered = machine.done() ? Decision{} : machine.look(where, figures, now);
        forecast.order = entered.order;
        forecast.outcome =
            entered.order || entered.code == "begins" ? Direction::advance : Direction::hold;
        forecast.reason = entered.order ? "" : entered.reason;
        if (is_watched(step.deed) && forecast.outcome == Direction::advance) {
            const Judgement judged =
                judge(plan, step, watch, figures, where.course.shadow_percent, now);
            forecast.outcome = judged.finding == Finding::good     ? Direction::advance
                               : judged.finding == Finding::breach ? Direction::go_back
                                                                   : Direction::hold;
            forecast.reason = judged.reason;
        }
        const auto add = [&](const std::string& what) {
            forecast.reason += (forecast.reason.empty() ? "" : "; ") + what;
        };
        if (const std::string condition = finish_condition(plan, step);
            forecast.order && !condition.empty())
            add(condition);
        if (step.confirm) add("asks for a word first");
        forecasts.push_back(std::move(forecast));
    }
    return forecasts;
}

}  // namespace segue::router
