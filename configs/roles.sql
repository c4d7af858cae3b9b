-- What Segue's role needs where it is not to be a superuser. Run it with psql as a superuser, connected to the
-- database that is moved, on both servers before `segue check`, which asks for each of these:
--
--   psql -v side=source -v role=segue -d shop -f configs/roles.sql
--   psql -v side=target -v role=segue -d shop -f configs/roles.sql
--
-- and give it a password: \password segue. It may be run again, as when tables of another owner have come.
-- From PostgreSQL 15 on this is enough; before, only a superuser may set session_replication_role.
--
-- What is lost without superuser, and `segue check` says it: event triggers, which only a superuser may create in every version,
-- so that DDL is not carried ([ddl] carry) nor refused by the fence: a table that is changed stops the stream before its next row;
-- roles that only a superuser may create; grants on pg_catalog; extensions that are not trusted, and functions in C,
-- which a superuser must create on the target.

\set ON_ERROR_STOP on
\if :{?side}
\else
\echo 'give the side: -v side=source or -v side=target'
\quit
\endif
\if :{?role}
\else
\set role segue
\endif

SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

-- Reads the change log, keeps its record in schema segue, sees and ends sessions that are in the way of a cutover.
ALTER ROLE :"role" REPLICATION;
SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO %I', current_database(), :'role') \gexec
GRANT pg_monitor, pg_signal_backend TO :"role";

-- Writes rows without firing the application's triggers a second time.
SELECT format('GRANT SET ON PARAMETER session_replication_role TO %I', :'role')
WHERE current_setting('server_version_num')::int >= 150000 \gexec

-- Compares, and on the target sets, the stored passwords, so that each client logs in on both sides with its own.
GRANT SELECT ON pg_catalog.pg_authid TO :"role";

-- Only owners may publish a table, put the fence on it, or set its sequence. Who is given a superuser's role is one as
-- well, so that such owners are not given but named.
CREATE TEMPORARY VIEW segue_owned AS
SELECT o.rolname AS owner, o.rolsuper AS by_superuser, format('ALTER %s %s OWNER TO ...;', CASE c.relkind WHEN 'v' THEN 'VIEW'
    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, format('%I.%I', n.nspname, c.relname)) AS command
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%'
  AND n.nspname NOT IN ('information_schema', 'segue')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  -- Those of a serial or identity column change hands with their table.
  AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')));
SELECT DISTINCT format('GRANT %I TO %I', owner, :'role') FROM segue_owned WHERE NOT by_superuser AND owner <> :'role' \gexec
SELECT count(*) > 0 AS by_superuser FROM segue_owned WHERE by_superuser AND owner <> :'role' \gset
\if :by_superuser
\warn 'Superusers own what stands below, and to move it without superuser its owner must be another role, such as that of the'
\warn 'application. Name one and run these commands, then this file again; or let Segue''s role be a superuser.'
SELECT owner, command FROM segue_owned WHERE by_superuser AND owner <> :'role' ORDER BY 1, 2;
\endif
DROP VIEW segue_owned;
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, :'role') FROM pg_namespace
WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'segue') \gexec

-- Where row security holds for owners too, it would hide rows from the copy. On the target `segue check` asks for it,
-- when the source has such tables: ALTER ROLE ... BYPASSRLS.
SELECT format('ALTER ROLE %I BYPASSRLS', :'role')
WHERE EXISTS (SELECT FROM pg_class WHERE relforcerowsecurity) \gexec

SELECT :'side' = 'target' AS on_target \gset
\if :on_target
-- Creates the roles of the applications ([target] roles = "sync"), and the tables for their owners. The second is
-- needed until the copy is consistent: then REVOKE CREATE ON SCHEMA public FROM PUBLIC, if it was not there before.
ALTER ROLE :"role" CREATEROLE;
GRANT CREATE ON SCHEMA public TO PUBLIC;
\endif
