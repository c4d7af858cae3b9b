#include "proxy/verb_auto.hpp"

#include <iostream>
#include <thread>

#include "proxy/auto_report.hpp"
#include "proxy/plan_file.hpp"
#include "proxy/verb_answer.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds poll_pause{500};
constexpr std::chrono::milliseconds answer_poll{50};
// `segue run` may have been started just now, and be finding out who the authority is.
constexpr std::chrono::seconds soon_max{10};

class AutoVerb {
public:
    AutoVerb(const Invocation& invocation, const AdminClient& client)
        : invocation_(invocation), client_(client) {}

    int run() {
        const std::string what = invocation_.arguments.value("what", "");
        if (what == "status") return status();
        if (what == "pause" || what == "resume" || what == "stop") return tell(what);
        return plan(what);
    }

private:
    // GET /auto: an object, or null.
    Result<json> report() {
        const auto answer = client_.exchange("GET", "/auto");
        if (!answer) return Error{answer.error().code, unreachable(client_, answer.error())};
        if (answer->status != 200) return Error{Errc::io, reason_in(*answer)};
        json body = json::parse(answer->body, nullptr, false);
        if (body.is_discarded()) return Error{Errc::io, "the answer is not JSON"};
        return body;
    }

    void show(const json& report) const {
        if (invocation_.json) {
            std::cout << report.dump(2) << "\n";
        } else {
            std::cout << auto_line(report) << "\n";
        }
    }

    static json decisions(const json& report) {
        return report.is_object() ? report.value("decisions", json::array()) : json::array();
    }

    int status() {
        const auto now = report();
        if (!now) return fail(invocation_, now.error().detail);
        if (!invocation_.json) {
            for (const json& decision : decisions(*now))
                std::cout << decision_text(decision) << "\n";
        }
        show(*now);
        return 0;
    }

    Result<AdminAnswer> post(const std::string& what, json body) {
        body["asked_by"] = invocation_.arguments.value("asked_by", "");
        const auto deadline = std::chrono::steady_clock::now() + soon_max;
        auto answer = client_.exchange("POST", "/auto/" + what, body.dump());
        while (answer && answer->status == 503 && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(poll_pause);
            answer = client_.exchange("POST", "/auto/" + what, body.dump());
        }
        if (answer) return answer;
        if (answer.error().code == Errc::refused)
            return Error{Errc::refused, unreachable(client_, answer.error())};
        return Error{Errc::in_doubt, outcome_unknown};
    }

    static bool is_accepted(const AdminAnswer& answer) {
        return answer.status == 202 || answer.status == 200;
    }

    // Until what was asked for is so and on record, or refused: {exit_code, text}.
    Result<json> outcome(const std::string& what,
                         const AdminAnswer& accepted,
                         const json& before,
                         const std::string& posted) {
        const json body = json::parse(accepted.body, nullptr, false);
        const bool numbered = body.is_object() && body.contains("number");
        if (!numbered) return outcome_of_older(what, before, posted);
        const std::string path = "/auto/" + std::to_string(body.value("number", std::uint64_t{0}));
        for (;;) {
            const auto answer = client_.exchange("GET", path);
            if (!answer || answer->status != 200) return Error{Errc::in_doubt, outcome_unknown};
            json view = json::parse(answer->body, nullptr, false);
            if (!view.is_object() || !view.contains("running"))
                return Error{Errc::in_doubt, outcome_unknown};
            if (view["running"] == false) return view;
            std::this_thread::sleep_for(answer_poll);
        }
    }

    // The same plan again, while it is under way, changes nothing.
    static bool is_taken(const json& now, const json& before, const std::string& posted) {
        if (!now.is_object() || now.value("plan", "") != posted) return false;
        const std::string state = now.value("state", "");
        if (now == before) return state == "running";
        return state == "running" || state == "paused" || state == "done";
    }

    // A `segue run` from before an upgrade takes it, and does not tell how it ends: that is seen by
    // what becomes of the plan.
    Result<json> outcome_of_older(const std::string& what,
                                  const json& before,
                                  const std::string& posted) {
        const auto deadline = std::chrono::steady_clock::now() + soon_max;
        for (;;) {
            const auto now = report();
            if (!now) return Error{Errc::in_doubt, outcome_unknown};
            const std::string state = now->is_object() ? now->value("state", "") : "";
            const bool so = what == "stop"     ? state.empty()
                            : what == "pause"  ? state == "paused" || state == "done"
                            : what == "resume" ? state == "running" || state == "done"
                                               : is_taken(*now, before, posted);
            if (so) return json{{"exit_code", 0}, {"text", auto_line(*now)}};
            if (std::chrono::steady_clock::now() >= deadline) {
                return Error{Errc::in_doubt,
                             "it was accepted, but `segue run` is of an older build and does not "
                             "tell how it ended; now: " +
                                 auto_line(*now)};
            }
            std::this_thread::sleep_for(poll_pause);
        }
    }

    int tell(const std::string& what) {
        const auto answer = post(what, json::object());
        if (!answer) return fail(invocation_, answer.error().detail);
        if (!is_accepted(*answer)) return fail(invocation_, reason_in(*answer));
        const auto ended = outcome(what, *answer, nullptr, "");
        if (!ended) return fail(invocation_, ended.error().detail);
        const std::string text = ended->value("text", "");
        if (ended->value("exit_code", 1) != 0) return fail(invocation_, text);
        if (!invocation_.json) {
            std::cout << text << "\n";
            return 0;
        }
        const auto now = report();
        if (!now) return fail(invocation_, outcome_unknown);
        show(*now);
        return 0;
    }

    int misused(const std::string& reason) {
        std::cerr << reason << "\n";
        return verb_misused;
    }

    int plan(const std::string& file) {
        const auto text = read_plan_file(file);
        if (!text) return misused(text.error().detail);
        const auto parsed = parse_plan(*text, file);
        if (!parsed) return misused(parsed.error().detail);
        const json body = {{"text", *text}, {"file", file}};
        if (invocation_.arguments.value("dry_run", false)) return dry_run(body);
        const auto before = report();
        if (!before) return fail(invocation_, before.error().detail);
        last_told_ = last_number(*before);
        const auto answer = post("plan", body);
        if (!answer) return fail(invocation_, answer.error().detail);
        if (answer->status == 400) return misused(reason_in(*answer));
        if (!is_accepted(*answer)) return fail(invocation_, reason_in(*answer));
        const auto ended = outcome("plan", *answer, *before, parsed->name);
        if (!ended) return fail(invocation_, ended.error().detail);
        if (ended->value("exit_code", 1) != 0) return fail(invocation_, ended->value("text", ""));
        if (!invocation_.json) {
            std::cerr << "`segue run` follows the plan, also without this terminal; `segue auto "
                         "pause` pauses it\n";
        }
        return follow();
    }

    int dry_run(const json& body) {
        const auto answer = post("dry-run", body);
        if (!answer) return fail(invocation_, answer.error().detail);
        if (answer->status == 400) return misused(reason_in(*answer));
        if (answer->status != 200) return fail(invocation_, reason_in(*answer));
        const json forecast = json::parse(answer->body, nullptr, false);
        if (!forecast.is_array()) return fail(invocation_, "the answer is not JSON");
        std::cout << (invocation_.json ? forecast.dump(2) + "\n" : forecast_text(forecast));
        return 0;
    }

    static std::uint64_t last_number(const json& report) {
        const json all = decisions(report);
        return all.empty() ? 0 : all.back().value("number", std::uint64_t{0});
    }

    int follow() {
        for (;;) {
            const auto now = report();
            if (!now) return fail(invocation_, outcome_unknown);
            for (const json& decision : decisions(*now)) {
                if (decision.value("number", std::uint64_t{0}) <= last_told_) continue;
                std::cout << (invocation_.json ? decision.dump() : decision_text(decision))
                          << std::endl;
            }
            last_told_ = std::max(last_told_, last_number(*now));
            if (!now->is_object()) return fail(invocation_, "the plan was stopped");
            const std::string state = now->value("state", "");
            if (state == "done") return 0;
            if (state == "paused") return fail(invocation_, now->value("reason", ""));
            if (invocation_.arguments.value("detach", false)) return 0;
            std::this_thread::sleep_for(poll_pause);
        }
    }

    const Invocation& invocation_;
    const AdminClient& client_;
    std::uint64_t last_told_ = 0;
};

}  // namespace

int run_auto(const Invocation& invocation, const AdminClient& client) {
    return AutoVerb{invocation, client}.run();
}

}  // namespace segue::proxy
