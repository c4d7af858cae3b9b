#include "proxy/auto_report.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "proxy/status.hpp"

namespace segue::proxy {

using nlohmann::json;
using router::AutopilotState;
using router::Pause;
using router::Stance;

namespace {

constexpr std::array pauses = {
    Pause::none, Pause::asked, Pause::taken_over, Pause::went_back, Pause::confirm, Pause::refused};
constexpr std::array stances = {
    Stance::entering, Stance::watching, Stance::going_back, Stance::done};

std::string word(router::Direction outcome) {
    return outcome == router::Direction::go_back ? "back" : std::string{name(outcome)};
}

std::string order_text(const router::Order& order) {
    return "segue " + order.verb + (order.percent ? " " + router::plain(*order.percent) : "") +
           (order.verb == "mirror" ? " sync" : "");
}

// How far a watched step is, and each figure beside its limit; null for another step.
json watch_json(const AutoReport& report) {
    if (!report.present || !router::is_watched(report.present->deed)) return nullptr;
    json readings = json::array();
    for (const router::Reading& one : report.readings) {
        readings.push_back({{"code", one.code},
                            {"value", one.value ? json(*one.value) : json(nullptr)},
                            {"limit", one.limit}});
    }
    return {{"watched_seconds", report.progress.watched.count()},
            {"watch_seconds", report.present->watch.count()},
            {"samples", report.progress.samples},
            {"samples_min", report.present->guardrails.samples_min},
            {"guardrails", std::move(readings)}};
}

}  // namespace

json auto_json(const std::optional<AutoReport>& report) {
    if (!report) return nullptr;
    return {{"plan", report->plan},
            {"file", report->file},
            {"state", name(report->standing)},
            {"step", report->step.empty() ? json(nullptr) : json(report->step)},
            {"step_number", report->number},
            {"steps", report->steps},
            {"outcome", word(report->outcome)},
            {"code", report->code},
            {"reason", report->reason},
            {"since", format_time(report->since)},
            {"paused", report->pause != Pause::none},
            {"paused_because",
             report->pause == Pause::none ? json(nullptr) : json(name(report->pause))},
            {"breaches", report->breaches},
            {"running_verb", report->verb.empty() ? json(nullptr) : json(report->verb)},
            {"watch", watch_json(*report)}};
}

json auto_details_json(const std::optional<AutoReport>& report) {
    json body = auto_json(report);
    if (!report) return body;
    json decisions = json::array();
    for (const ToldDecision& one : report->decisions) {
        decisions.push_back({{"number", one.number},
                             {"at", format_time(one.at)},
                             {"step", one.step},
                             {"outcome", one.outcome},
                             {"reason", one.reason}});
    }
    body["decisions"] = std::move(decisions);
    body["step_titles"] = report->titles;
    return body;
}

std::string decision_text(const json& decision) {
    const std::string at = decision.value("at", "") + "  ";
    if (decision.value("outcome", "") == "done") return at + decision.value("reason", "");
    return at + decision.value("step", "") + "  " + decision.value("outcome", "") + ": " +
           decision.value("reason", "");
}

std::string auto_line(const json& report) {
    if (!report.is_object()) return "no plan is under way";
    const auto told = [&](const char* key) {
        const auto found = report.find(key);
        return found != report.end() && found->is_string() ? found->get<std::string>() : "";
    };
    const std::string state = told("state"), step = told("step"), reason = told("reason");
    if (state.empty()) return "a plan is under way, of which this answer tells no more";
    if (state == "unknown") return reason;
    if (state == "done") return told("plan") + ": the plan is through";
    // What is not decided has no outcome.
    const std::string outcome = state == "paused" ? "" : told("outcome") + ": ";
    return told("plan") + ": " + state + (step.empty() ? "" : ", " + step) + ": " + outcome +
           reason;
}

json forecast_json(const router::AutoPlan& plan, const std::vector<router::Forecast>& forecasts) {
    json list = json::array();
    for (const router::Forecast& one : forecasts) {
        list.push_back({{"step", title(plan.steps[one.step])},
                        {"behind", one.behind},
                        {"here", one.here},
                        {"verb", one.order ? json(order_text(*one.order)) : json(nullptr)},
                        {"outcome", word(one.outcome)},
                        {"reason", one.reason}});
    }
    return list;
}

std::string forecast_text(const json& forecast) {
    std::string text =
        "Were each step reached now, with the figures since `segue run` began; nothing is done:\n";
    for (const json& one : forecast) {
        const std::string verb =
            one["verb"].is_string() ? "`" + one["verb"].get<std::string>() + "`" : "";
        const std::string reason = one.value("reason", "");
        text += one.value("here", false) ? "> " : "  ";
        text += one.value("step", "") + "  ";
        if (one.value("behind", false)) {
            text += "behind\n";
            continue;
        }
        text += verb + (verb.empty() ? "" : ", then ") + one.value("outcome", "") +
                (reason.empty() ? "" : ": " + reason) + "\n";
    }
    return text;
}

std::string state_text(const AutopilotState& state) {
    return json{{"step", state.step},
                {"stance", static_cast<int>(state.stance)},
                {"pause", name(state.pause)},
                {"why", state.why},
                {"authority", name(state.course.authority)},
                {"shadow_percent", state.course.shadow_percent},
                {"shift_percent", state.course.shift_percent},
                {"paused", state.course.paused},
                {"finished", state.course.finished},
                {"shift_scope", router::encode(state.course.shift_scope)},
                {"watched_seconds", state.progress.watched.count()},
                {"samples", state.progress.samples},
                {"different", state.progress.different}}
        .dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<AutopilotState> parse_state(const std::string& text,
                                          const router::ShiftScope& in_force) {
    const json body = json::parse(text, nullptr, false);
    if (!body.is_object()) return std::nullopt;
    try {
        AutopilotState state;
        state.step = body.at("step").get<std::size_t>();
        const auto stance = body.at("stance").get<std::size_t>();
        if (stance >= stances.size()) return std::nullopt;
        state.stance = stances[stance];
        const std::string pause = body.at("pause");
        for (const Pause one : pauses) {
            if (name(one) == pause) state.pause = one;
        }
        if (name(state.pause) != pause) return std::nullopt;
        state.why = body.at("why");
        state.course.authority =
            body.at("authority") == name(Side::target) ? Side::target : Side::source;
        state.course.shadow_percent = body.at("shadow_percent");
        state.course.shift_percent = body.at("shift_percent");
        state.course.paused = body.at("paused");
        state.course.finished = body.at("finished");
        // Of an earlier build without these.
        state.course.shift_scope = in_force;
        if (body.contains("shift_scope")) {
            state.course.shift_scope = router::decode_shift_scope(body.value("shift_scope", ""))
                                           .value_or(router::ShiftScope{});
        }
        state.progress.watched = router::Seconds{body.value("watched_seconds", 0.0)};
        state.progress.samples = body.value("samples", std::uint64_t{0});
        state.progress.different = body.value("different", std::uint64_t{0});
        return state;
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

}  // namespace segue::proxy
