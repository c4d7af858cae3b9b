#include "backfill/postgres/preflight_settings.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "router/counted.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr long long spare_connections = 20;  // Segue's own, and those reserved for superusers.

struct Setting {
    std::string value, origin;
};
using ServerState = std::map<std::string, Setting>;

// Those that change what a statement means or answers, and those whose difference is looked at
// below; and enable_*.
constexpr std::string_view settings_read[] = {"TimeZone",
                                              "DateStyle",
                                              "IntervalStyle",
                                              "lc_monetary",
                                              "lc_numeric",
                                              "lc_time",
                                              "default_text_search_config",
                                              "standard_conforming_strings",
                                              "backslash_quote",
                                              "array_nulls",
                                              "bytea_output",
                                              "extra_float_digits",
                                              "transform_null_equals",
                                              "xmlbinary",
                                              "xmloption",
                                              "search_path",
                                              "row_security",
                                              "default_transaction_isolation",
                                              "default_transaction_deferrable",
                                              "statement_timeout",
                                              "lock_timeout",
                                              "idle_in_transaction_session_timeout",
                                              "idle_session_timeout",
                                              "transaction_timeout",
                                              "timezone_abbreviations",
                                              "lo_compat_privileges",
                                              "quote_all_identifiers",
                                              "shared_preload_libraries",
                                              "session_preload_libraries",
                                              "max_connections",
                                              "max_prepared_transactions",
                                              "server_version_num",
                                              "random_page_cost",
                                              "seq_page_cost",
                                              "effective_cache_size",
                                              "work_mem",
                                              "hash_mem_multiplier",
                                              "jit",
                                              "jit_above_cost",
                                              "default_statistics_target",
                                              "join_collapse_limit",
                                              "from_collapse_limit",
                                              "plan_cache_mode",
                                              "cursor_tuple_fraction",
                                              "constraint_exclusion",
                                              "geqo",
                                              "geqo_threshold",
                                              "max_parallel_workers_per_gather"};

bool is_read(std::string_view name) {
    return name.starts_with("enable_") ||
           std::find(std::begin(settings_read), std::end(settings_read), name) !=
               std::end(settings_read);
}

// A session of Segue's own kind would see its own values. What is asked on the path of the
// database is all qualified, and no operator is looked up by it: who may make some could act as
// Segue's role.
constexpr const char* settings_query = "SELECT name, setting, source FROM pg_catalog.pg_settings";

// They decide how an answer is found, not what it is.
bool is_of_the_planner(const std::string& name) {
    constexpr std::string_view names[] = {"random_page_cost",
                                          "seq_page_cost",
                                          "effective_cache_size",
                                          "work_mem",
                                          "hash_mem_multiplier",
                                          "jit",
                                          "jit_above_cost",
                                          "default_statistics_target",
                                          "join_collapse_limit",
                                          "from_collapse_limit",
                                          "plan_cache_mode",
                                          "cursor_tuple_fraction",
                                          "constraint_exclusion",
                                          "geqo",
                                          "geqo_threshold",
                                          "max_parallel_workers_per_gather"};
    return name.starts_with("enable_") ||
           std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_compared(const std::string& name) {
    return name != "shared_preload_libraries" && name != "session_preload_libraries" &&
           name != "max_connections" && name != "max_prepared_transactions" &&
           name != "server_version_num";
}

std::optional<ServerState> read_settings(const std::string& url, std::vector<Finding>& findings) {
    auto connection = Connection::open(
        url, {.application_name = "segue check", .settings = {}, .normalised = false});
    if (!connection) return std::nullopt;  // Said by `connect`.
    const auto rows = connection->execute(settings_query);
    if (!rows) {
        findings.push_back({Severity::fail,
                            "databases",
                            "settings",
                            "could not be examined: " + rows.error().detail,
                            "check again"});
        return std::nullopt;
    }
    ServerState state;
    for (int row = 0; row < rows->size(); ++row) {
        if (is_read(rows->at(row, 0)))
            state[rows->text(row, 0)] = {rows->text(row, 1), rows->text(row, 2)};
    }
    return state;
}

std::string value_of(const ServerState& state, const std::string& name) {
    const auto found = state.find(name);
    return found == state.end() ? "" : found->second.value;
}

long long number_of(const ServerState& state, const std::string& name) {
    const std::string text = value_of(state, name);
    return text.empty() ? 0 : std::strtoll(text.c_str(), nullptr, 10);
}

// A list of names must not become one name.
std::string as_value(const std::string& name, const std::string& value) {
    return name == "search_path" ? value : quote_literal(value);
}

void compare_values(const ServerSettings& settings,
                    const ServerState& source,
                    const ServerState& target,
                    const std::string& database,
                    std::vector<Finding>& findings) {
    for (const auto& [name, setting] : source) {
        const auto there = target.find(name);
        if (!is_compared(name) || there == target.end()) continue;
        if (there->second.value == setting.value) continue;
        // Those of databases and roles are carried with the roles.
        const bool carried = setting.origin == "database" || setting.origin == "user" ||
                             setting.origin == "database user";
        if (carried && settings.sync_roles) continue;
        Severity severity = Severity::warn;
        FindingCode code = "setting_differs";
        if (is_of_the_planner(name)) {
            severity = Severity::information;
            code = "planner_differs";
        }
        findings.push_back({severity,
                            code,
                            "target: setting " + name,
                            "it is " + there->second.value + ", on the source " + setting.value,
                            "ALTER DATABASE " + quote_identifier(database) + " SET " + name +
                                " = " + as_value(name, setting.value) + ";  -- on the target"});
    }
}

std::vector<std::string> words_of(const std::string& list) {
    std::vector<std::string> words;
    std::istringstream parts{list};
    for (std::string part; std::getline(parts, part, ',');) {
        std::erase_if(part, [](char c) { return c == ' ' || c == '"'; });
        if (!part.empty()) words.push_back(part);
    }
    return words;
}

void compare_libraries(const ServerState& source,
                       const ServerState& target,
                       std::vector<Finding>& findings) {
    for (const char* name : {"shared_preload_libraries", "session_preload_libraries"}) {
        if (!source.contains(name) || !target.contains(name)) continue;  // Hidden from our role.
        const auto there = words_of(value_of(target, name));
        for (const std::string& library : words_of(value_of(source, name))) {
            if (std::find(there.begin(), there.end(), library) != there.end()) continue;
            std::string all = value_of(target, name);
            all += (all.empty() ? "" : ",") + library;
            findings.push_back(
                {Severity::warn,
                 "preload_library",
                 "target: library " + library,
                 "the source loads it by " + std::string{name} + ", the target does not",
                 "ALTER SYSTEM SET " + std::string{name} + " = " + all +
                     ";  -- on the target; takes effect with a restart of it"});
        }
    }
}

// The mover is let in all the same where it is a superuser; the application is not.
void compare_connection_limits(Connection& source,
                               Connection& target,
                               std::vector<Finding>& findings) {
    constexpr const char* query =
        "SELECT datconnlimit FROM pg_database WHERE datname = current_database()";
    const auto from = source.execute(query);
    const auto to = target.execute(query);
    if (!from || !to) return;
    const auto limit = to->number(0, 0), of_source = from->number(0, 0);
    if (limit < 0 || (of_source >= 0 && of_source <= limit)) return;
    findings.push_back({Severity::warn,
                        "max_connections",
                        "target: database " + std::string{PQdb(target.raw())},
                        "its CONNECTION LIMIT is " + std::to_string(limit) + ", the source's " +
                            (of_source < 0 ? "none" : std::to_string(of_source)),
                        "ALTER DATABASE " + quote_identifier(PQdb(target.raw())) +
                            " CONNECTION LIMIT " + std::to_string(of_source) +
                            ";  -- on the target"});
}

void compare_limits(const ServerState& source,
                    const ServerState& target,
                    Connection& sessions_of,
                    Connection& target_link,
                    std::vector<Finding>& findings) {
    const long long from = number_of(source, "max_connections");
    const long long to = number_of(target, "max_connections");
    if (to < from) {
        const auto rows = sessions_of.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND application_name NOT LIKE 'segue%'");
        const long long now = rows ? rows->number(0, 0) : 0;
        const bool too_few = to < now + spare_connections;
        findings.push_back(
            {too_few ? Severity::fail : Severity::warn,
             "max_connections",
             "target",
             "max_connections is " + std::to_string(to) + ", the source's " + std::to_string(from) +
                 "; " + counted(now, "session is", "sessions are") +
                 " connected there now, and Segue needs up to " + std::to_string(spare_connections),
             "ALTER SYSTEM SET max_connections = " + std::to_string(from) +
                 ";  -- on the target; takes effect with a restart of it"});
    }
    compare_connection_limits(sessions_of, target_link, findings);
    const std::string two_phase = value_of(source, "max_prepared_transactions");
    if (two_phase == "0" || number_of(target, "max_prepared_transactions") > 0) return;
    findings.push_back({Severity::warn,
                        "two_phase",
                        "target",
                        "max_prepared_transactions is 0 there and not on the source: PREPARE "
                        "TRANSACTION would fail after the cutover",
                        "ALTER SYSTEM SET max_prepared_transactions = " + two_phase +
                            ";  -- on the target; takes effect with a restart of it"});
}

void compare_money(const ServerState& source,
                   const ServerState& target,
                   Connection& connection,
                   std::vector<Finding>& findings) {
    const std::string from = value_of(source, "lc_monetary"), to = value_of(target, "lc_monetary");
    if (from == to) return;
    const auto rows = connection.execute(R"sql(
        SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
        WHERE 'money'::regtype IN (a.atttypid, t.typbasetype, t.typelem) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue') ORDER BY 1)sql");
    if (!rows) return;
    for (int row = 0; row < rows->size(); ++row) {
        findings.push_back({Severity::warn,
                            "money_locale",
                            "source: " + rows->text(row, 0),
                            "it has a money column; lc_monetary is " + from + " there and " + to +
                                " on the target",
                            "ALTER DATABASE " + quote_identifier(PQdb(connection.raw())) +
                                " SET lc_monetary = " + quote_literal(from) +
                                ";  -- on the target"});
    }
}

// The rules of the operating system or of ICU, not the database's choice of them.
void compare_collations(Connection& source, Connection& target, std::vector<Finding>& findings) {
    // What a database was made with is on record from 15 on.
    if (source.server_version() < 150000 || target.server_version() < 150000) return;
    constexpr const char* query =
        "SELECT coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datcollate),"
        " to_jsonb(d)->>'datlocprovider', pg_database_collation_actual_version(d.oid)"
        " FROM pg_database d WHERE d.datname = current_database()";
    const auto from = source.execute(query);
    const auto to = target.execute(query);
    if (!from || !to || from->null(0, 2) || to->null(0, 2)) return;
    const bool same_rules = from->at(0, 0) == to->at(0, 0) && from->at(0, 1) == to->at(0, 1);
    if (!same_rules || from->at(0, 2) == to->at(0, 2)) return;  // Others are said by `collation`.
    findings.push_back({Severity::warn,
                        "collation_versions_differ",
                        "target",
                        "collation " + from->text(0, 0) + " has version " + to->text(0, 2) +
                            " there, " + from->text(0, 2) + " on the source",
                        "segue shadow 10  # after the copy: shows reads that answer differently"});
}

// ALTER ROLE ... SET and ALTER DATABASE ... SET of what the newer version has no more.
void check_carried(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto used = source.execute(R"sql(
        SELECT DISTINCT split_part(c, '=', 1) FROM pg_db_role_setting s, unnest(s.setconfig) c
        WHERE strpos(split_part(c, '=', 1), '.') = 0 ORDER BY 1)sql");
    if (!used) return;
    for (int row = 0; row < used->size(); ++row) {
        const auto known =
            target.execute("SELECT current_setting($1, true) IS NOT NULL", {used->text(row, 0)});
        if (!known || known->truth(0, 0)) continue;
        findings.push_back({Severity::warn,
                            "setting_unknown",
                            "target: setting " + used->text(row, 0),
                            "roles or databases of the source have it set, and the target's "
                            "version does not know it: it is left out",
                            "ALTER ROLE ... RESET " + used->text(row, 0) +
                                ";  -- or ALTER DATABASE, on the source"});
    }
}

}  // namespace

void check_settings(const ServerSettings& settings,
                    Connection& source,
                    Connection& target,
                    std::vector<Finding>& findings) {
    check_carried(source, target, findings);
    compare_collations(source, target, findings);
    const auto from = read_settings(settings.url[index(Side::source)], findings);
    const auto to = read_settings(settings.url[index(Side::target)], findings);
    if (!from || !to) return;
    compare_values(settings, *from, *to, PQdb(target.raw()), findings);
    compare_libraries(*from, *to, findings);
    compare_limits(*from, *to, source, target, findings);
    compare_money(*from, *to, source, findings);
}

void check_collations(Side side, Connection& connection, std::vector<Finding>& findings) {
    // What the database was made with is on record from 15 on.
    const char* of_database =
        connection.server_version() >= 150000
            ? "SELECT 'the database''s collation', datcollversion, actual,"
              " format('REINDEX DATABASE %I; ALTER DATABASE %I REFRESH COLLATION VERSION;', "
              "datname, datname)"
              " FROM pg_database, pg_database_collation_actual_version(oid) actual"
              " WHERE datname = current_database() AND datcollversion <> actual UNION ALL "
            : "";
    const auto rows = connection.execute(std::string{of_database} + R"sql(
        SELECT 'collation ' || c.oid::regcollation, collversion, pg_collation_actual_version(c.oid),
               format('REINDEX DATABASE %I; ALTER COLLATION %s REFRESH VERSION;', current_database(), c.oid::regcollation)
        FROM pg_collation c WHERE collversion <> pg_collation_actual_version(c.oid)
          AND EXISTS (SELECT FROM pg_attribute a WHERE a.attcollation = c.oid AND a.attrelid >= 16384))sql");
    if (!rows) return;  // A collation without a version is none that could have changed.
    for (int row = 0; row < rows->size(); ++row) {
        findings.push_back({Severity::warn,
                            "collation_version",
                            std::string{name(side)} + ": " + rows->text(row, 0),
                            "indexes were built with version " + rows->text(row, 1) +
                                ", the server now has " + rows->text(row, 2) +
                                ": they may be in the wrong order",
                            rows->text(row, 3)});
    }
}

}  // namespace segue::backfill::postgres
