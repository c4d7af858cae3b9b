#include "proxy/admin.hpp"

#include <openssl/crypto.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "proxy/first_line.hpp"
#include "proxy/metrics.hpp"

namespace segue::proxy {

using nlohmann::json;

namespace {

constexpr std::string_view verb_prefix = "/verb/";

HttpAnswer answer_json(unsigned status, const json& body) {
    // Text that came from a server may not be UTF-8; the answer must be JSON all the same.
    return {status,
            "application/json",
            body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

HttpAnswer failure(unsigned status, const std::string& reason) {
    return answer_json(status, {{"reason", reason}});
}

}  // namespace

bool Admin::allowed(const HttpRequest& request) const {
    if (token_.empty()) return true;
    const std::string expected = "Bearer " + token_;
    return request.authorization.size() == expected.size() &&
           CRYPTO_memcmp(request.authorization.data(), expected.data(), expected.size()) == 0;
}

HttpAnswer Admin::answer(const HttpRequest& request) {
    if (!allowed(request))
        return failure(401, "expected \"Authorization: Bearer <the token of [admin] token_file>\"");
    const bool verb = request.path.starts_with(verb_prefix);
    const std::string rest = verb ? request.path.substr(verb_prefix.size()) : "";
    if (request.method == "GET") return verb ? show_verb(rest) : get(request.path);
    if (request.method == "POST" && verb) return begin_verb(rest, request);
    return failure(405, "expected GET, or POST to /verb/<name>");
}

HttpAnswer Admin::get(const std::string& path) {
    if (path == "/status") return answer_json(200, status_json(inputs_()));
    if (path == "/metrics")
        return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(inputs_())};
    if (path == "/healthz") {
        const StatusInputs inputs = inputs_();
        if (inputs.board.authority_known) return {200, "text/plain", "ok\n"};
        return {503, "text/plain", "clients wait: " + inputs.board.waiting_for + "\n"};
    }
    return failure(404, "expected /status, /metrics, /healthz or /verb/<number>");
}

HttpAnswer Admin::begin_verb(const std::string& verb, const HttpRequest& request) {
    // A web page cannot send this type across sites without asking first, and we never agree.
    if (!request.content_type.starts_with("application/json"))
        return failure(415, "expected Content-Type: application/json");
    json arguments = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
    if (!arguments.is_object()) return failure(400, "expected a JSON object");
    const auto begun = operator_.submit(verb, std::move(arguments));
    if (const auto* refused = std::get_if<Operator::Refused>(&begun))
        return failure(409, refused->reason);
    return answer_json(202, {{"number", std::get<std::uint64_t>(begun)}});
}

HttpAnswer Admin::show_verb(const std::string& number) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size())
        return failure(400, "expected a number");
    const auto view = operator_.view(value);
    if (!view) return failure(404, "no such verb: Segue was restarted, or it is long ago");
    json body = {{"verb", view->verb}, {"running", !view->result.has_value()}};
    if (view->result) {
        body["exit_code"] = view->result->exit_code;
        body["text"] = view->result->text;
        body["details"] = view->result->details;
    }
    return answer_json(200, body);
}

Result<std::string> read_token(const std::string& file) {
    auto token = first_line(file);
    if (!token) {
        return Error{Errc::io,
                     "[admin] token_file " + file +
                         ": expected a token in its first line, of at most " +
                         std::to_string(first_line_max) + " bytes"};
    }
    return *token;
}

}  // namespace segue::proxy
