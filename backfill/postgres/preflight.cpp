// `segue check` for PostgreSQL: the rules of one query (preflight_rules), and what needs both
// sides.

#include "backfill/preflight.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/pg_tools.hpp"
#include "backfill/postgres/preflight_pair.hpp"
#include "backfill/postgres/preflight_rules.hpp"
#include "backfill/postgres/preflight_types.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill {

namespace postgres {
namespace {

constexpr int version_min = 130000;

// What the rules call `moved`: what read_tables moves; and every user relation.
constexpr const char* relations_prefix = R"sql(
    WITH all_relations AS (
        SELECT c.oid, n.nspname AS schema, c.relname AS name, n.nspname || '.' || c.relname AS label
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND c.relkind IN ('r', 'p', 'f', 'm')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
          AND n.nspname || '.' || c.relname <> ALL ($1::text[])),
    moved AS (SELECT a.* FROM all_relations a JOIN pg_class c USING (oid)
              WHERE c.relkind = 'r' AND c.relpersistence = 'p')
)sql";

std::string object_on(Side side, std::string_view object) {
    std::string text{name(side)};
    if (!object.empty()) text += ": " + std::string{object};
    return text;
}

bool applies(Where where, Side side) {
    switch (where) {
        case Where::both:
            return true;
        case Where::source:
            return side == Side::source;
        case Where::target:
            return side == Side::target;
    }
    return true;
}

std::string connect_remedy(const Error& error) {
    const auto says = [&](const char* words) {
        return error.detail.find(words) != std::string::npos;
    };
    if (says("server does not support SSL")) {
        return "switch TLS on there (ssl = on, with ssl_cert_file and ssl_key_file, and reload), "
               "or relax sslmode in the URL";
    }
    if (says("certificate") || says("SSL error")) {
        return "name the CA that signed the server's certificate by sslrootcert in the URL, and "
               "the host as the certificate"
               " names it; or relax sslmode";
    }
    if (says("too many clients") || says("connection slots are reserved") ||
        says("too many connections")) {
        return "end connections that nobody needs, or raise the limit (max_connections takes "
               "effect with a restart)";
    }
    if (says("starting up") || says("shutting down") || says("not yet accepting connections")) {
        return "wait until the server is up and accepts connections";
    }
    if (says("password authentication failed") || says("no password supplied")) {
        return "correct the user or password of the URL (or its passfile or password_env)";
    }
    if (says("does not exist")) return "create it, or correct the URL";
    if (says("not permitted to log in")) return "ALTER ROLE ... LOGIN; or correct the URL";
    if (says("no pg_hba.conf entry")) {
        return "allow Segue's host in the server's pg_hba.conf, for the database and for "
               "replication";
    }
    return "start the server, or correct host and port of the URL";
}

Connection::Options options() {
    Connection::Options result;
    result.application_name = "segue check";
    // A lock held on a table must not hold the check up.
    result.settings = {{"lock_timeout", "2000"}, {"statement_timeout", "30000"}};
    return result;
}

void run_rules(Side side,
               Connection& connection,
               const std::string& excluded,
               std::vector<Finding>& findings) {
    for (const Rule& rule : preflight_rules()) {
        if (!applies(rule.where, side)) continue;
        const auto rows =
            connection.execute(std::string{relations_prefix} + std::string{rule.sql}, {excluded});
        if (!rows) {  // What could not be examined is not known to be safe.
            findings.push_back({Severity::fail,
                                std::string{rule.code},
                                object_on(side, ""),
                                "could not be examined: " + rows.error().detail,
                                "grant what is missing and check again"});
            continue;
        }
        for (int row = 0; row < rows->size(); ++row) {
            findings.push_back({rule.severity,
                                std::string{rule.code},
                                object_on(side, rows->at(row, 0)),
                                rows->text(row, 1),
                                rows->text(row, 2)});
        }
    }
}

// Only trying tells on every version whether the role may set it; it is the session's own setting.
void check_replica_role(Side side, Connection& connection, std::vector<Finding>& findings) {
    const auto set = connection.execute("SET session_replication_role = replica");
    const auto reset = connection.execute("RESET session_replication_role");
    if (set && reset) return;
    const std::string role = quote_identifier(PQuser(connection.raw()));
    findings.push_back(
        {Severity::fail,
         "replica_role",
         object_on(side, ""),
         "our role may not set session_replication_role; foreign keys and triggers would act twice",
         connection.server_version() >= 150000
             ? "GRANT SET ON PARAMETER session_replication_role TO " + role + ";"
             : "ALTER ROLE " + role + " SUPERUSER;"});
}

void check_without_key(Connection& source,
                       const std::string& excluded,
                       bool full,
                       std::vector<Finding>& findings) {
    const auto rows = source.execute(std::string{relations_prefix} + R"sql(
        SELECT m.label, format('%s', m.oid::regclass) FROM moved m JOIN pg_class c USING (oid)
        WHERE c.relreplident IN ('d', 'f') AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = m.oid
              AND i.indisprimary AND i.indimmediate AND i.indisvalid)
          AND ($2 OR c.relreplident = 'd') ORDER BY 1)sql",
                                     {excluded, full ? "t" : "f"});
    if (!rows)
        return findings.push_back(
            {Severity::fail, "without_key", "source", rows.error().detail, ""});
    for (int row = 0; row < rows->size(); ++row) {
        const std::string table = rows->text(row, 1);
        findings.push_back(
            full ? Finding{Severity::information,
                           "without_key",
                           object_on(Side::source, rows->at(row, 0)),
                           "no primary key: REPLICA IDENTITY FULL is set until finish; updates and "
                           "deletes find their"
                           " row by all its values, one after the other",
                           "add a primary key if it is updated often"}
                 : Finding{Severity::fail,
                           "without_key",
                           object_on(Side::source, rows->at(row, 0)),
                           "no primary key, and [tables] without_key is \"refuse\"",
                           "ALTER TABLE " + table +
                               " ADD PRIMARY KEY (...);  -- or without_key = \"full\""});
    }
}

// A misspelt name would leave the table in the move without a word.
void check_excluded(Connection& source,
                    const std::string& excluded,
                    std::vector<Finding>& findings) {
    const auto rows = source.execute(
        "SELECT e.label FROM unnest($1::text[]) AS e(label) WHERE NOT EXISTS (SELECT FROM pg_class "
        "c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = e.label AND c.relkind "
        "NOT IN ('i', 'I', 't', 'c'))",
        {excluded});
    if (!rows)
        return findings.push_back(
            {Severity::fail, "exclude_unknown", "source", rows.error().detail, ""});
    for (int row = 0; row < rows->size(); ++row) {
        findings.push_back({Severity::fail,
                            "exclude_unknown",
                            object_on(Side::source, rows->at(row, 0)),
                            "[tables] exclude names it, and there is no such table",
                            "write \"schema.table\" as the source's catalog spells it, without "
                            "quotes, or strike it out"});
    }
}

void list_what_is_created(const ServerSettings& settings, std::vector<Finding>& findings) {
    for (const Side side : {Side::source, Side::target}) {
        findings.push_back({Severity::information,
                            "creates",
                            object_on(side, ""),
                            "Segue creates schema segue, publication " +
                                publication_name(settings.migration) + ", slot " +
                                slot_name(settings.migration, side) +
                                " and a fence trigger on every moved table; finish removes them",
                            ""});
    }
    if (settings.sync_roles) {
        findings.push_back(
            {Severity::information,
             "creates_roles",
             "target",
             "missing roles are created and differing password verifiers are set to the source's",
             "[target] roles = \"keep\" touches none"});
    }
}

std::optional<Connection> connect(Side side,
                                  const ServerSettings& settings,
                                  std::vector<Finding>& findings) {
    auto connection = Connection::open(settings.url[index(side)], options());
    if (!connection) {
        findings.push_back({Severity::fail,
                            "connect",
                            object_on(side, ""),
                            connection.error().detail,
                            connect_remedy(connection.error())});
        return std::nullopt;
    }
    return std::move(*connection);
}

void check_tools(const ServerSettings& settings,
                 const Connection& source,
                 std::vector<Finding>& findings) {
    const auto tools = find_pg_tools(settings.pg_bin, source.server_version());
    if (!tools)
        findings.push_back({Severity::fail, "pg_dump", "segue's host", tools.error().detail, ""});
}

void check_version(Side side, const Connection& connection, std::vector<Finding>& findings) {
    if (connection.server_version() >= version_min) return;
    findings.push_back(
        {Severity::fail,
         "version",
         object_on(side, ""),
         "PostgreSQL " + std::to_string(connection.server_version() / 10000) + " is older than 13",
         "upgrade it first, or dump and restore"});
}

}  // namespace
}  // namespace postgres

Result<std::vector<Finding>> postgres_preflight(const ServerSettings& settings) {
    using namespace postgres;
    std::vector<Finding> findings;
    const std::string excluded = text_array(settings.exclude);
    std::array<std::optional<Connection>, 2> connections;
    for (const Side side : {Side::source, Side::target}) {
        auto& connection = connections[index(side)] = connect(side, settings, findings);
        if (!connection) continue;
        check_version(side, *connection, findings);
        check_replica_role(side, *connection, findings);
        run_rules(side, *connection, excluded, findings);
    }
    auto& [source, target] = connections;
    if (source) {
        check_excluded(*source, excluded, findings);
        check_without_key(*source, excluded, settings.full_identity_without_key, findings);
        check_tools(settings, *source, findings);
    }
    if (source && target) {
        check_pair(settings, *source, *target, findings);
        check_types(*source, *target, findings);
    }
    list_what_is_created(settings, findings);
    std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
        return a.severity < b.severity;
    });
    return findings;
}

}  // namespace segue::backfill
