#include "proxy/verbs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iostream>
#include <system_error>
#include <thread>

#include "proxy/admin.hpp"
#include "proxy/admin_client.hpp"
#include "proxy/certificate.hpp"
#include "proxy/events.hpp"
#include "proxy/explain.hpp"
#include "proxy/findings.hpp"
#include "proxy/first_line.hpp"
#include "proxy/preflight.hpp"
#include "proxy/screen.hpp"
#include "proxy/status_reads.hpp"
#include "proxy/table_rates.hpp"
#include "proxy/verb_answer.hpp"
#include "proxy/verb_auto.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using namespace nlohmann::literals;
using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds poll_first{10};
constexpr std::chrono::milliseconds poll_longest{200};
constexpr std::chrono::milliseconds watch_pause{1000};

bool on_terminal(int descriptor) { return isatty(descriptor) == 1; }

int check(const Invocation& invocation, const Config& config) {
    const auto findings = preflight(config);
    if (!findings) return fail(invocation, findings.error().detail);
    if (invocation.json) {
        std::cout << findings_json(*findings).dump(2, ' ', false, json::error_handler_t::replace)
                  << "\n";
    } else {
        std::cout << findings_text(*findings, FindingsShown::all, on_terminal(STDOUT_FILENO));
    }
    if (!has_failure(*findings)) return 0;
    std::cerr << "segue check: something fails; each finding says what to do\n";
    return verb_failed;
}

int usage_error(const std::string& reason) {
    std::cerr << "segue: " << reason << "\n";
    return verb_misused;
}

Result<json> ask_status(const AdminClient& client) {
    const auto answer = client.exchange("GET", "/status");
    if (!answer) return Error{Errc::refused, unreachable(client, answer.error())};
    if (answer->status != 200) return Error{Errc::refused, reason_in(*answer)};
    json body = json::parse(answer->body, nullptr, false);
    if (!body.is_object()) return Error{Errc::refused, "the answer is not JSON"};
    return body;
}

// In place of the one before; without the flicker of an empty screen between.
void show_in_place(const std::string& screen) {
    std::string text = "\033[H";
    for (const char c : screen) text += c == '\n' ? std::string{"\033[K\n"} : std::string{c};
    std::cout << text << "\033[J";
}

// Whoever watches is not left alone while Segue is started anew.
int status(const Invocation& invocation, const AdminClient& client) {
    const bool terminal = on_terminal(STDOUT_FILENO);
    TableRates rates;
    for (bool first = true;; first = false) {
        const Result<json> body = ask_status(client);
        if (!body && (first || !invocation.watch)) return fail(invocation, body.error().detail);
        if (invocation.json) {
            if (body) std::cout << body->dump(invocation.watch ? -1 : 2) << "\n";
        } else {
            if (body) rates.add(std::chrono::steady_clock::now(), *body);
            const std::string screen =
                body ? status_screen(*body, terminal ? Colours::on : Colours::off, &rates)
                     : body.error().detail + "\n";
            if (invocation.watch && terminal) {
                show_in_place(screen);
            } else {
                std::cout << screen;
            }
        }
        std::cout.flush();
        if (!invocation.watch) return 0;
        std::this_thread::sleep_for(watch_pause);
    }
}

// The figures by statement; the operator's thread is not asked, so that it may be busy.
int statements(const Invocation& invocation, const AdminClient& client) {
    const auto answer = client.exchange("GET", "/statements");
    if (!answer) return fail(invocation, unreachable(client, answer.error()));
    if (answer->status != 200) return fail(invocation, reason_in(*answer));
    const json all = json::parse(answer->body, nullptr, false);
    if (!all.is_array()) return fail(invocation, "the answer is not JSON");
    json shown = json::array();
    for (const json& one : all) {
        if (shown.size() == invocation.arguments.value("limit", all.size())) break;
        if (one.value("slower", false) || !invocation.arguments.value("slower", false))
            shown.push_back(one);
    }
    if (shown.empty() && !all.empty() && !invocation.json) {
        std::cout << "None of " << counted(all.size(), "statement", "statements")
                  << " is slower on the follower.\n";
        return 0;
    }
    std::cout << (invocation.json ? shown.dump(2) + "\n" : statements_text(shown));
    return 0;
}

void show_progress(const AdminClient& client) {
    const auto answer = client.exchange("GET", "/status");
    if (!answer || answer->status != 200) return;
    const json body = json::parse(answer->body, nullptr, false);
    if (!body.is_object()) return;
    const json rows = body.value("/verify/rows_compared"_json_pointer, json{});
    const json total = body.value("/backfill/rows_total_estimate"_json_pointer, json{});
    if (!rows.is_number()) return;
    std::cerr << "\r\033[K" << rows << (rows == 1 ? " row" : " rows") << " compared";
    if (total.is_number()) std::cerr << " of ~" << total;
    std::cerr << std::flush;
}

// Asks until the verb has ended. The connection's loss is not the verb's failure: nobody knows.
Result<json> wait_for_end(const AdminClient& client, std::uint64_t number, bool progress) {
    auto pause = poll_first;
    for (;;) {
        const auto answer = client.exchange("GET", "/verb/" + std::to_string(number));
        if (!answer || answer->status != 200) return Error{Errc::in_doubt, outcome_unknown};
        json body = json::parse(answer->body, nullptr, false);
        if (!body.is_object() || !body.contains("running"))
            return Error{Errc::in_doubt, outcome_unknown};
        if (body["running"] == false) return body;
        if (progress && pause == poll_longest) show_progress(client);
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, poll_longest);
    }
}

Result<json> do_verb(const Invocation& invocation,
                     const AdminClient& client,
                     const json& arguments) {
    const auto begun = client.exchange("POST", "/verb/" + invocation.verb, arguments.dump());
    if (!begun && begun.error().code == Errc::refused)
        return Error{Errc::refused, unreachable(client, begun.error())};
    if (!begun) return Error{Errc::in_doubt, outcome_unknown};
    if (begun->status != 202) return Error{Errc::refused, reason_in(*begun)};
    const json number = json::parse(begun->body, nullptr, false);
    if (!number.is_object() || !number.contains("number"))
        return Error{Errc::in_doubt, outcome_unknown};
    const bool progress =
        invocation.verb == "verify" && !invocation.json && on_terminal(STDERR_FILENO);
    auto ended = wait_for_end(client, number.value("number", std::uint64_t{0}), progress);
    if (progress) std::cerr << "\r\033[K";
    return ended;
}

// FILE and FILE.txt. Of a verification that found differences as well.
Status write_certificate(const std::string& file, const json& ended) {
    const json document = ended.value("details", json::object()).value("certificate", json{});
    if (!document.is_object()) return Error{Errc::refused, "there is nothing to certify"};
    const std::string text = file + ".txt";
    errno = 0;
    std::ofstream json_file{file}, text_file{text};
    json_file << document.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
    text_file << certificate_text(document);
    json_file.close();
    text_file.close();
    if (!json_file || !text_file) {
        const std::string why = errno == 0 ? "" : ": " + std::generic_category().message(errno);
        return Error{Errc::io, file + " or " + text + " could not be written" + why};
    }
    return Done{};
}

int check_file(const Invocation& invocation) {
    if (const std::string why = why_unreadable(invocation.check_file); !why.empty())
        return fail(invocation, invocation.check_file + ": it cannot be read: " + why);
    std::ifstream input{invocation.check_file};
    const json document = json::parse(input, nullptr, false);
    if (const Status good = check_certificate(document); !good)
        return fail(invocation, invocation.check_file + ": " + good.error().detail);
    std::cout << (invocation.json ? json{{"verb", invocation.verb}, {"exit_code", 0}}.dump() + "\n"
                                  : certificate_text(document));
    return 0;
}

int print_end(const Invocation& invocation, const json& ended) {
    const int code = ended.value("exit_code", verb_failed);
    const std::string text = ended.value("text", "");
    if (invocation.json) {
        json body = ended.value("details", json::object());
        body["verb"] = invocation.verb;
        body["exit_code"] = code;
        body["text"] = text;
        std::cout << body.dump(2) << "\n";
    } else if (code == 0) {
        std::cout << text << "\n";
    }
    if (code != 0) std::cerr << "segue " << invocation.verb << ": " << text << "\n";
    if (invocation.certificate_file.empty()) return code;
    const Status written = write_certificate(invocation.certificate_file, ended);
    return written ? code : fail(invocation, written.error().detail);
}

// The name must be given by somebody who has read what may be missing.
json ask_confirmation(const Invocation& invocation, const json& refused) {
    std::cerr << refused.value("text", "") << "\n\nThe migration's name: " << std::flush;
    std::string name;
    std::getline(std::cin, name);
    json arguments = invocation.arguments;
    arguments["confirm"] = name;
    return arguments;
}

int remote(const Invocation& invocation, const AdminClient& client) {
    auto ended = do_verb(invocation, client, invocation.arguments);
    if (!ended) return fail(invocation, ended.error().detail);
    const bool ask = invocation.verb == "rollback" && invocation.arguments.value("force", false) &&
                     invocation.arguments.value("confirm", "").empty() && !invocation.json;
    const bool asked =
        ended->is_object() && ended->contains("details") && (*ended)["details"].contains("confirm");
    if (ask && asked) {
        ended = do_verb(invocation, client, ask_confirmation(invocation, *ended));
        if (!ended) return fail(invocation, ended.error().detail);
    }
    return print_end(invocation, *ended);
}

}  // namespace

int run_explain(const Invocation& invocation) {
    const std::string code = invocation.arguments.value("code", "");
    if (invocation.json) {
        const json texts = explain_json(code);
        if (texts.empty()) return usage_error("no such code: " + code);
        std::cout << texts.dump(2) << "\n";
        return 0;
    }
    const std::string text = code.empty() ? explain_all() : explain(code);
    if (text.empty()) {
        const std::string near = nearest_code(code);
        return usage_error(
            "no such code: " + code +
            (near.empty() ? "; `segue explain` lists them" : "; did you mean " + near + "?"));
    }
    std::cout << text;
    return 0;
}

ConfigUse config_use(const Invocation& invocation) {
    for (const char* verb : {"run", "check", "events"}) {
        if (invocation.verb == verb) return ConfigUse::servers;
    }
    return ConfigUse::admin;
}

namespace {

int ask_running(const Invocation& invocation, const AdminClient& client) {
    if (invocation.verb == "auto") return run_auto(invocation, client);
    if (invocation.verb == "status") return status(invocation, client);
    const bool listed = invocation.verb == "statements" &&
                        !invocation.arguments.contains("explain") &&
                        !invocation.arguments.contains("forget");
    return listed ? statements(invocation, client) : remote(invocation, client);
}

}  // namespace

int run_verb(const Invocation& invocation, const Config& config) {
    if (invocation.verb == "check") return check(invocation, config);
    if (invocation.verb == "events") return run_events(invocation, config);
    if (!invocation.check_file.empty()) return check_file(invocation);
    std::string token;
    if (!config.admin_token_file.empty()) {
        auto read = read_token("token_file", config.admin_token_file);
        if (!read) {
            std::cerr << "segue: " << read.error().detail << "\n";
            return 2;
        }
        token = *read;
    }
    const AdminClient client{config.admin, token};
    try {
        return ask_running(invocation, client);
    } catch (const json::exception& strange) {
        return fail(invocation,
                    "`segue run` is of another build, and its answer is not understood: " +
                        std::string{strange.what()});
    }
}

}  // namespace segue::proxy
