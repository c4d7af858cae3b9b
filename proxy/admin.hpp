#pragma once
// What the admin address answers. None of it waits: verbs go to the operator's thread and are asked
// after.
//
//   GET  /                the console: one page, which asks for the rest; it needs no token itself
//   GET  /status          the JSON of INTERFACE
//   GET  /statements      every statement that both sides have executed: see statements_json; keys
//                         only for who may operate
//   GET  /history         how the main figures have developed (proxy/history.hpp)
//   GET  /events          [{at, kind, detail, warning}] of this process, the last ones, oldest
//   first GET  /metrics         Prometheus text GET  /healthz         200 "ok" while clients are
//   served, else 503 and why not POST /verb/<name>     arguments as a JSON object
//   (application/json); 202 {"number": N}, or 409
//                         {"reason": ...}
//   GET  /auto            the object `auto` of the status with the last decisions, or null
//   POST /auto/<what>     pause, resume, stop {"asked_by"}; plan, dry-run {"text", "file", ...}.
//                         202; a dry-run 200 and what it tells; 400: the plan is none; 409;
//                         503: not yet; {"reason": ...}
//   GET  /verb/<number>   {"verb", "running", and when it has ended "exit_code", "text", "details"}

#include <functional>
#include <string>
#include <vector>

#include "proxy/http.hpp"
#include "proxy/journal.hpp"
#include "proxy/operator.hpp"
#include "proxy/pilot.hpp"
#include "proxy/status.hpp"

namespace segue::proxy {

// Empty: whoever reaches the address is the operator.
struct AdminTokens {
    std::string operate;
    std::string read;  // For GET only; empty: there is no such token.
};

// What is shown; neither may wait.
struct AdminSources {
    std::function<StatusInputs()> inputs;
    std::function<std::vector<RecentEvent>()> events;
    std::function<nlohmann::json()> history = {};                   // History::list
    std::function<std::vector<StatementReport>()> statements = {};  // Null: there are none.
};

class Admin {
public:
    // Without a pilot nobody can be told to follow a plan.
    Admin(AdminSources sources,
          Operator& operator_thread,
          AdminTokens tokens,
          Pilot* pilot = nullptr)
        : sources_(std::move(sources)),
          operator_(operator_thread),
          tokens_(std::move(tokens)),
          pilot_(pilot) {}

    HttpAnswer answer(const HttpRequest& request);
    // From now on. On the thread that answers.
    void use(AdminTokens tokens) { tokens_ = std::move(tokens); }

private:
    bool may(const HttpRequest& request) const;
    bool may_operate(const HttpRequest& request) const;
    HttpAnswer get(const HttpRequest& request);
    HttpAnswer begin_verb(const std::string& verb, const HttpRequest& request);
    // Of a verb, or of what was asked of the plan.
    HttpAnswer show(const std::string& number, bool of_pilot);
    HttpAnswer tell_pilot(const std::string& what, const HttpRequest& request);

    AdminSources sources_;
    Operator& operator_;
    AdminTokens tokens_;
    Pilot* pilot_;
};

// The first line of the file, which the key of [admin] names.
Result<std::string> read_token(const std::string& key, const std::string& file);

// The page. A build step makes it of console.html.
extern const std::string_view console_page;

}  // namespace segue::proxy
