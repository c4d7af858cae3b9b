// `segue check` for PostgreSQL: the rules of one query (preflight_rules), and what needs both
// sides.

#include "backfill/preflight.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/pg_tools.hpp"
#include "backfill/postgres/preflight_excluded.hpp"
#include "backfill/postgres/preflight_functions.hpp"
#include "backfill/postgres/preflight_keys.hpp"
#include "backfill/postgres/preflight_live.hpp"
#include "backfill/postgres/preflight_pair.hpp"
#include "backfill/postgres/preflight_rules.hpp"
#include "backfill/postgres/preflight_settings.hpp"
#include "backfill/postgres/preflight_target.hpp"
#include "backfill/postgres/preflight_types.hpp"
#include "backfill/postgres/preflight_versions.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill {

namespace postgres {
namespace {

constexpr int version_min = 130000;
constexpr int version_unknown = 190000;
// The rule about prepared transactions says the same of their age.
constexpr std::chrono::milliseconds prepared_age{2200}, prepared_pause{100};

// What the rules may use (preflight_rules.hpp). $1: the excluded tables; $2, $3: our slot and
// publication; $4: the cap on retained log; $5: the side.
constexpr const char* relations_prefix = R"sql(
    WITH all_relations AS (
        SELECT c.oid, n.nspname AS schema, c.relname AS name, n.nspname || '.' || c.relname AS label
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND c.relkind IN ('r', 'p', 'f', 'm')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
          AND n.nspname || '.' || c.relname <> ALL ($1::text[])
          AND NOT (c.relispartition AND $1::text[] <> '{}' AND EXISTS (
              SELECT FROM pg_partition_ancestors(c.oid) a JOIN pg_class p ON p.oid = a.relid
              JOIN pg_namespace pn ON pn.oid = p.relnamespace
              WHERE pn.nspname || '.' || p.relname = ANY ($1::text[])))),
    moved AS (SELECT a.* FROM all_relations a JOIN pg_class c USING (oid)
              WHERE c.relkind = 'r' AND c.relpersistence = 'p'),
    ours AS (SELECT $2::text AS slot, $3::text AS publication, $4::bigint AS retained_log_bytes,
             $5::boolean AS on_source)
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
               const ServerSettings& settings,
               std::vector<Finding>& findings) {
    const Parameters parameters = {text_array(settings.exclude),
                                   slot_name(settings.migration, side),
                                   publication_name(settings.migration),
                                   std::to_string(settings.retained_log_bytes_max),
                                   side == Side::source ? "true" : "false"};
    for (const Rule& rule : preflight_rules()) {
        if (!applies(rule.where, side)) continue;
        const auto rows =
            connection.execute(std::string{relations_prefix} + std::string{rule.sql}, parameters);
        if (!rows) {  // What could not be examined is not known to be safe.
            findings.push_back({Severity::fail,
                                rule.code,
                                object_on(side, ""),
                                "could not be examined: " + rows.error().detail,
                                "grant what is missing and check again"});
            continue;
        }
        for (int row = 0; row < rows->size(); ++row) {
            findings.push_back({rule.severity,
                                rule.code,
                                object_on(side, rows->at(row, 0)),
                                rows->text(row, 1),
                                rows->text(row, 2)});
        }
    }
}

// Those that a rule would take for left behind if they stay; most are about to end.
void await_young_prepared(Connection& connection) {
    const auto deadline = std::chrono::steady_clock::now() + prepared_age;
    while (std::chrono::steady_clock::now() < deadline) {
        const auto young = connection.execute(
            "SELECT FROM pg_prepared_xacts WHERE prepared >= now() - interval '2 seconds' LIMIT 1");
        if (!young || young->size() == 0) return;
        std::this_thread::sleep_for(prepared_pause);
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

std::string more_for_ddl(const std::string& migration) {
    return ", and where its role is superuser event triggers segue_* and " +
           std::to_string(new_table_publications) + " publications " + publication_name(migration) +
           "_new_* for tables that are created later";
}

void list_what_is_created(const ServerSettings& settings, std::vector<Finding>& findings) {
    for (const Side side : {Side::source, Side::target}) {
        findings.push_back({Severity::information,
                            "creates",
                            object_on(side, ""),
                            "Segue creates schema segue, publication " +
                                publication_name(settings.migration) + ", slot " +
                                slot_name(settings.migration, side) +
                                " and a fence trigger on every moved table" +
                                (settings.carry_ddl ? more_for_ddl(settings.migration) : "") +
                                "; finish removes them",
                            ""});
    }
    if (!settings.carry_ddl) {
        findings.push_back({Severity::information,
                            "ddl_switched_off",
                            "configuration",
                            "[ddl] carry is false: DDL is not carried to the other side, and stops "
                            "the stream before the next row of a table that it has changed",
                            "do not change the schema until finish"});
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
    if (tools) return;
    findings.push_back({Severity::fail,
                        "pg_dump",
                        "segue's host",
                        tools.error().detail,
                        "apt-get install postgresql-client-" +
                            std::to_string(source.server_version() / 10000) +
                            "  # or set [tools] pg_bin"});
}

void check_version(Side side, const Connection& connection, std::vector<Finding>& findings) {
    const std::string version = "PostgreSQL " + std::to_string(connection.server_version() / 10000);
    if (connection.server_version() < version_min) {
        findings.push_back({Severity::fail,
                            "version",
                            object_on(side, ""),
                            version + " is older than 13",
                            "pg_upgrade  # of that server first; or pg_dump and pg_restore"});
    }
    if (connection.server_version() >= version_unknown) {
        findings.push_back({Severity::warn,
                            "version_new",
                            object_on(side, ""),
                            version + " is newer than what this Segue was tested with",
                            "segue --version  # and look for a newer one"});
    }
}

void check_side(Side side,
                const ServerSettings& settings,
                Connection& connection,
                std::vector<Finding>& findings) {
    check_version(side, connection, findings);
    check_replica_role(side, connection, findings);
    await_young_prepared(connection);
    run_rules(side, connection, settings, findings);
    check_leftovers(side, settings, connection, findings);
    check_collations(side, connection, findings);
}

}  // namespace
}  // namespace postgres

Result<std::vector<Finding>> postgres_preflight(const ServerSettings& settings) {
    using namespace postgres;
    std::vector<Finding> findings;
    std::array<std::optional<Connection>, 2> connections;
    for (const Side side : {Side::source, Side::target}) {
        auto& connection = connections[index(side)] = connect(side, settings, findings);
        if (connection) check_side(side, settings, *connection, findings);
    }
    auto& [source, target] = connections;
    if (source) {
        check_keys(settings, *source, findings);
        check_functions(settings, *source, findings);
        check_tools(settings, *source, findings);
        check_statements(*source, findings);
        tell_size(*source, findings);
    }
    if (source && target) {
        check_excluded(settings, *source, *target, findings);
        check_pair(settings, *source, *target, findings);
        check_types(*source, *target, findings);
        check_versions(*source, *target, findings);
        const auto from = measure_distance(Side::source, *source, findings);
        const auto to = measure_distance(Side::target, *target, findings);
        if (from && to) check_clocks(*from, *to, findings);
    }
    list_what_is_created(settings, findings);
    sort_findings(findings);
    return findings;
}

}  // namespace segue::backfill
