#include "backfill/postgres/preflight_extensions.hpp"

#include <cctype>
#include <map>
#include <string>

namespace segue::backfill::postgres {

namespace {

struct Extension {
    std::string version;   // Installed, else what CREATE EXTENSION would install.
    std::string schema;    // Where it is installed; empty: it is not.
    bool trusted = false;  // Whoever may create in the database may create it.
};

// Digits up to the next other character, without leading zeros; or one other character.
std::string_view next_part(std::string_view& text) {
    std::size_t size = 0;
    while (size < text.size() && std::isdigit(static_cast<unsigned char>(text[size]))) ++size;
    if (size == 0) size = text.empty() ? 0 : 1;
    std::string_view part = text.substr(0, size);
    text.remove_prefix(size);
    while (part.size() > 1 && part.front() == '0') part.remove_prefix(1);
    return part;
}

Result<std::map<std::string, Extension>> read_available(Connection& target) {
    const auto rows = target.execute(R"sql(
        SELECT a.name, coalesce(a.installed_version, a.default_version),
               coalesce((SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                         WHERE e.extname = a.name), ''),
               coalesce((SELECT bool_or(v.trusted) FROM pg_available_extension_versions v
                         WHERE v.name = a.name AND v.version = a.default_version), false)
        FROM pg_available_extensions a)sql");
    if (!rows) return rows.error();
    std::map<std::string, Extension> available;
    for (int row = 0; row < rows->size(); ++row) {
        available[rows->text(row, 0)] = {
            rows->text(row, 1), rows->text(row, 2), rows->truth(row, 3)};
    }
    return available;
}

// `there` is null where the server does not have its files.
void check_presence(const std::string& name,
                    const std::string& schema,
                    const Extension* there,
                    std::vector<Finding>& findings) {
    const std::string create =
        (schema == "pg_catalog" || schema == "public"
             ? ""
             : "CREATE SCHEMA IF NOT EXISTS " + quote_identifier(schema) + "; ") +
        "CREATE EXTENSION " + quote_identifier(name) + " SCHEMA " + quote_identifier(schema) +
        ";  -- on the target";
    std::string reason, remedy = create;
    if (there == nullptr) {
        reason = "the source uses it and the target's server does not have it";
        remedy = "install the package that brings it on the target's host; then " + create;
    } else if (there->schema.empty()) {
        reason = "the source uses it, and it is not installed in the target's database";
        if (!there->trusted) remedy += ", as a superuser";
    } else if (there->schema != schema) {
        reason = "it is in schema " + there->schema + ", on the source in " + schema;
        remedy = "ALTER EXTENSION " + quote_identifier(name) + " SET SCHEMA " +
                 quote_identifier(schema) + ";  -- on the target";
    } else {
        return;
    }
    findings.push_back({Severity::fail, "extension", "target: extension " + name, reason, remedy});
}

void check_version(const std::string& name,
                   const std::string& version,
                   const Extension& there,
                   std::vector<Finding>& findings) {
    const int order = compare_versions(there.version, version);
    if (order == 0) return;
    const std::string update = "ALTER EXTENSION " + quote_identifier(name) + " UPDATE;";
    findings.push_back({order < 0 ? Severity::warn : Severity::information,
                        "extension_version",
                        "target: extension " + name,
                        "version " + there.version + ", the source's is " + version,
                        order < 0 ? update + "  -- on the target; with a newer package, where that "
                                             "is the newest"
                                  : update + "  -- on the source, if the versions must agree"});
}

// Tables that an extension has marked as its users' own: pg_dump would carry their rows.
void check_rows_of_extensions(Connection& source, std::vector<Finding>& findings) {
    const auto tables = source.execute(R"sql(
        SELECT e.extname, n.nspname, c.relname, e.extcondition[t.place]
        FROM pg_extension e, unnest(e.extconfig) WITH ORDINALITY AS t(oid, place)
        JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2, 3)sql");
    if (!tables) return;
    for (int row = 0; row < tables->size(); ++row) {
        const std::string table = qualified(tables->at(row, 1), tables->at(row, 2));
        const auto filled = source.execute("SELECT EXISTS (SELECT FROM " + table + " " +
                                           tables->text(row, 3) + ")");
        if (filled && !filled->truth(0, 0)) continue;
        findings.push_back(
            {Severity::warn,
             "extension_data",
             "source: " + tables->text(row, 1) + "." + tables->text(row, 2),
             "it belongs to extension " + tables->text(row, 0) + " and " +
                 (filled ? "holds rows of yours, which are not moved"
                         : "could not be read: " + filled.error().detail),
             "pg_dump --data-only --table='" + table + "'  # and load it on the target"});
    }
}

}  // namespace

int compare_versions(std::string_view a, std::string_view b) {
    while (!a.empty() || !b.empty()) {
        const std::string_view x = next_part(a), y = next_part(b);
        const bool numbers = !x.empty() && !y.empty() &&
                             std::isdigit(static_cast<unsigned char>(x.front())) &&
                             std::isdigit(static_cast<unsigned char>(y.front()));
        if (numbers && x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

void check_extensions(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto used = source.execute(
        "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e"
        " JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1");
    const auto available = read_available(target);
    if (!used || !available) {
        findings.push_back({Severity::fail,
                            "databases",
                            used ? "target" : "source",
                            "extensions could not be examined: " +
                                (used ? available.error() : used.error()).detail,
                            "check again"});
        return;
    }
    for (int row = 0; row < used->size(); ++row) {
        const std::string name = used->text(row, 0);
        const auto found = available->find(name);
        const Extension* there = found == available->end() ? nullptr : &found->second;
        check_presence(name, used->text(row, 2), there, findings);
        if (there != nullptr) check_version(name, used->text(row, 1), *there, findings);
    }
    check_rows_of_extensions(source, findings);
}

}  // namespace segue::backfill::postgres
