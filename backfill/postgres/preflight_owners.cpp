#include "backfill/postgres/preflight_owners.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "backfill/postgres/roles.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// (role, owns something, our role is a member of it). Roles that the server itself was made with
// are in no record of dependences.
constexpr const char* owners_query = R"sql(
    SELECT r.rolname, bool_or(o.owns), pg_has_role(current_user, r.oid, 'MEMBER')
    FROM (SELECT s.refobjid AS role, s.deptype = 'o' AS owns FROM pg_shdepend s
          WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r')
            AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = s.classid AND e.objid = s.objid AND e.deptype = 'e')
            AND NOT (s.classid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND s.objid < 16384)
            AND NOT (s.classid = 'pg_extension'::regclass)
          UNION ALL
          SELECT c.relowner, true FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relowner < 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't'
            AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
          UNION ALL
          SELECT p.proowner, true FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE p.proowner < 16384 AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')) o
    JOIN pg_roles r ON r.oid = o.role WHERE r.rolname NOT LIKE 'pg\_%' GROUP BY r.oid, r.rolname ORDER BY 1)sql";

// What PostgreSQL lets superusers create only, without what belongs to extensions.
constexpr const char* superuser_objects_query = R"sql(
    SELECT what FROM (
        SELECT 'function ' || p.oid::regprocedure AS what, 'pg_proc'::regclass AS class, p.oid FROM pg_proc p
            JOIN pg_language l ON l.oid = p.prolang WHERE NOT l.lanpltrusted OR p.proleakproof
        UNION ALL SELECT 'language ' || lanname, 'pg_language'::regclass, oid FROM pg_language
        UNION ALL SELECT 'event trigger ' || evtname, 'pg_event_trigger'::regclass, oid FROM pg_event_trigger WHERE evtname NOT LIKE 'segue\_%'
        UNION ALL SELECT 'foreign data wrapper ' || fdwname, 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'operator class ' || opcname, 'pg_opclass'::regclass, oid FROM pg_opclass
        UNION ALL SELECT 'access method ' || amname, 'pg_am'::regclass, oid FROM pg_am
        UNION ALL SELECT 'text search template ' || tmplname, 'pg_ts_template'::regclass, oid FROM pg_ts_template
        UNION ALL SELECT 'text search parser ' || prsname, 'pg_ts_parser'::regclass, oid FROM pg_ts_parser) o
    WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = class AND e.objid = o.oid AND e.deptype = 'e')
      AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = o.oid AND n.nspname = 'segue')
    ORDER BY 1)sql";

// (role, owns the database, may make something in schema public only because of that): who may
// create schemas. Grants on schemas are copied with them, what belongs to the database is not.
constexpr const char* creators_query = R"sql(
    SELECT r.rolname, r.oid = d.datdba,
           r.oid = d.datdba AND EXISTS (SELECT FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
                                        WHERE n.nspname = 'public' AND o.rolname = 'pg_database_owner')
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba OR r.oid IN (
        SELECT a.grantee FROM aclexplode(d.datacl) a WHERE a.privilege_type = 'CREATE')
    WHERE d.datname = current_database() AND NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%'
    UNION ALL
    SELECT '', false, false FROM pg_database d, aclexplode(d.datacl) a
    WHERE d.datname = current_database() AND a.privilege_type = 'CREATE' AND a.grantee = 0
    ORDER BY 1)sql";

// Of the target, for a role or, where that is empty, for all: whether it may create schemas, and
// something in schema public; the database. A role that is not there yet may what all may.
constexpr const char* may_create_query = R"sql(
    SELECT coalesce(has_database_privilege(r.oid, d.oid, 'CREATE'), p.database), coalesce(
               has_schema_privilege(r.oid, n.oid, 'CREATE'), p.public, true), d.datname
    FROM pg_database d
    LEFT JOIN pg_roles r ON r.rolname = nullif($1, '')
    LEFT JOIN pg_namespace n ON n.nspname = 'public'
    CROSS JOIN LATERAL (SELECT
        EXISTS (SELECT FROM aclexplode(d.datacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee = 0) AS database,
        EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee = 0) AS public) p
    WHERE d.datname = current_database())sql";

// (grantee, empty for all; privilege), without what the owner has by owning it, and our own.
constexpr const char* database_grants_query = R"sql(
    SELECT coalesce(r.rolname, ''), a.privilege_type
    FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE d.datname = current_database() AND a.grantee <> d.datdba AND a.privilege_type <> 'CREATE'
      AND (a.grantee = 0 OR r.rolname <> current_user)
    GROUP BY 1, 2 ORDER BY 1, 2)sql";

// The same of schema public. Other schemas are made with theirs.
constexpr const char* public_grants_query = R"sql(
    SELECT coalesce(r.rolname, ''), a.privilege_type
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = 'public' AND a.grantee <> n.nspowner AND a.privilege_type <> 'CREATE'
      AND (a.grantee = 0 OR r.rolname <> current_user)
    GROUP BY 1, 2 ORDER BY 1, 2)sql";

// Of the target, for a role: whether it may connect, or look into schema public. One that is not
// there yet may what all may.
constexpr const char* owner_may_query = R"sql(
    SELECT coalesce(CASE $2 WHEN 'CONNECT' THEN has_database_privilege(r.oid, d.oid, 'CONNECT')
                            ELSE has_schema_privilege(r.oid, n.oid, 'USAGE') END,
                    EXISTS (SELECT FROM aclexplode(CASE $2 WHEN 'CONNECT' THEN coalesce(d.datacl, acldefault('d', d.datdba))
                                                           ELSE coalesce(n.nspacl, acldefault('n', n.nspowner)) END) a
                            WHERE a.privilege_type = $2 AND a.grantee = 0))
    FROM pg_database d LEFT JOIN pg_roles r ON r.rolname = $1 LEFT JOIN pg_namespace n ON n.nspname = 'public'
    WHERE d.datname = current_database())sql";

std::set<std::string> names_of(const Rows& rows) {
    std::set<std::string> names;
    for (int row = 0; row < rows.size(); ++row) names.insert(rows.text(row, 0));
    return names;
}

// Of the owners on the source, as the target has them before `start`.
struct TargetRoles {
    std::set<std::string> present, ours;  // Ours: our role is a member.
    std::set<std::string> beyond;         // Only a superuser could create them.
    std::set<std::string> superusers;     // On either side.
    bool superuser = false;
    bool same_name = false;  // Our role has one name on both sides: its memberships are carried.
};

Result<TargetRoles> read_target(Connection& source, Connection& target) {
    TargetRoles roles;
    const auto present = target.execute("SELECT rolname FROM pg_roles");
    if (!present) return present.error();
    roles.present = names_of(*present);
    const auto ours = target.execute(
        "SELECT rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')");
    if (!ours) return ours.error();
    roles.ours = names_of(*ours);
    const auto superuser =
        target.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user");
    if (!superuser) return superuser.error();
    roles.superuser = superuser->size() == 1 && superuser->truth(0, 0);
    roles.same_name = std::string_view{PQuser(source.raw())} == PQuser(target.raw());
    const auto from = read_roles(source);
    const auto to = read_roles(target);
    if (!from || !to) return (from ? to : from).error();
    const auto beyond = roles_beyond_us(*from, *to, target);
    if (!beyond) return beyond.error();
    roles.beyond = {beyond->begin(), beyond->end()};
    for (Connection* side : {&source, &target}) {
        const auto powerful = side->execute("SELECT rolname FROM pg_roles WHERE rolsuper");
        if (!powerful) return powerful.error();
        roles.superusers.merge(names_of(*powerful));
    }
    return roles;
}

void check_owner(const ServerSettings& settings,
                 const TargetRoles& there,
                 const std::string& role,
                 bool owns,
                 bool member_on_source,
                 const std::string& our_name,
                 std::vector<Finding>& findings) {
    const bool created = settings.sync_roles && !there.beyond.contains(role);
    if (!there.present.contains(role) && !created) {
        findings.push_back({Severity::fail,
                            "owner_missing",
                            "target: role " + role,
                            std::string{owns ? "it owns objects" : "it is granted rights"} +
                                " on the source, and does not exist on the target",
                            "CREATE ROLE " + quote_identifier(role) +
                                ";  -- on the target; or [target] roles = \"sync\""});
    }
    const bool carried =
        settings.sync_roles && there.same_name && member_on_source && !there.beyond.contains(role);
    if (!owns || there.superuser || there.ours.contains(role) || carried) return;
    findings.push_back({Severity::fail,
                        "owner_not_ours",
                        "target: role " + role,
                        "it owns objects on the source, and our role may not give it any on the "
                        "target: it is no member of it",
                        // A superuser's role makes superusers.
                        there.superusers.contains(role)
                            ? "ALTER TABLE ... OWNER TO ...;  -- on the source, to a role without "
                              "superuser: configs/roles.sql names them"
                            : "GRANT " + quote_identifier(role) + " TO " +
                                  quote_identifier(our_name) +
                                  ";  -- on the target, as a superuser"});
}

void check_superuser_objects(Connection& source,
                             const std::string& our_name,
                             std::vector<Finding>& findings) {
    const auto rows = source.execute(superuser_objects_query);
    if (!rows) {
        findings.push_back({Severity::fail,
                            "databases",
                            "source",
                            "could not be examined: " + rows.error().detail,
                            "check again"});
        return;
    }
    for (int row = 0; row < rows->size(); ++row) {
        findings.push_back({Severity::fail,
                            "superuser_object",
                            "source: " + rows->text(row, 0),
                            "only a superuser may create it, and our role on the target is none",
                            "ALTER ROLE " + quote_identifier(our_name) +
                                " SUPERUSER;  -- on the target, until the copy is consistent; or "
                                "drop the object"});
    }
}

// The tables do not exist on the target yet, and will hide rows from whoever they hide them from.
void check_forced_row_security(const ServerSettings& settings,
                               Connection& source,
                               Connection& target,
                               std::vector<Finding>& findings) {
    const auto may = target.execute(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user");
    if (!may || may->size() == 0 || may->truth(0, 0)) return;
    const auto forced = source.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relrowsecurity"
        " AND c.relforcerowsecurity AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'segue'"
        " AND n.nspname || '.' || c.relname <> ALL ($1::text[]) ORDER BY 1",
        {text_array(settings.exclude)});
    if (!forced) return;  // Said by the rules.
    for (int row = 0; row < forced->size(); ++row) {
        findings.push_back({Severity::fail,
                            "row_security",
                            "target: " + forced->text(row, 0),
                            "row security holds for its owner too, and would hide rows from our "
                            "role on the target",
                            "ALTER ROLE " + quote_identifier(PQuser(target.raw())) +
                                " BYPASSRLS;  -- on the target"});
    }
}

using Grants = std::set<std::pair<std::string, std::string>>;  // (grantee, privilege)

Result<Grants> read_grants(Connection& connection, const char* query) {
    const auto rows = connection.execute(query);
    if (!rows) return rows.error();
    Grants grants;
    for (int row = 0; row < rows->size(); ++row)
        grants.emplace(rows->text(row, 0), rows->text(row, 1));
    return grants;
}

// `what` in words, and `sql` as GRANT names it on the target. Who owns it on one side needs no
// grants there, and may have some on the other.
void compare_grants(const Grants& source,
                    const Grants& target,
                    const std::set<std::string>& owners,
                    const std::string& what,
                    const std::string& sql,
                    std::vector<Finding>& findings) {
    const auto name = [](const std::string& role) {
        return role.empty() ? std::string{"PUBLIC"} : quote_identifier(role);
    };
    for (const auto& [role, privilege] : source) {
        if (owners.contains(role)) continue;
        if (target.contains({role, privilege}) || target.contains({"", privilege})) continue;
        findings.push_back(
            {Severity::warn,
             "database_grants",
             "target: role " + (role.empty() ? "PUBLIC" : role),
             "it is granted " + privilege + " on " + what + " on the source, and not on the target",
             "GRANT " + privilege + " ON " + sql + " TO " + name(role) +
                 ";  -- on the target, when the role is there"});
    }
    for (const auto& [role, privilege] : target) {
        if (owners.contains(role)) continue;
        if (source.contains({role, privilege}) || source.contains({"", privilege})) continue;
        findings.push_back(
            {Severity::warn,
             "database_grants",
             "target: role " + (role.empty() ? "PUBLIC" : role),
             "it is granted " + privilege + " on " + what + " on the target, and not on the source",
             "REVOKE " + privilege + " ON " + sql + " FROM " + name(role) + ";  -- on the target"});
    }
}

// Who owns it on the source may do there what only a grant allows on the target.
void check_right_of_owner(Connection& target,
                          const std::string& role,
                          const std::string& privilege,
                          const std::string& what,
                          const std::string& sql,
                          std::vector<Finding>& findings) {
    const auto may = target.execute(owner_may_query, {role, privilege});
    if (!may || may->size() != 1 || may->truth(0, 0)) return;
    findings.push_back(
        {Severity::warn,
         "database_grants",
         "target: role " + role,
         "it owns " + what + " on the source, and has no " + privilege + " on it on the target",
         "GRANT " + privilege + " ON " + sql + " TO " + quote_identifier(role) +
             ";  -- on the target, when the role is there"});
}

// What belongs to the database as a whole is in no dump of its contents. CREATE is check_creators'.
void check_database(Connection& source, Connection& target, std::vector<Finding>& findings) {
    constexpr const char* query =
        "SELECT d.datname, pg_get_userbyid(d.datdba),"
        " pg_has_role(n.nspowner, 'USAGE'), replace(pg_get_userbyid(n.nspowner),"
        " 'pg_database_owner', pg_get_userbyid(d.datdba)), pg_get_userbyid(n.nspowner)"
        " FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = 'public' WHERE d.datname = "
        "current_database()";
    const auto from = source.execute(query), to = target.execute(query);
    if (!from || !to || from->size() != 1 || to->size() != 1) return;  // Said by check_databases.
    const std::string database = quote_identifier(to->text(0, 0));
    if (from->text(0, 1) != to->text(0, 1)) {
        findings.push_back(
            {Severity::information,
             "database_owner",
             "target: database " + to->text(0, 0),
             "it belongs to role " + to->text(0, 1) + ", on the source to " + from->text(0, 1) +
                 ", which may not alter its settings and grants on the target",
             "ALTER DATABASE " + database + " OWNER TO " + quote_identifier(from->text(0, 1)) +
                 ";  -- on the target, when the role is there"});
    }
    const auto wanted = read_grants(source, database_grants_query),
               found = read_grants(target, database_grants_query);
    const std::string owned = "DATABASE " + database;
    if (wanted && found) {
        compare_grants(
            *wanted, *found, {from->text(0, 1), to->text(0, 1)}, "the database", owned, findings);
    }
    check_right_of_owner(target, from->text(0, 1), "CONNECT", "the database", owned, findings);
    // Who owns the schema, or is superuser, restores them with it.
    if (to->null(0, 2) || to->truth(0, 2)) return;
    const auto here = read_grants(source, public_grants_query),
               there = read_grants(target, public_grants_query);
    if (!here || !there || from->null(0, 3)) return;
    const std::string what = "schema public", sql = "SCHEMA public";
    compare_grants(*here,
                   *there,
                   {from->text(0, 3), from->text(0, 4), to->text(0, 3), to->text(0, 4)},
                   what,
                   sql,
                   findings);
    check_right_of_owner(target, from->text(0, 3), "USAGE", what, sql, findings);
}

// A command is run there with the rights of the role that ran it here.
void check_creators(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto creators = source.execute(creators_query);
    if (!creators) return;  // Said by check_owners.
    for (int row = 0; row < creators->size(); ++row) {
        const std::string role = creators->text(row, 0);
        const auto may = target.execute(may_create_query, {role});
        if (!may || may->size() != 1) continue;
        const bool in_public = creators->truth(row, 2) && !may->truth(0, 1);
        if (may->truth(0, 0) && !in_public) continue;
        const std::string name = role.empty() ? "PUBLIC" : quote_identifier(role);
        const std::string database = quote_identifier(may->text(0, 2));
        findings.push_back(
            {Severity::warn,
             "ddl_rights",
             "target: role " + (role.empty() ? "PUBLIC" : role),
             std::string{"it may create "} +
                 (in_public ? may->truth(0, 0) ? "tables in schema public"
                                               : "schemas, and tables in schema public,"
                            : "schemas") +
                 (creators->truth(row, 1) ? " on the source, whose database it owns"
                                          : " on the source") +
                 ", and not on the target: such a command stops the stream where DDL is carried,"
                 " and fails after the cutover",
             (may->truth(0, 0) ? ""
                               : "GRANT CREATE ON DATABASE " + database + " TO " + name + "; ") +
                 (in_public ? "GRANT CREATE ON SCHEMA public TO " + name + "; " : "") +
                 " -- on the target, when the role is there"});
    }
}

}  // namespace

void check_owners(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings) {
    const auto owners = source.execute(owners_query);
    const auto there = read_target(source, target);
    if (!owners || !there) {
        const Error& error = owners ? there.error() : owners.error();
        findings.push_back({Severity::fail,
                            "databases",
                            owners ? "target" : "source",
                            "roles could not be examined: " + error.detail,
                            "check again"});
        return;
    }
    const std::string our_name = PQuser(target.raw());
    for (int row = 0; row < owners->size(); ++row) {
        const std::string role = owners->text(row, 0);
        if (role == our_name) continue;
        check_owner(settings,
                    *there,
                    role,
                    owners->truth(row, 1),
                    owners->truth(row, 2),
                    our_name,
                    findings);
    }
    check_creators(source, target, findings);
    check_database(source, target, findings);
    check_forced_row_security(settings, source, target, findings);
    if (!there->superuser) check_superuser_objects(source, our_name, findings);
}

}  // namespace segue::backfill::postgres
