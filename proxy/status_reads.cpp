#include "proxy/status_reads.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace segue::proxy {

using nlohmann::json;
using std::chrono::microseconds;

namespace {

constexpr std::size_t fingerprint_digits = 16;

double milliseconds(microseconds duration) { return static_cast<double>(duration.count()) / 1000; }

json latency_json(const router::Latency& latency, double rows) {
    return {{"samples", latency.count},
            {"mean_ms", milliseconds(latency.mean)},
            {"p50_ms", milliseconds(latency.p50)},
            {"p95_ms", milliseconds(latency.p95)},
            {"p99_ms", milliseconds(latency.p99)},
            {"rows", rows}};
}

// Three digits that matter.
std::string short_number(double number) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, number < 1000 ? "%.3g" : "%.0f", number);
    return buffer;
}

std::string percentiles(const json& side) {
    std::string text;
    for (const char* key : {"p50_ms", "p95_ms", "p99_ms"})
        text += (text.empty() ? "" : " / ") + short_number(side.at(key).get<double>());
    return text;
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text + "  ";
}

}  // namespace

std::string fingerprint_text(std::uint64_t fingerprint) {
    char buffer[fingerprint_digits + 1];
    std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(fingerprint));
    return buffer;
}

std::optional<std::uint64_t> parse_fingerprint(const std::string& text) {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value, 16);
    const bool good = text.size() == fingerprint_digits && error == std::errc{} && stopped == end;
    return good ? std::optional{value} : std::nullopt;
}

json statements_json(const std::vector<StatementReport>& statements, Keys keys) {
    json list = json::array();
    for (const StatementReport& one : statements) {
        list.push_back({{"fingerprint", fingerprint_text(one.fingerprint)},
                        {"statement", one.statement},
                        {"compared", one.compared},
                        {"different", one.different},
                        {"unconfirmed", one.unconfirmed},
                        {"timed", one.timed},
                        {"slower", one.slower},
                        {"ratio", router::slowdown(one.authority, one.follower)},
                        {"authority_ms", milliseconds(one.authority.mean)},
                        {"follower_ms", milliseconds(one.follower.mean)},
                        {"authority", latency_json(one.authority, one.authority_rows)},
                        {"follower", latency_json(one.follower, one.follower_rows)},
                        {"rows", rows_json(one.rows, keys)}});
    }
    return list;
}

json shadow_json(const ShadowReport& shadow, json percent) {
    return {{"percent", std::move(percent)},
            {"compared", shadow.compared},
            {"equal", shadow.equal},
            {"different", shadow.different},
            {"unconfirmed", shadow.unconfirmed},
            {"timed", shadow.timed},
            {"shed", shadow.shed},
            {"unmeasured", shadow.unmeasured},
            {"slower_count", shadow.slower_count},
            {"slower", statements_json(shadow.slower)},
            {"tables", suspects_json(shadow.suspects)}};
}

json shift_json(const ShiftReport& shift, const router::ShiftScope& scope, json percent) {
    const bool sessions = scope.by == router::ShareOf::sessions;
    const auto of_sessions = [&](std::uint64_t count) {
        return sessions ? json(count) : json(nullptr);
    };
    return {{"percent", std::move(percent)},
            {"by", name(scope.by)},
            {"users", scope.users},
            {"applications", scope.applications},
            {"databases", scope.databases},
            {"tables", scope.tables},
            {"limits", router::describe(scope)},
            {"sessions_chosen", of_sessions(shift.sessions_chosen)},
            {"sessions_reading", of_sessions(shift.sessions_reading)},
            {"served_by_follower", shift.served_by_follower},
            {"fallbacks", shift.fallbacks}};
}

std::string slowness_text(const json& statement) {
    return short_number(statement.at("ratio").get<double>()) +
           " times (p50 / p95 / p99 ms: " + percentiles(statement.at("authority")) +
           " on the authority, " + percentiles(statement.at("follower")) + " on the follower)";
}

// An older process tells nothing of the rows.
std::string differs_text(const json& statement) {
    const auto count = [&](const char* key) {
        return std::to_string(statement.at(key).get<std::uint64_t>());
    };
    const bool confirmed = statement.at("different") != 0;
    std::string text =
        confirmed ? "DIFFERS " + count("different") : "unconfirmed " + count("unconfirmed");
    text += " of " + count("compared");
    if (const auto rows = statement.find("rows"); rows != statement.end() && rows->is_object())
        text += ": " + rows->value("text", "");
    return text;
}

std::string statements_text(const json& statements) {
    if (statements.empty())
        return "No statement has been executed on both sides yet: `segue shadow P` does that with "
               "P percent of the reads.\n";
    constexpr std::size_t samples_width = 7, times_width = 20, ratio_width = 6;
    std::string text = padded("fingerprint", fingerprint_digits) +
                       padded("samples", samples_width) + padded("authority ms", times_width) +
                       padded("follower ms", times_width) + padded("ratio", ratio_width) +
                       "statement\n";
    text += padded("", fingerprint_digits) + padded("", samples_width) +
            padded("p50 / p95 / p99", times_width) + padded("p50 / p95 / p99", times_width) + "\n";
    for (const json& one : statements) {
        text += padded(one.at("fingerprint"), fingerprint_digits) +
                padded(std::to_string(one.at("follower").at("samples").get<std::uint64_t>()),
                       samples_width) +
                padded(percentiles(one.at("authority")), times_width) +
                padded(percentiles(one.at("follower")), times_width) +
                padded(short_number(one.at("ratio").get<double>()), ratio_width) +
                (one.at("slower") == true ? "SLOWER  " : "") +
                one.at("statement").get<std::string>() + "\n";
        if (const auto rows = one.find("rows"); rows != one.end() && rows->is_object())
            text += padded("", fingerprint_digits) + differs_text(one) + "\n";
    }
    return text;
}

}  // namespace segue::proxy
