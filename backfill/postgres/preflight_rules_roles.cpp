#include <array>

#include "backfill/postgres/preflight_rules.hpp"

namespace segue::backfill::postgres {

namespace {

using enum Severity;

constexpr std::array rules = {
    Rule{Where::both, fail, "role_replication", R"sql(
        SELECT 'role ' || rolname, 'the role may not read the change log',
               format('ALTER ROLE %I REPLICATION;', rolname)
        FROM pg_roles WHERE rolname = current_user AND NOT (rolsuper OR rolreplication))sql"},
    Rule{Where::both, fail, "role_create", R"sql(
        SELECT 'role ' || current_user, 'the role may not create schema segue',
               format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
        WHERE NOT has_database_privilege(current_database(), 'CREATE'))sql"},
    Rule{Where::both, fail, "role_owner", R"sql(
        SELECT 'role ' || current_user,
               format('the role is not a member of %s, who %sowns %s of the tables: it cannot publish or fence them',
                      o.rolname, CASE WHEN o.rolsuper THEN 'is a superuser and ' ELSE '' END, count(*)),
               -- A superuser's role makes superusers.
               CASE WHEN o.rolsuper THEN format('ALTER TABLE %s OWNER TO ...;  -- a role without superuser%s', min(m.oid::regclass::text),
                                                CASE WHEN count(*) > 1 THEN format('; and %s more', count(*) - 1) ELSE '' END)
                    ELSE format('GRANT %I TO %I;', o.rolname, current_user) END
        FROM moved m JOIN pg_class c USING (oid) JOIN pg_roles o ON o.oid = c.relowner
        WHERE NOT pg_has_role(current_user, c.relowner, 'USAGE') GROUP BY o.rolname, o.rolsuper)sql"},
    Rule{Where::both, fail, "role_owner", R"sql(
        SELECT 'role ' || current_user,
               format('the role is not a member of %s, who owns sequence %s%s: it may not read and set it', o.rolname, min(s.name),
                      CASE WHEN count(*) > 1 THEN format(' and %s more', count(*) - 1) ELSE '' END),
               CASE WHEN o.rolsuper THEN format('GRANT SELECT, UPDATE ON SEQUENCE %s TO %I;', min(s.oid::regclass::text), current_user)
                    ELSE format('GRANT %I TO %I;', o.rolname, current_user) END
        FROM (SELECT c.oid, c.relowner, n.nspname || '.' || c.relname AS name
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%'
                AND n.nspname NOT IN ('information_schema', 'segue')
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) s
        JOIN pg_roles o ON o.oid = s.relowner
        WHERE NOT pg_has_role(current_user, s.relowner, 'USAGE')
          AND NOT (has_sequence_privilege(s.oid, 'SELECT') AND has_sequence_privilege(s.oid, 'UPDATE'))
          AND NOT EXISTS (SELECT FROM moved m JOIN pg_class c USING (oid) WHERE c.relowner = s.relowner)
        GROUP BY o.rolname, o.rolsuper)sql"},
    Rule{Where::both, fail, "role_usage", R"sql(
        SELECT 'schema ' || n.nspname, 'our role may not look into the schema',
               format('GRANT USAGE ON SCHEMA %I TO %I;', n.nspname, current_user)
        FROM pg_namespace n WHERE n.nspname IN (SELECT schema FROM moved) AND NOT has_schema_privilege(n.oid, 'USAGE'))sql"},
    // Whoever has the owner's rights is shown all rows, unless the owner itself is not.
    Rule{Where::both, fail, "row_security", R"sql(
        SELECT m.label, 'the table has row security, and our role would copy only the rows that it is shown',
               format('ALTER ROLE %I BYPASSRLS;', current_user)
        FROM moved m JOIN pg_class c USING (oid) WHERE c.relrowsecurity
          AND (c.relforcerowsecurity OR NOT pg_has_role(current_user, c.relowner, 'USAGE'))
          AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user))sql"},
    Rule{Where::source, warn, "role_verifiers", R"sql(
        SELECT 'role ' || current_user, 'the role cannot read pg_authid: passwords of the application''s roles are not'
               ' carried, and their sessions cannot be moved at a cutover unless the target trusts them',
               format('GRANT SELECT ON pg_catalog.pg_authid TO %I;', current_user)
        WHERE NOT has_table_privilege('pg_catalog.pg_authid', 'SELECT'))sql"},
    Rule{Where::both, warn, "role_monitor", R"sql(
        SELECT 'role ' || current_user, 'the role is not shown what other sessions do: open transactions and direct'
               ' connections cannot be examined', format('GRANT pg_monitor TO %I;', current_user)
        WHERE NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'))sql"},
    Rule{Where::both, warn, "role_signal", R"sql(
        SELECT 'role ' || current_user, 'the role may not end the sessions of others, which a change of authority needs for'
               ' those that bypass Segue', format('GRANT pg_signal_backend TO %I;', current_user)
        WHERE NOT pg_has_role(current_user, 'pg_signal_backend', 'USAGE'))sql"},
    Rule{Where::target, information, "catalog_grants", R"sql(
        SELECT 'role ' || current_user, 'the role is no superuser: grants on the server''s own catalog (pg_catalog) are'
               ' not carried', 'repeat them on the target, if an application needs them'
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper)sql"},
    Rule{Where::both, information, "ddl_not_captured", R"sql(
        SELECT 'role ' || current_user, 'the role is no superuser and cannot create event triggers: DDL is not carried to the'
               ' other side, and the fence cannot refuse it on the old one',
               format('do not change the schema until finish, or ALTER ROLE %I SUPERUSER;', current_user)
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper)sql"},
};

}  // namespace

std::span<const Rule> role_rules() { return rules; }

}  // namespace segue::backfill::postgres
