#include "backfill/postgres/roles.hpp"

#include <algorithm>
#include <set>

namespace segue::backfill::postgres {

namespace {

constexpr const char* insufficient_privilege = "42501";
constexpr const char* undefined_object = "42704";

const Role* find_role(const std::vector<Role>& roles, const std::string& name) {
    const auto found = std::find_if(
        roles.begin(), roles.end(), [&](const Role& role) { return role.name == name; });
    return found == roles.end() ? nullptr : &*found;
}

std::string attribute(bool set, const char* word) { return std::string{set ? " " : " NO"} + word; }

std::string create_sql(const Role& role) {
    std::string sql = "CREATE ROLE " + quote_identifier(role.name) + " WITH" +
                      attribute(role.superuser, "SUPERUSER") + attribute(role.inherit, "INHERIT") +
                      attribute(role.create_role, "CREATEROLE") +
                      attribute(role.create_database, "CREATEDB") + attribute(role.login, "LOGIN") +
                      attribute(role.replication, "REPLICATION") +
                      attribute(role.bypass_rls, "BYPASSRLS") + " CONNECTION LIMIT " +
                      std::to_string(role.connection_limit);
    if (!role.valid_until.empty()) sql += " VALID UNTIL " + quote_literal(role.valid_until);
    if (!role.verifier.empty()) sql += " PASSWORD " + quote_literal(role.verifier);
    return sql;
}

Status run(Connection& target, const std::string& sql, const std::string& role) {
    const auto done = target.execute(sql);
    if (done || done.error().sqlstate == "42710") return Done{};  // Somebody else was faster.
    Error error = done.error();
    error.detail =
        "target: " + (role.empty() ? "`" + sql + "`" : "role " + role) + ": " + error.detail;
    return error;
}

using Names = std::vector<std::string>;

bool contains(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool needs_superuser(const Role& role) {
    return role.superuser || role.replication || role.bypass_rls;
}

Status create_and_adjust(const std::vector<Role>& source,
                         const std::vector<Role>& target_roles,
                         const Names& beyond,
                         const Connection& source_connection,
                         Connection& target) {
    // A verifier in the server's own form is stored as it is. Our own role keeps its password where
    // the configuration knows another one than the source's: it could not log in any more.
    const bool same_login =
        std::string_view{PQuser(source_connection.raw())} == PQuser(target.raw()) &&
        std::string_view{PQpass(source_connection.raw())} == PQpass(target.raw());
    const std::string ourselves = same_login ? "" : PQuser(target.raw());
    for (const Role& role : source) {
        if (contains(beyond, role.name)) continue;
        const Role* present = find_role(target_roles, role.name);
        if (!present) {
            if (const Status made = run(target, create_sql(role), role.name); !made) return made;
        } else if (role.login && !role.verifier.empty() && present->verifier != role.verifier &&
                   role.name != ourselves) {
            const Status set = run(target,
                                   "ALTER ROLE " + quote_identifier(role.name) + " PASSWORD " +
                                       quote_literal(role.verifier),
                                   role.name);
            if (!set) return set;
        }
    }
    return Done{};
}

// Settings of all databases and of this one; values that are lists are written as their elements.
constexpr const char* settings_query = R"sql(
    SELECT coalesce(r.rolname, ''), 'ALTER ' || CASE WHEN r.oid IS NULL
               THEN 'DATABASE %DATABASE%'
               ELSE 'ROLE ' || quote_ident(r.rolname) || CASE WHEN s.setdatabase = 0 THEN ''
                    ELSE ' IN DATABASE %DATABASE%' END END
           || ' SET ' || (SELECT string_agg(quote_ident(part), '.')
                          FROM unnest(string_to_array(split_part(c, '=', 1), '.')) part) || ' TO '
           || CASE WHEN lower(split_part(c, '=', 1)) IN ('search_path', 'datestyle', 'temp_tablespaces',
                        'local_preload_libraries', 'session_preload_libraries')
                   THEN substr(c, strpos(c, '=') + 1)
                   ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END, coalesce(r.rolname, '')
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
    CROSS JOIN LATERAL unnest(s.setconfig) c
    WHERE (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database
                                                 WHERE datname = current_database()))
      AND NOT (s.setrole = 0 AND s.setdatabase = 0))sql";

struct Setting {
    std::string role;  // That we must be allowed to change for it; empty: the database.
    std::string sql;   // For the target.
};

// The statements that settings_query makes of the source's catalog and the target's lacks.
Result<std::vector<Setting>> missing_settings(Connection& source, Connection& target) {
    const auto wanted = source.execute(settings_query);
    if (!wanted) return wanted.error();
    const auto present = target.execute(settings_query);
    if (!present) return present.error();
    std::set<std::string> there;
    for (int row = 0; row < present->size(); ++row) there.insert(present->text(row, 1));
    std::vector<Setting> missing;
    for (int row = 0; row < wanted->size(); ++row) {
        std::string sql = wanted->text(row, 1);
        if (there.contains(sql)) continue;
        constexpr std::string_view placeholder = "%DATABASE%";  // It may have another name there.
        if (const std::size_t at = sql.find(placeholder); at != std::string::npos)
            sql.replace(at, placeholder.size(), quote_identifier(PQdb(target.raw())));
        missing.push_back({wanted->text(row, 2), std::move(sql)});
    }
    return missing;
}

Status carry_settings(Connection& source, Connection& target, const Names& beyond) {
    const auto missing = missing_settings(source, target);
    if (!missing) return missing.error();
    for (const Setting& setting : *missing) {
        if (contains(beyond, setting.role)) continue;
        const Status done = run(target, setting.sql, setting.role);
        // A setting that the newer version has no more is left out; `check` has named it.
        if (!done && done.error().sqlstate != undefined_object) return done;
    }
    return Done{};
}

// (member, statement, who granted it, role). Before 16 the grantor means nothing, and a membership
// has no options of its own.
std::string memberships_query(const Connection& connection) {
    const bool has_options = connection.server_version() >= 160000;
    return std::string{
               "SELECT m.rolname, 'GRANT ' || quote_ident(g.rolname) || ' TO ' || "
               "quote_ident(m.rolname) || "} +
           (has_options
                ? "concat(' WITH ADMIN ', a.admin_option::text, ', INHERIT ', "
                  "a.inherit_option::text, ', SET ', a.set_option::text),"
                  " CASE WHEN b.oid <> 10 THEN ' GRANTED BY ' || quote_ident(b.rolname) ELSE '' END"
                : "CASE WHEN a.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END, ''") +
           ", g.rolname FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m "
           "ON m.oid = a.member"
           " LEFT JOIN pg_roles b ON b.oid = a.grantor WHERE m.rolname NOT LIKE 'pg\\_%'";
}

Status carry_memberships(Connection& source, Connection& target, const Names& beyond) {
    const auto wanted = source.execute(memberships_query(source));
    if (!wanted) return wanted.error();
    const auto present = target.execute(memberships_query(target));
    if (!present) return present.error();
    std::set<std::string> there;
    for (int row = 0; row < present->size(); ++row)
        there.insert(present->text(row, 1) + present->text(row, 2));
    std::vector<int> left;
    for (int row = 0; row < wanted->size(); ++row) {
        if (contains(beyond, wanted->text(row, 3))) continue;
        if (!there.contains(wanted->text(row, 1) + wanted->text(row, 2))) left.push_back(row);
    }
    // Whoever granted needs the admin option first, which another of these grants may give.
    for (std::size_t before = left.size() + 1; left.size() < before;) {
        before = left.size();
        std::erase_if(left, [&](int row) {
            return target.execute(wanted->text(row, 1) + wanted->text(row, 2)).has_value();
        });
    }
    for (const int row : left) {  // The membership counts more than who gave it.
        if (wanted->at(row, 0) == PQuser(target.raw()))
            continue;  // Nobody may give options to himself.
        if (const Status done = run(target, wanted->text(row, 1), wanted->text(row, 0)); !done)
            return done;
    }
    return Done{};
}

}  // namespace

Result<std::vector<Role>> read_roles(Connection& connection) {
    const auto query = [&](const std::string& table, const std::string& verifier) {
        return connection.execute(
            "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,"
            " rolreplication, rolbypassrls, rolconnlimit, " +
            verifier + ", coalesce(rolvaliduntil::text, '') FROM " + table +
            " WHERE rolname NOT LIKE 'pg\\_%' ORDER BY rolname");
    };
    auto rows = query("pg_authid", "coalesce(rolpassword, '')");
    if (!rows && rows.error().sqlstate == insufficient_privilege) rows = query("pg_roles", "''");
    if (!rows) return rows.error();
    std::vector<Role> roles;
    for (int row = 0; row < rows->size(); ++row) {
        roles.push_back(Role{.name = rows->text(row, 0),
                             .superuser = rows->truth(row, 1),
                             .inherit = rows->truth(row, 2),
                             .create_role = rows->truth(row, 3),
                             .create_database = rows->truth(row, 4),
                             .login = rows->truth(row, 5),
                             .replication = rows->truth(row, 6),
                             .bypass_rls = rows->truth(row, 7),
                             .connection_limit = rows->number(row, 8),
                             .verifier = rows->text(row, 9),
                             .valid_until = rows->text(row, 10)});
    }
    return roles;
}

std::vector<std::string> roles_to_change(const std::vector<Role>& source,
                                         const std::vector<Role>& target) {
    std::vector<std::string> names;
    for (const Role& role : source) {
        if (!role.login) continue;
        const Role* present = find_role(target, role.name);
        if (!present || !present->login || present->verifier != role.verifier) {
            names.push_back(role.name);
        }
    }
    return names;
}

Result<std::vector<std::string>> roles_beyond_us(const std::vector<Role>& source,
                                                 const std::vector<Role>& present,
                                                 Connection& target) {
    const auto rows = target.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
    if (!rows) return rows.error();
    Names names;
    if (rows->size() == 1 && rows->truth(0, 0)) return names;
    for (const Role& role : source) {
        const Role* there = find_role(present, role.name);
        if (needs_superuser(role) || (there != nullptr && needs_superuser(*there)))
            names.push_back(role.name);
    }
    return names;
}

Result<std::vector<std::string>> database_settings_beyond_us(Connection& source,
                                                             Connection& target) {
    const auto owner = target.execute(
        "SELECT rolsuper OR pg_has_role(datdba, 'USAGE') FROM pg_database, pg_roles"
        " WHERE datname = current_database() AND rolname = current_user");
    if (!owner) return owner.error();
    Names commands;
    if (owner->size() != 1 || owner->truth(0, 0)) return commands;
    const auto missing = missing_settings(source, target);
    if (!missing) return missing.error();
    for (const Setting& setting : *missing) {
        if (setting.role.empty()) commands.push_back(setting.sql);
    }
    return commands;
}

Status sync_roles(Connection& source, Connection& target) {
    const auto wanted = read_roles(source);
    if (!wanted) return wanted.error();
    const auto present = read_roles(target);
    if (!present) return present.error();
    const auto beyond = roles_beyond_us(*wanted, *present, target);
    if (!beyond) return beyond.error();
    if (const Status made = create_and_adjust(*wanted, *present, *beyond, source, target); !made)
        return made;
    if (const Status carried = carry_memberships(source, target, *beyond); !carried) return carried;
    return carry_settings(source, target, *beyond);
}

}  // namespace segue::backfill::postgres
