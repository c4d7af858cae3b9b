#pragma once
// What the admin address answers. None of it waits: verbs go to the operator's thread and are asked
// after.
//
//   GET  /status          the JSON of INTERFACE
//   GET  /metrics         Prometheus text
//   GET  /healthz         200 "ok" while clients are served, else 503 and why not
//   POST /verb/<name>     arguments as a JSON object (application/json); 202 {"number": N}, or 409
//   {"reason": ...} GET  /verb/<number>   {"verb", "running", and when it has ended "exit_code",
//   "text", "details"}

#include <functional>
#include <string>

#include "proxy/http.hpp"
#include "proxy/operator.hpp"
#include "proxy/status.hpp"

namespace segue::proxy {

class Admin {
public:
    // `token`: empty where none is needed. `inputs` must not wait.
    Admin(std::function<StatusInputs()> inputs, Operator& operator_thread, std::string token)
        : inputs_(std::move(inputs)), operator_(operator_thread), token_(std::move(token)) {}

    HttpAnswer answer(const HttpRequest& request);

private:
    bool allowed(const HttpRequest& request) const;
    HttpAnswer get(const std::string& path);
    HttpAnswer begin_verb(const std::string& verb, const HttpRequest& request);
    HttpAnswer show_verb(const std::string& number);

    std::function<StatusInputs()> inputs_;
    Operator& operator_;
    std::string token_;
};

// The first line of the file.
Result<std::string> read_token(const std::string& file);

}  // namespace segue::proxy
