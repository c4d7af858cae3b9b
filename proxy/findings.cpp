#include "proxy/findings.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace segue::proxy {

using backfill::Finding;
using backfill::Severity;

namespace {

constexpr std::size_t code_width = 24;

std::string_view word(Severity severity) {
    switch (severity) {
        case Severity::fail:
            return "fail";
        case Severity::warn:
            return "warn";
        case Severity::information:
            return "information";
    }
    return "";
}

std::string_view mark(Severity severity, bool colours) {
    switch (severity) {
        case Severity::fail:
            return colours ? "\033[1;31mFAIL\033[0m" : "FAIL";
        case Severity::warn:
            return colours ? "\033[33mwarn\033[0m" : "warn";
        case Severity::information:
            return colours ? "\033[2minfo\033[0m" : "info";
    }
    return "";
}

// Continued lines are indented like the first.
std::string indented(const std::string& text, const std::string& indent) {
    std::string result = indent;
    for (const char c : text) {
        result.push_back(c);
        if (c == '\n') result += indent;
    }
    return result + "\n";
}

}  // namespace

bool has_failure(const std::vector<Finding>& findings) {
    return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
        return finding.severity == Severity::fail;
    });
}

std::string failures_line(const std::vector<Finding>& findings) {
    std::string line;
    for (const Finding& finding : findings) {
        if (finding.severity != Severity::fail) continue;
        line += (line.empty() ? "" : ", ") + std::string{finding.code.name()} + " (" +
                finding.object + ")";
    }
    return line;
}

std::string findings_text(const std::vector<Finding>& findings, FindingsShown shown, bool colours) {
    std::string text;
    std::size_t counts[3] = {0, 0, 0};
    for (const Severity severity : {Severity::fail, Severity::warn, Severity::information}) {
        for (const Finding& finding : findings) {
            if (finding.severity != severity) continue;
            ++counts[static_cast<std::size_t>(severity)];
            if (shown == FindingsShown::failures && severity != Severity::fail) continue;
            std::string code{finding.code.name()};
            code.resize(std::max(code_width, code.size()), ' ');
            text +=
                std::string{mark(severity, colours)} + "  " + code + "  " + finding.object + "\n";
            if (finding.accepted)
                text += indented("accepted by the configuration" +
                                     (finding.accepted->empty() ? "" : ": " + *finding.accepted),
                                 "      ");
            if (!finding.reason.empty()) text += indented(finding.reason, "      ");
            if (!finding.remedy.empty()) text += indented(finding.remedy, "      -> ");
        }
    }
    if (shown == FindingsShown::all) {
        text += std::to_string(counts[0]) + " failed, " + std::to_string(counts[1]) +
                (counts[1] == 1 ? " warning, " : " warnings, ") + std::to_string(counts[2]) +
                " notes; `segue explain CODE` tells more of each\n";
    }
    return text;
}

nlohmann::json findings_json(const std::vector<Finding>& findings) {
    nlohmann::json list = nlohmann::json::array();
    for (const Finding& finding : findings) {
        list.push_back({{"severity", word(finding.severity)},
                        {"code", finding.code.name()},
                        {"object", finding.object},
                        {"reason", finding.reason},
                        {"remedy", finding.remedy},
                        {"accepted", finding.accepted.has_value()},
                        {"accepted_reason", finding.accepted.value_or("")}});
    }
    return {{"ok", !has_failure(findings)}, {"findings", std::move(list)}};
}

}  // namespace segue::proxy
