// The verbs about reads: which are compared, which the follower answers, and how long it takes.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "proxy/operations.hpp"
#include "proxy/status_reads.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using backfill::ControlRecord;

namespace {

// One that comes and goes is told of so often; `status` has it all the time.
constexpr std::size_t slower_told_max = 1000;

std::string percent_text(double percent) {
    std::string text = std::to_string(percent);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text + " percent";
}

// One list of the arguments. False: it is none.
bool take_names(const nlohmann::json& arguments, const char* key, std::vector<std::string>& into) {
    const auto found = arguments.find(key);
    if (found == arguments.end()) return true;
    if (!found->is_array()) return false;
    for (const auto& one : *found) {
        if (!one.is_string()) return false;
        into.push_back(one.get<std::string>());
    }
    return true;
}

// What `shift` is about from now on: names replace all names that were given before, and without
// any these stay.
Result<router::ShiftScope> wanted_scope(const nlohmann::json& arguments,
                                        const router::ShiftScope& before) {
    router::ShiftScope scope;
    const bool good = take_names(arguments, "users", scope.users) &&
                      take_names(arguments, "applications", scope.applications) &&
                      take_names(arguments, "databases", scope.databases) &&
                      take_names(arguments, "tables", scope.tables);
    if (!good)
        return Error{Errc::bad_value,
                     "expected users, applications, databases and tables as lists of names"};
    const bool everything = arguments.value("everything", nlohmann::json{}) == true;
    if (everything && scope.limited())
        return Error{Errc::bad_value, "expected everything, or names, not both"};
    if (!everything && !scope.limited()) scope = before;
    scope.by = before.by;
    if (const auto by = arguments.find("by"); by != arguments.end()) {
        if (*by != "statements" && *by != "sessions")
            return Error{Errc::bad_value, "expected by: statements or sessions"};
        scope.by = *by == "sessions" ? router::ShareOf::sessions : router::ShareOf::statements;
    }
    if (std::string reason = router::refused_names(scope); !reason.empty())
        return Error{Errc::bad_value, "expected names, but found " + reason};
    return scope;
}

std::string plan_text(const nlohmann::json& plan, Side side, Side authority) {
    std::string text = "\n\nThe " + std::string{name(side)} + "'s plan (" +
                       (side == authority ? "authority" : "follower") + "):";
    if (plan["problem"].is_string())
        return text + "\n  none: " + plan["problem"].get<std::string>();
    for (const auto& line : plan["lines"]) text += "\n  " + line.get<std::string>();
    return text;
}

}  // namespace

VerbResult Operations::set_percent(const Json& arguments,
                                   const std::function<void(router::Knobs&, double)>& change) {
    const Json percent = arguments.value("percent", Json{});
    if (!percent.is_number() || percent.get<double>() < 0 || percent.get<double>() > 100) {
        return {2, "expected a percentage from 0 to 100"};
    }
    const double value = percent.get<double>();
    if (std::string reason = value > 0 ? not_consistent() : not_moving(); !reason.empty())
        return VerbResult::refused(reason);
    const auto written = update_record([&](ControlRecord& record) -> std::string {
        if (value > 0 && record.knobs.paused) return paused_text;
        change(record.knobs, value);
        return allowed;
    });
    if (!written) return VerbResult::refused(written.error().detail);
    Traffic& traffic = parts_.change.traffic;
    traffic.shadow_percent = written->knobs.shadow_percent;
    shift_reads(written->knobs);
    return VerbResult::done(percent_text(value));
}

VerbResult Operations::shadow(const Json& arguments) {
    VerbResult result = set_percent(
        arguments, [](router::Knobs& knobs, double percent) { knobs.shadow_percent = percent; });
    if (result.exit_code != 0) return result;
    if (parts_.change.traffic.shadow_percent == 0) parts_.change.mover.suspect_none();
    result.text = "shadow: " + result.text + " of reads";
    return result;
}

// Names that nothing can be of would shift nothing, and nobody would know why.
std::string Operations::refused_scope(const router::ShiftScope& scope) const {
    const std::string& database = parts_.config.source.database;
    for (const std::string& one : scope.databases) {
        if (!database.empty() && one != database)
            return "database " + one + " is not moved, only " + database + " is";
    }
    const std::vector<backfill::TableProgress> moved = parts_.change.mover.status().tables;
    for (const std::string& one : scope.tables) {
        const protocol::postgres::QualifiedName name = protocol::postgres::parse_table_name(one);
        const bool known = std::any_of(moved.begin(), moved.end(), [&](const auto& table) {
            return table.name == name.name && (name.schema.empty() || table.schema == name.schema);
        });
        if (!known && !moved.empty())
            return "no table " + one + " is moved: `segue status --json` names those that are";
    }
    return {};
}

VerbResult Operations::shift(const Json& arguments) {
    if (std::string reason = not_moving(); !reason.empty()) return VerbResult::refused(reason);
    auto scope = wanted_scope(arguments, parts_.board.read().record->knobs.shift_scope);
    if (!scope) return {2, scope.error().detail};
    if (std::string reason = refused_scope(*scope); !reason.empty())
        return VerbResult::refused(reason);
    VerbResult result = set_percent(arguments, [&](router::Knobs& knobs, double percent) {
        scope = wanted_scope(arguments, knobs.shift_scope);  // As it is on record.
        knobs.shift_percent = percent;
        knobs.shift_scope = percent > 0 ? *scope : router::ShiftScope{};
    });
    if (result.exit_code != 0) return result;
    if (arguments["percent"] <= 0) return VerbResult::done("shift: 0 percent of reads");
    const bool sessions = scope->by == router::ShareOf::sessions;
    const std::string limits = router::describe(*scope);
    result.text = "shift: " + result.text + " of " + (sessions ? "sessions" : "reads") +
                  (limits.empty() ? "" : ", only those " + limits) + slowness_of_follower();
    return result;
}

// [--explain FINGERPRINT | --forget]: without either the admin address answers by itself.
VerbResult Operations::statements(const Json& arguments) {
    if (parts_.figures == nullptr) return VerbResult::refused("no statement is measured here");
    if (std::string reason = not_moving(); !reason.empty()) return VerbResult::refused(reason);
    if (arguments.value("forget", Json{}) == true) {
        parts_.figures->forget();
        return VerbResult::done("the figures of all statements begin anew");
    }
    const Json wanted = arguments.value("explain", Json{});
    if (wanted.is_string()) return explain_statement(wanted.get<std::string>());
    const Json list = statements_json(parts_.figures->all(), Keys::shown);
    return VerbResult::done(statements_text(list), {{"statements", list}});
}

VerbResult Operations::explain_statement(const std::string& text) {
    const auto fingerprint = parse_fingerprint(text);
    if (!fingerprint)
        return {2, "expected a fingerprint of `segue statements`: 16 hexadecimal digits"};
    Json shown;
    for (const Json& one : statements_json(parts_.figures->all())) {
        if (one["fingerprint"] == text) shown = one;
    }
    const auto question = parts_.figures->question(*fingerprint);
    if (!question || shown.is_null())
        return VerbResult::refused(
            "no such statement: `segue statements` lists those that were "
            "executed on both sides");
    if (question->statement.empty() || !question->context || !parts_.plan)
        return VerbResult::refused(
            "it cannot be planned without its values: it is too long, holds a constant in a place "
            "where no parameter can stand, or its sessions have more than " +
            std::to_string(plan_context_bytes_max) + " bytes of settings");
    const Side authority = parts_.board.read().record->authority;
    shown["plans"] = Json::object();
    std::string told = "statement " + text + ": " + shown["statement"].get<std::string>() +
                       "\nthe follower takes " + slowness_text(shown);
    for (const Side side : {authority, other(authority)}) {
        const auto lines = parts_.plan(side, *question);
        Json plan = {{"lines", Json::array()}, {"problem", nullptr}};
        if (lines) {
            plan["lines"] = *lines;
        } else {
            plan["problem"] = lines.error().detail;
        }
        told += plan_text(plan, side, authority);
        shown["plans"][name(side)] = std::move(plan);
    }
    told +=
        "\n\nFor any value, as role " + question->context->role +
        "; nothing was executed. Where a plan is worse, compare indexes, settings and "
        "statistics (ANALYZE) of both sides: `segue rehearse` names an index that is missing on "
        "the target, and how to make it there.";
    return VerbResult::done(told, std::move(shown));
}

// Before anybody feels it: the client waits for the follower from now on.
std::string Operations::slowness_of_follower() const {
    const ShadowReport report = parts_.change.sessions.shadow_report();
    if (report.compared + report.timed == 0)
        return "\nWARNING: no statement has been timed on both sides yet: `segue shadow P` tells "
               "which are slower on the follower before a client waits for them";
    if (report.slower_count == 0) return "";
    const std::string what = counted(report.slower_count, "statement takes", "statements take");
    return "\nWARNING: " + what +
           " longer on the follower than on the authority: `segue statements` lists them, "
           "`segue statements --explain FINGERPRINT` shows both plans";
}

// Once, and again when it is known which rows it is about: without their keys, which are values.
void Operations::note_different(const StatementReport& one) {
    const std::string statement = "statement " + fingerprint_text(one.fingerprint);
    const bool room = different_told_.size() < slower_told_max;
    if (one.different > 0 && room && different_told_.insert(one.fingerprint).second) {
        parts_.change.journal.warning(
            "differs",
            statement + " is answered differently by the follower, confirmed; " +
                (one.rows ? rows_text(*one.rows, Keys::hidden) : "`segue verify` names the rows"));
    }
    if (!one.rows || rows_told_.size() >= slower_told_max) return;
    const bool known =
        one.rows->state != RowsState::waiting && one.rows->state != RowsState::comparing;
    const bool differs = one.rows->state == RowsState::different;
    if (!differs && one.different == 0) return;  // Nobody knows that it does.
    if (!known || !rows_told_.insert({one.fingerprint, one.rows->state}).second) return;
    const std::string text = statement + ": " + rows_text(*one.rows, Keys::hidden) +
                             (differs ? "; `segue statements` names the keys, `segue repair` mends "
                                        "the rows"
                                      : "");
    if (differs)
        parts_.change.journal.warning("differs", text);
    else
        parts_.change.journal.event("differs", text);
}

void Operations::note_slower() {
    const ShadowReport report = parts_.change.sessions.shadow_report();
    if (report.statements.empty()) {  // The figures have begun anew.
        slower_told_.clear();
        different_told_.clear();
        rows_told_.clear();
    }
    for (const StatementReport& one : report.statements) note_different(one);
    for (const StatementReport& one : report.slower) {
        if (slower_told_.size() >= slower_told_max) return;
        if (!slower_told_.insert(one.fingerprint).second) continue;
        const std::string name = fingerprint_text(one.fingerprint);
        parts_.change.journal.warning(
            "slower",
            "statement " + name +
                " takes longer on the follower: " + slowness_text(statements_json({one})[0]) +
                "; `segue statements --explain " + name + "` shows both plans");
    }
}

}  // namespace segue::proxy
