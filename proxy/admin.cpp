#include "proxy/admin.hpp"

#include <openssl/crypto.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "proxy/first_line.hpp"
#include "proxy/loopback.hpp"
#include "proxy/metrics.hpp"
#include "proxy/operations.hpp"
#include "proxy/status_reads.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

constexpr std::string_view verb_prefix = "/verb/";
constexpr std::string_view auto_prefix = "/auto/";
// A web page cannot send this type across sites without asking first, and we never agree.
constexpr const char* json_type = "application/json";

HttpAnswer answer_json(unsigned status, const json& body) {
    // Text that came from a server may not be UTF-8; the answer must be JSON all the same.
    return {status,
            "application/json",
            body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

HttpAnswer failure(unsigned status, const std::string& reason) {
    return answer_json(status, {{"reason", reason}});
}

// The page holds its own style and script, and asks nobody but us.
constexpr const char* console_policy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool bears(const HttpRequest& request, const std::string& token) {
    const std::string expected = "Bearer " + token;
    return request.authorization.size() == expected.size() &&
           CRYPTO_memcmp(request.authorization.data(), expected.data(), expected.size()) == 0;
}

// A web page may have its own name resolve to this machine, and then asks in the browser's name:
// what it names is not ours.
bool names_this_machine(const std::string& host) {
    if (host.empty()) return true;
    if (host.front() == '[') return is_loopback(host.substr(1, host.find(']') - 1));
    return is_loopback(host.substr(0, host.find(':')));
}

json events_json(const std::vector<RecentEvent>& events) {
    json list = json::array();
    for (const RecentEvent& one : events) {
        list.push_back({{"at", format_time(one.at)},
                        {"kind", one.kind},
                        {"detail", one.detail},
                        {"warning", one.warning}});
    }
    return list;
}

}  // namespace

bool Admin::may_operate(const HttpRequest& request) const {
    return tokens_.operate.empty() || bears(request, tokens_.operate);
}

bool Admin::may(const HttpRequest& request) const {
    if (may_operate(request)) return true;
    return request.method == "GET" && !tokens_.read.empty() && bears(request, tokens_.read);
}

HttpAnswer Admin::answer(const HttpRequest& request) {
    if (request.method == "GET" && request.path == "/")
        return {200, "text/html; charset=utf-8", std::string{console_page}, console_policy};
    if (tokens_.operate.empty() && !request.by_file && !names_this_machine(request.host))
        return failure(421, "expected this machine's own name: localhost or its loopback address");
    if (!may(request)) {
        const bool reader = !tokens_.read.empty() && bears(request, tokens_.read);
        if (reader) return failure(403, "the token of [admin] read_token_file only reads");
        return failure(401, "expected \"Authorization: Bearer <the token of [admin] token_file>\"");
    }
    const bool verb = request.path.starts_with(verb_prefix);
    const std::string rest = verb ? request.path.substr(verb_prefix.size()) : "";
    const bool of_pilot = request.path.starts_with(auto_prefix);
    if (request.method == "GET" && of_pilot)
        return show(request.path.substr(auto_prefix.size()), true);
    if (request.method == "GET" && verb) {
        return may_operate(request) ? show(rest, false)
                                    : failure(403,
                                              "what a verb has answered may name keys of rows: it "
                                              "needs the token of [admin] token_file");
    }
    if (request.method == "GET") return get(request);
    if (request.method == "POST" && verb) return begin_verb(rest, request);
    if (request.method == "POST" && of_pilot)
        return tell_pilot(request.path.substr(auto_prefix.size()), request);
    return failure(405, "expected GET, or POST to /verb/<name> or /auto/<what>");
}

HttpAnswer Admin::get(const HttpRequest& request) {
    const std::string& path = request.path;
    if (path == "/status") return answer_json(200, status_json(sources_.inputs()));
    if (path == "/statements") {
        const auto statements =
            sources_.statements ? sources_.statements() : std::vector<StatementReport>{};
        const Keys keys = may_operate(request) ? Keys::shown : Keys::hidden;
        return answer_json(200, statements_json(statements, keys));
    }
    if (path == "/events") return answer_json(200, events_json(sources_.events()));
    if (path == "/history" && sources_.history) return answer_json(200, sources_.history());
    if (path == "/auto") return answer_json(200, auto_details_json(sources_.inputs().autopilot));
    if (path == "/metrics")
        return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(sources_.inputs())};
    if (path == "/healthz") {
        const StatusInputs inputs = sources_.inputs();
        if (inputs.board.authority_known) return {200, "text/plain", "ok\n"};
        return {503, "text/plain", "clients wait: " + inputs.board.waiting_for + "\n"};
    }
    return failure(
        404,
        "expected /, /status, /statements, /events, /history, /auto, /metrics, /healthz, "
        "/verb/<number> or /auto/<number>");
}

HttpAnswer Admin::begin_verb(const std::string& verb, const HttpRequest& request) {
    if (!request.content_type.starts_with(json_type))
        return failure(415, "expected Content-Type: application/json");
    json arguments = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
    if (!arguments.is_object()) return failure(400, "expected a JSON object");
    const auto begun = operator_.submit(verb, std::move(arguments));
    if (const auto* refused = std::get_if<Operator::Refused>(&begun))
        return failure(409, refused->reason);
    return answer_json(202, {{"number", std::get<std::uint64_t>(begun)}});
}

HttpAnswer Admin::tell_pilot(const std::string& what, const HttpRequest& request) {
    if (!request.content_type.starts_with(json_type))
        return failure(415, "expected Content-Type: application/json");
    const json body = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
    if (!body.is_object()) return failure(400, "expected a JSON object");
    if (pilot_ == nullptr) return failure(409, "nobody here follows plans");
    const auto told = [&](const char* key) {
        const json value = body.value(key, json{});
        return value.is_string() ? value.get<std::string>() : std::string{};
    };
    const auto refused = [](const Error& error) {
        const unsigned soon = error.code == Errc::timed_out ? 503 : 409;
        return failure(error.code == Errc::bad_value ? 400 : soon, error.detail);
    };
    const std::string who = asked_by(body);
    if (what == "dry-run") {
        const auto forecast = pilot_->dry_run(told("text"), told("file"));
        return forecast ? answer_json(200, *forecast) : refused(forecast.error());
    }
    Result<std::uint64_t> number =
        Error{Errc::bad_value, "expected plan, dry-run, pause, resume or stop"};
    if (what == "plan") number = pilot_->post(told("text"), told("file"), who);
    if (what == "pause") number = pilot_->pause(who);
    if (what == "resume") number = pilot_->resume(who);
    if (what == "stop") number = pilot_->give_up(who);
    return number ? answer_json(202, {{"number", *number}}) : refused(number.error());
}

HttpAnswer Admin::show(const std::string& number, bool of_pilot) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size())
        return failure(400, "expected a number");
    const auto view = !of_pilot           ? operator_.view(value)
                      : pilot_ != nullptr ? pilot_->answer(value)
                                          : std::nullopt;
    if (!view) return failure(404, "no such verb: Segue was restarted, or it is long ago");
    json body = {{"verb", view->verb}, {"running", !view->result.has_value()}};
    if (view->result) {
        body["exit_code"] = view->result->exit_code;
        body["text"] = view->result->text;
        body["details"] = view->result->details;
    }
    return answer_json(200, body);
}

Result<std::string> read_token(const std::string& key, const std::string& file) {
    auto token = first_line(file);
    if (token) return std::move(*token);
    return Error{Errc::io,
                 "[admin] " + key + " " + file +
                     ": expected a token in its first line, of at most " +
                     std::to_string(first_line_max) + " bytes: " + token.error().detail};
}

}  // namespace segue::proxy
