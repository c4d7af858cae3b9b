#include "backfill/postgres/preflight_pair.hpp"

#include <string>
#include <vector>

#include "backfill/postgres/preflight_extensions.hpp"
#include "backfill/postgres/preflight_owners.hpp"
#include "backfill/postgres/preflight_roles.hpp"
#include "backfill/postgres/preflight_settings.hpp"
#include "backfill/postgres/preflight_target.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

struct Database {
    std::string identity, encoding, collation, letters;
};

Result<Database> read_database(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || d.oid,"
        " pg_encoding_to_char(d.encoding), CASE to_jsonb(d)->>'datlocprovider' WHEN 'i' THEN 'icu "
        "' WHEN 'b' THEN 'builtin '"
        " ELSE '' END || coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', "
        "d.datcollate), d.datctype"
        " FROM pg_database d WHERE d.datname = current_database()");
    if (!rows) return rows.error();
    return Database{rows->text(0, 0), rows->text(0, 1), rows->text(0, 2), rows->text(0, 3)};
}

// A copy of a server's files has its identity, and so may two databases that are nowhere one. A
// lock that is held here is seen there only by the same server. In a transaction: behind a pooler
// each statement outside of one may be another process's. Unsure is the same.
bool are_one_server(Connection& source, Connection& target) {
    if (!source.execute("BEGIN")) return true;
    const auto held = source.execute(
        "SELECT pid, k, pg_try_advisory_xact_lock(pid, k)"
        " FROM (SELECT pg_backend_pid() AS pid, (random() * 2147483647)::int AS k OFFSET 0) AS l");
    bool same = true;
    if (held && held->size() == 1 && held->truth(0, 2)) {
        const auto seen = target.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
            " AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND pid = $1::int",
            {held->text(0, 0), held->text(0, 1)});
        same = !seen || seen->size() > 0;
    }
    (void)source.execute("ROLLBACK");
    return same;
}

// C.UTF-8 and C.utf8 are one.
std::string plain_locale(const std::string& locale) {
    std::string plain;
    for (const char c : locale) {
        if (c != '-') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return plain;
}

void check_databases(Connection& source, Connection& target, std::vector<Finding>& findings) {
    if (target.server_version() / 10000 < source.server_version() / 10000) {
        findings.push_back({Severity::fail,
                            "version_order",
                            "target",
                            "PostgreSQL " + std::to_string(target.server_version() / 10000) +
                                " is older than the source's " +
                                std::to_string(source.server_version() / 10000),
                            "use a target of the same or a newer major version: an older one may "
                            "not understand the source's schema"});
    }
    const auto from = read_database(source);
    const auto to = read_database(target);
    if (!from || !to) {
        findings.push_back({Severity::fail,
                            "databases",
                            from ? "target" : "source",
                            "could not be examined: " + (from ? to : from).error().detail,
                            "grant what is missing and check again"});
        return;
    }
    if (from->identity == to->identity && are_one_server(source, target)) {
        findings.push_back({Severity::fail,
                            "same_database",
                            "target",
                            "source and target are the same database",
                            "correct one of the URLs"});
    }
    if (from->encoding != to->encoding) {
        findings.push_back(
            {Severity::fail,
             "encoding",
             "target",
             "its encoding is " + to->encoding + ", the source's " + from->encoding,
             "CREATE DATABASE ... ENCODING '" + from->encoding + "' TEMPLATE template0;"});
    }
    if (from->collation != to->collation) {
        findings.push_back({Severity::warn,
                            "collation",
                            "target",
                            "its collation is " + to->collation + ", the source's " +
                                from->collation +
                                ": ORDER BY and text ranges may answer differently",
                            "CREATE DATABASE ... TEMPLATE template0, with the source's LC_COLLATE, "
                            "or LOCALE_PROVIDER and its"
                            " locale"});
    } else if (plain_locale(from->letters) != plain_locale(to->letters)) {
        findings.push_back({Severity::warn,
                            "collation",
                            "target",
                            "its LC_CTYPE is " + to->letters + ", the source's " + from->letters +
                                ": upper, lower, regular expressions and citext may answer "
                                "differently",
                            "CREATE DATABASE ... LC_CTYPE " + quote_literal(from->letters) +
                                " TEMPLATE template0;"});
    }
}

// A schema that is there already (public) belongs to somebody: we and the owners of the tables must
// be let in.
void check_schemas(const ServerSettings& settings,
                   Connection& source,
                   Connection& target,
                   std::vector<Finding>& findings) {
    const auto used = source.execute(
        "SELECT DISTINCT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT LIKE 'pg\\_%'"
        " AND n.nspname NOT IN ('information_schema', 'segue')"
        " AND n.nspname || '.' || c.relname <> ALL ($1::text[])",
        {text_array(settings.exclude)});
    if (!used) return;  // Said by check_target.
    std::vector<std::string> schemas;
    for (int row = 0; row < used->size(); ++row) schemas.push_back(used->text(row, 0));
    const auto closed = target.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY ($1::text[])"
        " AND NOT has_schema_privilege(oid, 'CREATE') ORDER BY 1",
        {text_array(schemas)});
    if (!closed) return;
    for (int row = 0; row < closed->size(); ++row) {
        findings.push_back(
            {Severity::fail,
             "role_schema",
             "target: schema " + closed->text(row, 0),
             "our role may not create tables in it",
             "GRANT CREATE ON SCHEMA " + quote_identifier(closed->text(row, 0)) +
                 " TO PUBLIC;  -- for us and the tables' owners; until the copy is consistent"});
    }
}

}  // namespace

void check_pair(const ServerSettings& settings,
                Connection& source,
                Connection& target,
                std::vector<Finding>& findings) {
    check_databases(source, target, findings);
    check_extensions(source, target, findings);
    check_roles(settings, source, target, findings);
    check_owners(settings, source, target, findings);
    check_schemas(settings, source, target, findings);
    check_target(settings, source, target, findings);
    check_settings(settings, source, target, findings);
}

}  // namespace segue::backfill::postgres
