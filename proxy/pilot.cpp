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
constexpr std::size_t requests_max = 16;
constexpr std::size_t reason_size_max = 500;
constexpr const char* who_we_are = "auto";

json arguments_of(const Order& order) {
    json arguments = {{"asked_by", who_we_are}};
    if (order.percent) arguments["percent"] = *order.percent;
    if (order.verb == "mirror") arguments["mode"] = "sync";
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

}  // namespace

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

Status Pilot::request(Request request) {
    const std::lock_guard lock{mutex_};
    if (stopping_) return Error{Errc::refused, "Segue is stopping"};
    if (!loaded_)
        return Error{Errc::timed_out,
                     "what the databases keep of an earlier plan is not known yet: try again when "
                     "`segue status` knows the authority"};
    if (request.ask == Ask::post && report_ && !report_->done &&
        report_->pause == router::Pause::none && reported_text_ != request.text) {
        return Error{Errc::refused,
                     "the plan " + report_->plan +
                         " is under way: `segue auto pause` or `segue auto stop` first"};
    }
    if (request.ask != Ask::post && !report_) return Error{Errc::refused, "no plan is under way"};
    if (request.ask == Ask::resume && !report_->verb.empty())
        return Error{Errc::refused, "`segue " + report_->verb + "` of the plan is still running"};
    if (requests_.size() >= requests_max) return Error{Errc::refused, "too many requests wait"};
    requests_.push_back(std::move(request));
    asked_ = true;
    changed_.notify_all();
    return Done{};
}

Status Pilot::post(const std::string& text, const std::string& file, const std::string& who) {
    auto plan = parse_plan(text, file);
    if (!plan) return plan.error();
    return request({Ask::post, who, text, file, std::move(*plan)});
}

Status Pilot::pause(const std::string& who) { return request({Ask::pause, who, "", "", {}}); }
Status Pilot::resume(const std::string& who) { return request({Ask::resume, who, "", "", {}}); }
Status Pilot::give_up(const std::string& who) { return request({Ask::give_up, who, "", "", {}}); }

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
    std::deque<Request> requests;
    {
        const std::lock_guard lock{mutex_};
        requests = requests_;  // Taken once they can be served.
    }
    // Before the look, so that the look shows what the verb has brought about.
    const bool busy = running_ && !verb_is_over();
    if (busy && requests.empty()) return verb_poll;
    const AutoView view = parts_.look();
    if (!view.closed.empty()) {
        note_hold("closed", view.closed);
        if (running_) return closed_pause;
        const std::lock_guard lock{mutex_};
        loaded_ = false;  // Another one may have been at work, and written.
        return closed_pause;
    }
    if (!load(view)) return closed_pause;
    for (const Request& one : requests) serve(one, view);
    {
        const std::lock_guard lock{mutex_};
        requests_.erase(requests_.begin(),
                        requests_.begin() + static_cast<std::ptrdiff_t>(requests.size()));
    }
    if (!machine_) return idle_pause;
    if (busy) {
        if (machine_->state().pause != router::Pause::none) decide(view);
        return verb_poll;
    }
    if (running_) verb_ended(view);
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
    if (decision.order && !is_still_so(view)) {
        note_hold("changed", "something was changed by hand meanwhile: it is looked at again");
        return verb_poll;
    }
    if (decision.order) obey(*decision.order);
    const bool at_once = running_ || decision.outcome == Direction::advance;
    return at_once
               ? verb_poll
               : std::chrono::duration_cast<std::chrono::milliseconds>(machine_->plan().interval);
}

// To keep a decision takes a while. An operator's verb that has begun or ended in it comes first,
// and a program that is told to stop begins nothing.
bool Pilot::is_still_so(const AutoView& view) const {
    {
        const std::lock_guard lock{mutex_};
        if (stopping_) return false;
    }
    const AutoView now = parts_.look();
    return now.closed.empty() && now.where.course == view.where.course &&
           parts_.verbs.current_verb().empty();
}

// Once, and again when another process may have written. Where nothing is being moved there is
// nothing to be read, and what is in memory goes on.
bool Pilot::load(const AutoView& view) {
    {
        const std::lock_guard lock{mutex_};
        if (loaded_) return true;
    }
    std::optional<StoredPlan> newest;
    if (view.where.begun && !view.where.course.finished) {
        for (const Side side : {Side::source, Side::target}) {
            auto stored = parts_.store->read(side);
            if (!stored) {
                note_hold("unread",
                          "what the " + std::string{name(side)} +
                              " keeps of the plan cannot be read: " + stored.error().detail);
                return false;
            }
            if (*stored && (!newest || (*stored)->revision > newest->revision)) newest = **stored;
        }
    }
    if (newest && newest->revision > revision_) {
        revision_ = newest->revision;
        machine_.reset();
        auto plan = parse_plan(newest->plan, "the plan");
        const auto state = parse_state(newest->state);
        if (!newest->plan.empty() && plan && state) {
            text_ = newest->plan;
            machine_.emplace(std::move(*plan), *state, view.where, Clock::now());
            parts_.journal.event("auto", "goes on with the plan " + machine_->plan().name);
        } else if (!newest->plan.empty()) {
            parts_.journal.warning(
                "auto", "the plan that the databases keep cannot be read: post it again");
        }
        saved_.reset();
    }
    const std::lock_guard lock{mutex_};
    loaded_ = true;
    if (!machine_) report_.reset();
    return true;
}

void Pilot::serve(const Request& request, const AutoView& view) {
    const std::string who = request.who.empty() ? "somebody" : request.who;
    const bool under_way =
        machine_ && !machine_->done() && machine_->state().pause == router::Pause::none;
    switch (request.ask) {
        case Ask::post:
            if (under_way) return;  // The same one: see request().
            machine_.emplace(*request.plan, view.where, Clock::now());
            text_ = request.text;
            now_ = AutoReport{};
            now_.file = request.file;
            running_.reset();
            saved_.reset();
            parts_.journal.event("auto",
                                 "the plan " + request.plan->name + " begins, posted by " + who);
            return;
        case Ask::pause:
            if (machine_) machine_->pause(who);
            return;
        case Ask::resume:
            if (!machine_ || machine_->state().pause == router::Pause::none) return;
            machine_->resume(view.where, Clock::now());
            parts_.journal.event("auto", "resumed by " + who);
            return;
        case Ask::give_up: {
            if (!machine_) return;
            parts_.journal.event("auto",
                                 "the plan " + machine_->plan().name + " is given up by " + who +
                                     "; nothing is undone");
            machine_.reset();
            running_.reset();
            text_.clear();
            if (const Status saved = save(view); !saved) {
                parts_.journal.warning(
                    "auto", "that the plan is given up is not on record: " + saved.error().detail);
            }
            const std::lock_guard lock{mutex_};
            report_.reset();
            return;
        }
    }
}

// The authority must have it, else nothing is done that it is about. A cutover needs it on both
// sides, because the other one is then the authority.
Status Pilot::save(const AutoView& view) {
    if (!view.where.begun || view.where.course.finished) return Done{};
    const bool changes =
        machine_ && machine_->step() != nullptr && machine_->step()->deed == router::Deed::cutover;
    if (machine_ && saved_ == machine_->state()) return Done{};
    const StoredPlan stored{
        ++revision_, text_, machine_ ? state_text(machine_->state()) : std::string{}};
    const Side authority = view.where.course.authority;
    if (Status written = parts_.store->write(authority, stored); !written) {
        const std::lock_guard lock{mutex_};
        if (written.error().code == Errc::refused) loaded_ = false;
        return written;
    }
    const Status other_written = parts_.store->write(other(authority), stored);
    if (!other_written && changes) return other_written;
    if (machine_) saved_ = machine_->state();
    return Done{};
}

bool Pilot::verb_is_over() const {
    const auto seen = parts_.verbs.view(running_->number);
    return !seen || seen->result;
}

void Pilot::verb_ended(const AutoView& view) {
    const auto seen = parts_.verbs.view(running_->number);
    const bool done = seen && seen->result->exit_code == 0;
    const std::string reason = seen ? one_line(seen->result->text) : "its result is lost";
    const Running ended = *std::exchange(running_, std::nullopt);
    machine_->ended(ended.order, done, reason, view.where, Clock::now());
    now_.verb.clear();
}

void Pilot::obey(const Order& order) {
    const auto begun = parts_.verbs.submit(order.verb, arguments_of(order));
    if (const auto* refused = std::get_if<Operator::Refused>(&begun)) {
        note_hold("busy", refused->reason);
        return;
    }
    running_ = Running{std::get<std::uint64_t>(begun), order};
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
    now_.plan = machine_->plan().name;
    now_.step = present;
    now_.steps = machine_->plan().steps.size();
    now_.number = std::min(machine_->state().step + 1, now_.steps);
    now_.outcome = decision.outcome;
    now_.code = decision.code;
    now_.reason = decision.reason;
    now_.pause = machine_->state().pause;
    now_.done = machine_->done();
    now_.breaches = machine_->breaches();
    if (news) {
        now_.since = std::chrono::system_clock::now();
        if (now_.decisions.size() >= decisions_kept_max)
            now_.decisions.erase(now_.decisions.begin());
        now_.decisions.push_back({++decisions_,
                                  now_.since,
                                  about.empty() ? "end" : about,
                                  std::string{name(decision.outcome)},
                                  decision.reason});
        const std::string told = (about.empty() ? "" : about + ": ") +
                                 std::string{name(decision.outcome)} + ": " + decision.reason;
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

void Pilot::publish() {
    const std::lock_guard lock{mutex_};
    report_ = now_;
    reported_text_ = text_;
}

}  // namespace segue::proxy
