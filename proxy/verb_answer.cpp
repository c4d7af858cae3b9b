#include "proxy/verb_answer.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

namespace segue::proxy {

using nlohmann::json;

int fail(const Invocation& invocation, const std::string& reason) {
    if (invocation.json) {
        std::cout
            << json{{"verb", invocation.verb}, {"exit_code", verb_failed}, {"text", reason}}.dump()
            << "\n";
    }
    std::cerr << "segue " << invocation.verb << ": " << reason << "\n";
    return verb_failed;
}

std::string unreachable(const AdminClient& client, const Error& error) {
    return "nobody answers at the admin address " + client.shown_address() + " (" + error.detail +
           "): is `segue run` running?";
}

std::string reason_in(const AdminAnswer& answer) {
    const json body = json::parse(answer.body, nullptr, false);
    return body.is_object() ? body.value("reason", answer.body) : answer.body;
}

}  // namespace segue::proxy
