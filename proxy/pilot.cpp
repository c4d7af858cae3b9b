#include "proxy/pilot.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/plan_file.hpp"

namespace segue::proxy {

using backfill::StoredPlan;
using nlohmann::json;
using router::Decision;
using router::Direction;
using router::Order;

namespace {

constexpr std::chrono::milliseconds verb_poll{100};
constexpr std::chrono::milliseconds closed_pause{500};
constexpr std::chrono::milliseconds idle_pause{5000};
constexpr std::size_t reason_size_max = 500;
constexpr const char* who_we_are = "auto";

json arguments_of(const Order& order) {
    json arguments = {{"asked_by", who_we_are}};
    if (order.percent) arguments["percent"] = *order.percent;
    if (order.verb == "mirror") arguments["mode"] = "sync";
    if (!order.accept_differing_reads.empty())
        arguments["accept_differing_reads"] = order.accept_differing_reads;
    return arguments;
}

// Of a verb's answer, for a line.
std::string one_line(std::string text) {
    if (text.size() > reason_size_max) {
        std::size_t size = reason_size_max;
        while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
        text.resize(size);
        text += " ...";
    }
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

// What is told of a verb that was refused. Behind its first line verify names keys of rows, which
// are not for everybody who may see a plan.
std::string reason_of(const std::string& verb, const std::string& text) {
    return one_line(verb == "verify" ? text.substr(0, text.find('\n')) : text);
}

// As after a change of the program in either direction.
constexpr const char* unreadable =
    "this program cannot read the plan that the databases keep, and watches nothing: post it again";

}  // namespace

Pilot::Pilot(PilotParts parts) : parts_(std::move(parts)), record_(std::move(parts_.store)) {}

Pilot::~Pilot() { stop(); }

void Pilot::start() {
    thread_ = std::thread{[this] { loop(); }};
}

void Pilot::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

std::optional<AutoReport> Pilot::report() const {
    const std::lock_guard lock{mutex_};
    return report_;
}

Result<json> Pilot::dry_run(const std::string& text, const std::string& file) const {
    const auto plan = parse_plan(text, file);
    if (!plan) return plan.error();
    const AutoView view = parts_.look();
    if (!view.closed.empty()) return Error{Errc::timed_out, view.closed};
    return forecast_json(*plan,
                         router::dry_run(*plan, view.where, view.figures, began_, Clock::now()));
}

void Pilot::loop() {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
        lock.unlock();
        const auto pause = round();
        lock.lock();
        changed_.wait_for(lock, pause, [&] { return stopping_ || asked_; });
        asked_ = false;
    }
}

std::chrono::milliseconds Pilot::round() {
    const auto requests = requests_.waiting();
    // Before the look, so that the look shows what the verb has brought about.
    const bool busy = running_ && !verb_is_over();
    if (busy && requests.empty()) return verb_poll;
    const AutoView view = parts_.look();
    if (!view.closed.empty()) return closed(view);
    if (!load(view)) return closed_pause;
    if (running_ && !busy) verb_ended(view);
    for (const PilotRequest& one : requests) requests_.answer(one.number, serve(one, view));
    if (!machine_) return save(view) ? idle_pause : closed_pause;
    if (busy) {
        if (machine_->state().pause != router::Pause::none) decide(view);
        return verb_poll;
    }
    // Nothing could be done about what would be decided.
    if (const std::string verb = parts_.verbs.current_verb(); !verb.empty()) {
        note_hold("busy", "`segue " + verb + "` is running");
        return closed_pause;
    }
    return decide(view);
}

std::chrono::milliseconds Pilot::decide(const AutoView& view) {
    const Decision decision = machine_->look(view.where, view.figures, Clock::now());
    if (const Status saved = save(view); !saved) {
        note_hold("unsaved", "what was decided cannot be kept: " + saved.error().detail);
        return closed_pause;
    }
    note(decision);
    if (decision.order) {
        const auto last_verb = still_so_after(view);
        if (!last_verb) {
            note_hold("changed", "something was changed by hand meanwhile: it is looked at again");
            return verb_poll;
        }
        obey(*decision.order, *last_verb, view);
    }
    const bool at_once = running_ || decision.outcome == Direction::advance;
    return at_once
               ? verb_poll
               : std::chrono::duration_cast<std::chrono::milliseconds>(machine_->plan().interval);
}

// To keep a decision takes a while. An operator's verb that has begun or ended in it comes first,
// and a program that is told to stop begins nothing. What has ended before the look is seen by it;
// one that is given after it has a higher number, and ours is then refused.
std::optional<std::uint64_t> Pilot::still_so_after(const AutoView& view) const {
    {
        const std::lock_guard lock{mutex_};
        if (stopping_) return std::nullopt;
    }
    const auto last_verb = parts_.verbs.last_ended();
    const AutoView now = parts_.look();
    const bool same = now.closed.empty() && now.where.course == view.where.course &&
                      now.where.course_changes == view.where.course_changes;
    return same ? last_verb : std::nullopt;
}

// What was asked for is refused, so that it does not take effect when nobody expects it any more.
std::chrono::milliseconds Pilot::closed(const AutoView& view) {
    requests_.refuse("not now: " + view.closed +
                     "; no plan does anything meanwhile, ask again then");
    if (machine_) {
        note_hold("closed", view.closed);
    } else {
        note_unknown("unknown: " + view.closed, std::nullopt);
    }
    // Another one may have been at work, and written.
    if (!running_) set_loaded(false);
    if (view.moved_by_another) course_changes_before_ = view.where.course_changes;
    return closed_pause;
}

// Once, and again when another process may have written. Where nothing is being moved there is
// nothing to be read, and what is in memory goes on.
bool Pilot::load(const AutoView& view) {
    if (is_loaded()) return true;
    if (view.where.begun && !view.where.course.finished) {
        const PlanRecord::Found found = record_.read();
        if (!found.unread.empty()) {
            requests_.refuse(found.unread);
            machine_ ? note_hold("unread", found.unread) : note_unknown(found.unread, found.plan);
            return false;
        }
        if (found.news) take_over(*found.plan, view);
    }
    set_loaded(true);
    was_loaded_ = true;
    if (machine_) return true;
    if (unreadable_) {
        note_unknown(unreadable, std::nullopt);
        return true;
    }
    const std::lock_guard lock{mutex_};
    report_.reset();
    return true;
}

// An earlier process, or another one, has written it: whatever this one has in mind is older.
void Pilot::take_over(const StoredPlan& stored, const AutoView& view) {
    record_.take_over(stored);
    const bool instead = machine_.has_value();
    machine_.reset();
    running_.reset();
    saved_.reset();
    dropped_ = unreadable_ = false;
    if (instead) now_ = AutoReport{};
    const std::string who = instead ? "another Segue was at work here: " : "";
    if (stored.plan.empty()) {
        if (instead) parts_.journal.event("auto", who + "the plan is given up");
        return;
    }
    auto plan = parse_plan(stored.plan, "the plan");
    const auto state = parse_state(stored.state, view.where.course.shift_scope);
    if (!plan || !state) {
        unreadable_ = true;
        parts_.journal.warning("auto", unreadable);
        return;
    }
    text_ = stored.plan;
    router::Where where = view.where;
    // It is of before the program began, or moved: whatever was changed since was by hand.
    if (!was_loaded_) where.course_changes = course_changes_before_;
    machine_.emplace(std::move(*plan), *state, where, Clock::now());
    parts_.journal.event("auto", who + "goes on with the plan " + machine_->plan().name);
}

// The authority must have it, else nothing is done that it is about. A cutover needs it on both
// sides, because the other one is then the authority.
Status Pilot::save(const AutoView& view) {
    if (!view.where.begun || view.where.course.finished) return Done{};
    if (!machine_ && !dropped_) return Done{};
    if (machine_ && saved_ == std::pair{machine_->state(), text_}) return Done{};
    saved_.reset();
    const bool changes =
        machine_ && machine_->step() != nullptr && machine_->step()->deed == router::Deed::cutover;
    Status written = record_.write(machine_ ? text_ : "",
                                   machine_ ? state_text(machine_->state()) : "",
                                   view.where.course.authority,
                                   changes);
    if (!written) {
        if (written.error().code == Errc::refused) set_loaded(false);
        return written;
    }
    dropped_ = false;
    if (machine_) saved_.emplace(machine_->state(), text_);
    return Done{};
}

bool Pilot::verb_is_over() const {
    const auto seen = parts_.verbs.view(running_->number);
    return !seen || seen->result;
}

void Pilot::verb_ended(const AutoView& view) {
    const auto seen = parts_.verbs.view(running_->number);
    const bool done = seen && seen->result->exit_code == 0;
    const std::string reason =
        seen ? reason_of(running_->order.verb, seen->result->text) : "its result is lost";
    const Running ended = *std::exchange(running_, std::nullopt);
    // What else was changed since it was given was somebody else. What its own is is not known
    // where its result is lost.
    router::Where where = view.where;
    if (seen) where.course_changes = ended.course_changes + seen->result->course_changes;
    machine_->ended(ended.order, done, reason, where, Clock::now());
    now_.verb.clear();
}

void Pilot::obey(const Order& order, std::uint64_t last_verb, const AutoView& view) {
    const auto begun = parts_.verbs.submit(order.verb, arguments_of(order), last_verb);
    if (const auto* refused = std::get_if<Operator::Refused>(&begun)) {
        note_hold("busy", refused->reason);
        return;
    }
    running_ = Running{std::get<std::uint64_t>(begun), order, view.where.course_changes};
    now_.verb = order.verb;
    publish();
}

void Pilot::note(const Decision& decision) {
    const router::PlanStep* const step = machine_->step();
    const std::string present = step != nullptr ? title(*step) : "";
    // What lets the next step begin was seen in the one before.
    const std::string about = decision.code == "next" ? now_.step : present;
    const bool news = now_.decisions.empty() || decision.code != now_.code ||
                      decision.outcome != now_.outcome || present != now_.step;
    describe();
    now_.outcome = decision.outcome;
    now_.code = decision.code;
    now_.reason = decision.reason;
    if (news) {
        now_.since = std::chrono::system_clock::now();
        if (now_.decisions.size() >= decisions_kept_max)
            now_.decisions.erase(now_.decisions.begin());
        const bool through = decision.code == "done";
        now_.decisions.push_back({++decisions_,
                                  now_.since,
                                  about.empty() ? "end" : about,
                                  through ? "done" : std::string{name(decision.outcome)},
                                  decision.reason});
        const std::string told = (about.empty() ? "" : about + ": ") +
                                 (through ? "" : std::string{name(decision.outcome)} + ": ") +
                                 decision.reason;
        const bool bad = decision.outcome == Direction::go_back ||
                         now_.pause != router::Pause::none || machine_->breaches() > 0;
        bad ? parts_.journal.warning("auto", told) : parts_.journal.event("auto", told);
    }
    publish();
}

// Of what keeps the machine from being asked. A pause is told once it is on record, and then stays.
void Pilot::note_hold(const std::string& code, const std::string& reason) {
    if (!machine_ || machine_->done() || machine_->state().pause != router::Pause::none) return;
    note({Direction::hold, code, reason, std::nullopt});
}

// Until it is read, what one side keeps is only told.
void Pilot::note_unknown(const std::string& reason, const std::optional<StoredPlan>& stored) {
    AutoReport report;
    report.standing = Standing::unknown;
    report.code = "unknown";
    report.reason = reason;
    report.since = std::chrono::system_clock::now();
    const auto plan = stored ? parse_plan(stored->plan, "the plan") : Error{Errc::closed, ""};
    if (const auto state = stored ? parse_state(stored->state) : std::nullopt; plan && state) {
        report.plan = plan->name;
        report.steps = plan->steps.size();
        report.number = std::min(state->step + 1, report.steps);
        if (state->step < report.steps) report.step = title(plan->steps[state->step]);
    }
    const std::lock_guard lock{mutex_};
    const bool as_before =
        report_ && report_->standing == Standing::unknown && report_->reason == report.reason;
    if (!as_before) report_ = std::move(report);
}

void Pilot::describe() {
    const router::PlanStep* const step = machine_->step();
    now_.standing = machine_->done()                                 ? Standing::done
                    : machine_->state().pause == router::Pause::none ? Standing::running
                                                                     : Standing::paused;
    now_.plan = machine_->plan().name;
    now_.present = step != nullptr ? std::optional{*step} : std::nullopt;
    now_.step = step != nullptr ? title(*step) : "";
    now_.steps = machine_->plan().steps.size();
    now_.number = std::min(machine_->state().step + 1, now_.steps);
    now_.pause = machine_->state().pause;
    now_.breaches = machine_->breaches();
    now_.progress = machine_->progress();
    now_.readings = machine_->readings();
    now_.titles.clear();
    for (const router::PlanStep& one : machine_->plan().steps) now_.titles.push_back(title(one));
}

void Pilot::set_loaded(bool loaded) {
    const std::lock_guard lock{mutex_};
    loaded_ = loaded;
}

bool Pilot::is_loaded() const {
    const std::lock_guard lock{mutex_};
    return loaded_;
}

void Pilot::publish() {
    const std::lock_guard lock{mutex_};
    report_ = now_;
    reported_text_ = text_;
}

}  // namespace segue::proxy
