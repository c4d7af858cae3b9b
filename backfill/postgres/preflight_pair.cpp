#include "backfill/postgres/preflight_pair.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/preflight_roles.hpp"
#include "backfill/postgres/schema_signature.hpp"

namespace segue::backfill::postgres {

namespace {

struct Database {
    std::string identity, encoding, collation;
};

Result<Database> read_database(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || d.oid,"
        " pg_encoding_to_char(d.encoding), CASE to_jsonb(d)->>'datlocprovider' WHEN 'i' THEN 'icu "
        "' WHEN 'b' THEN 'builtin '"
        " ELSE '' END || coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', "
        "d.datcollate)"
        " FROM pg_database d WHERE d.datname = current_database()");
    if (!rows) return rows.error();
    return Database{rows->text(0, 0), rows->text(0, 1), rows->text(0, 2)};
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
                            ""});
        return;
    }
    if (from->identity == to->identity) {
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
    }
}

void check_extensions(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto used = source.execute("SELECT extname FROM pg_extension ORDER BY 1");
    const auto available = target.execute("SELECT name FROM pg_available_extensions");
    if (!used || !available) return;
    std::vector<std::string> names;
    for (int row = 0; row < available->size(); ++row) names.push_back(available->text(row, 0));
    for (int row = 0; row < used->size(); ++row) {
        const std::string extension = used->text(row, 0);
        if (std::find(names.begin(), names.end(), extension) != names.end()) continue;
        findings.push_back({Severity::fail,
                            "extension",
                            "target: extension " + extension,
                            "the source uses it and the target's server does not have it",
                            "install the package of the target's server that brings it"});
    }
}

// A schema that is there already (public) belongs to somebody: we and the owners of the tables must
// be let in.
void check_schemas(const ServerSettings& settings,
                   Connection& source,
                   Connection& target,
                   std::vector<Finding>& findings) {
    const auto tables = read_tables(source, settings.exclude);
    if (!tables) return;  // Said by check_tables.
    std::set<std::string> schemas;
    for (const Table& table : *tables) schemas.insert(table.schema);
    for (const std::string& schema : schemas) {
        const auto closed = target.execute(
            "SELECT FROM pg_namespace WHERE nspname = $1 AND NOT"
            " has_schema_privilege(oid, 'CREATE')",
            {schema});
        if (!closed || closed->size() == 0) continue;
        findings.push_back(
            {Severity::fail,
             "role_schema",
             "target: schema " + schema,
             "our role may not create tables in it",
             "GRANT CREATE ON SCHEMA " + quote_identifier(schema) +
                 " TO PUBLIC;  -- for us and the tables' owners; until the copy is consistent"});
    }
}

std::string signature(const Table& table) {
    std::string text;
    for (const Column& column : table.columns) {
        text += column.name + " " + column.type + (column.not_null ? " not null" : "") +
                (column.generated ? " generated" : "") +
                (column.identity_always ? " identity" : "") + ", ";
    }
    return text;
}

// True when the target carries this migration's mark: its tables are ours then.
Result<bool> is_marked(const ServerSettings& settings, Connection& target) {
    const auto exists = target.execute("SELECT to_regclass('segue.control') IS NOT NULL");
    if (!exists) return exists.error();
    if (!exists->truth(0, 0)) return false;
    const auto rows =
        target.execute("SELECT 1 FROM segue.control WHERE migration = $1", {settings.migration});
    if (!rows) return rows.error();
    return rows->size() > 0;
}

void check_tables(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings) {
    const auto marked = is_marked(settings, target);
    if (marked && *marked) return;
    const auto from = read_tables(source, settings.exclude);
    const auto to = read_tables(target, settings.exclude);
    if (!from || !to || !marked) {
        findings.push_back({Severity::fail,
                            "tables",
                            from ? "target" : "source",
                            "could not be examined: " + (!from ? from : to).error().detail,
                            ""});
        return;
    }
    std::map<std::string, const Table*> wanted;
    for (const Table& table : *from) wanted[table.plain_name()] = &table;
    for (const Table& table : *to) {
        const auto found = wanted.find(table.plain_name());
        if (found == wanted.end()) continue;
        if (signature(table) != signature(*found->second)) {
            findings.push_back({Severity::fail,
                                "table_different",
                                "target: " + table.plain_name(),
                                "the table exists there with other columns than on the source",
                                "DROP TABLE " + table.qualified_name() + ";  -- Segue creates it"});
            continue;
        }
        const auto filled =
            target.execute("SELECT EXISTS (SELECT FROM ONLY " + table.qualified_name() + ")");
        if (filled && !filled->truth(0, 0)) continue;
        findings.push_back(
            {Severity::fail,
             "table_not_empty",
             "target: " + table.plain_name(),
             filled ? "the table exists there and holds rows that no migration of this name copied"
                    : "could not be read: " + filled.error().detail,
             "TRUNCATE " + table.qualified_name() + ";  -- or name it in [tables] exclude"});
    }
}

// ALTER ROLE ... SET and ALTER DATABASE ... SET of what the newer version has no more.
void check_settings(Connection& source, Connection& target, std::vector<Finding>& findings) {
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
                            "version does not know it: it is"
                            " left out",
                            "ALTER ROLE ... RESET " + used->text(row, 0) +
                                ";  -- or ALTER DATABASE, on the source"});
    }
}

// Defaults, constraints and indexes: what `start` would refuse must be said before.
void check_structures(const ServerSettings& settings,
                      Connection& source,
                      Connection& target,
                      std::vector<Finding>& findings) {
    const auto marked = is_marked(settings, target);
    if (!marked || *marked) return;
    const auto conflicts = target_conflicts(source, target, settings.exclude);
    if (!conflicts) {
        findings.push_back({Severity::fail,
                            "tables",
                            "target",
                            "could not be examined: " + conflicts.error().detail,
                            "check again when nobody changes the schema"});
        return;
    }
    for (const std::string& conflict : *conflicts) {
        const std::string table = conflict.substr(0, conflict.find(": "));
        const bool told =
            std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
                return finding.object == "target: " + table;
            });
        if (told || conflict.ends_with(" is not empty")) continue;
        findings.push_back({Severity::fail,
                            "table_different",
                            "target: " + table,
                            conflict,
                            "drop the table there, Segue creates it; or make it equal"});
    }
}

void check_two_phase(Connection& source, Connection& target, std::vector<Finding>& findings) {
    constexpr const char* setting = "SELECT current_setting('max_prepared_transactions')::int";
    const auto from = source.execute(setting);
    const auto to = target.execute(setting);
    if (!from || !to || from->number(0, 0) == 0 || to->number(0, 0) > 0) return;
    findings.push_back({Severity::warn,
                        "two_phase",
                        "target",
                        "max_prepared_transactions is 0 there and not on the source: PREPARE "
                        "TRANSACTION would fail"
                        " after the cutover",
                        "ALTER SYSTEM SET max_prepared_transactions = " + from->text(0, 0) +
                            ";  -- takes effect with a restart of this server"});
}

}  // namespace

void check_pair(const ServerSettings& settings,
                Connection& source,
                Connection& target,
                std::vector<Finding>& findings) {
    check_databases(source, target, findings);
    check_extensions(source, target, findings);
    check_roles(settings, source, target, findings);
    check_schemas(settings, source, target, findings);
    check_tables(settings, source, target, findings);
    check_structures(settings, source, target, findings);
    check_two_phase(source, target, findings);
    check_settings(source, target, findings);
}

}  // namespace segue::backfill::postgres
