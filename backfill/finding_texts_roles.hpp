#pragma once
// Findings about roles, rights, logins and secrets. See finding_code.hpp.

#include <array>

#include "backfill/finding_text.hpp"

namespace segue::backfill {

inline constexpr auto finding_texts_roles = std::to_array<FindingText>({
    {"role_replication",
     "Segue's role may not read the change log.",
     "Copying and following need it.",
     "ALTER ROLE ... REPLICATION; configs/roles.sql grants all that Segue needs.",
     Acceptance::none},
    {"role_create",
     "Segue's role may not create a schema in the database.",
     "Segue keeps its record and its progress in schema segue, on both sides.",
     "GRANT CREATE ON DATABASE ... TO the role.",
     Acceptance::none},
    {"role_owner",
     "Segue's role is not a member of a role that owns what is to be moved.",
     "Only an owner may publish a table, put a fence on it, read and set its sequence, or create "
     "it "
     "for its owner on the target.",
     "GRANT the owner TO Segue's role.",
     Acceptance::none},
    {"role_usage",
     "Segue's role may not look into a schema.",
     "Its tables could be neither read nor written.",
     "GRANT USAGE ON SCHEMA ... TO the role.",
     Acceptance::none},
    {"role_schema",
     "Segue's role may not create tables in a schema that exists on the target.",
     "The schema is created there with its owners' rights; since PostgreSQL 15 nobody may create "
     "in "
     "schema public by default.",
     "GRANT CREATE ON SCHEMA ... until the copy is consistent.",
     Acceptance::none},
    {"replica_role",
     "Segue's role may not set session_replication_role.",
     "What the mover writes would fire the application's triggers again: rows twice, or refused.",
     "GRANT SET ON PARAMETER session_replication_role TO the role (from 15 on), or superuser.",
     Acceptance::none},
    {"row_security",
     "A table shows Segue's role only some of its rows.",
     "Only those would be copied.",
     "ALTER ROLE ... BYPASSRLS, or make the role a member of the table's owner where row security "
     "is not forced.",
     Acceptance::none},
    {"role_createrole",
     "Segue's role may not create roles on the target, as [target] roles = \"sync\" wants.",
     "The application's roles would be missing there.",
     "ALTER ROLE ... CREATEROLE, or create the roles yourself and set roles = \"keep\".",
     Acceptance::none},
    {"role_verifiers",
     "Segue's role may not read the stored passwords on the source.",
     "They are not carried: sessions of roles with a password can then move only where the target "
     "trusts them, or by [[credentials]].",
     "GRANT SELECT ON pg_catalog.pg_authid TO the role, on the source and on the target."},
    {"role_missing",
     "A role that may log in on the source does not exist on the target.",
     "Its sessions cannot be moved, and it cannot log in after the cutover.",
     "[target] roles = \"sync\", or CREATE ROLE there."},
    {"role_verifier",
     "A role's stored password differs on the two sides.",
     "One password lets it in on one side only: its sessions cannot be moved.",
     "[target] roles = \"sync\", or copy rolpassword, or [[credentials]]."},
    {"role_login",
     "How a role gets in on both servers.",
     "Each session must be able to log in on the other side without asking its user again.",
     "Nothing."},
    {"role_method",
     "pg_hba.conf asks for a proof of identity that Segue cannot pass on.",
     "Logins by GSSAPI, SSPI, certificate, ident, peer and OAuth end at Segue.",
     "A password method for connections from Segue's address before that line, or "
     "[[credentials]]."},
    {"database_setting",
     "The database has a setting (ALTER DATABASE ... SET) that the target's lacks.",
     "Only the database's owner may give it one: `start` would be refused.",
     "Run the command on the target, as the database's owner or a superuser, or make Segue's role "
     "its owner."},
    {"role_beyond_us",
     "Only a superuser may create this role on the target, or set its password.",
     "It is left as it is there.",
     "Create it, or make it equal, as a superuser, if an application uses it."},
    {"role_monitor",
     "Segue's role does not see what other roles' sessions do.",
     "Open transactions, direct connections and temporary tables of others cannot be examined, "
     "here "
     "nor before a cutover.",
     "GRANT pg_monitor TO the role."},
    {"role_signal",
     "Segue's role may not end other roles' sessions.",
     "A cutover ends sessions that are connected past Segue, and frozen ones of another Segue; "
     "where "
     "it may not, it is given up.",
     "GRANT pg_signal_backend TO the role."},
    {"owner_missing",
     "A role that owns objects or holds grants on the source is missing on the target, and is not "
     "created by [target] roles.",
     "The schema could not be created there.",
     "[target] roles = \"sync\", or CREATE ROLE on the target.",
     Acceptance::none},
    {"owner_not_ours",
     "Segue's role is not a member of a role that will own objects on the target.",
     "Only a member may give an object to that role.",
     "GRANT the owner TO Segue's role on the target.",
     Acceptance::none},
    {"superuser_object",
     "The schema holds an object that only a superuser may create, and Segue's role on the target "
     "is none.",
     "Creating the schema there would stop at it, in the middle of the move.",
     "Create it on the target as a superuser before `start` (what is there already is left alone), "
     "or use a superuser.",
     Acceptance::none},
    {"catalog_grants",
     "Grants on the server's own catalog are not carried, because Segue's role is no superuser.",
     "A monitoring tool may miss them after the cutover.",
     "Repeat them on the target, if an application needs them."},
    {"ddl_rights",
     "A role may create schemas, or tables in schema public, on the source and not on the target.",
     "A carried command is run with the rights of the role that ran it, so one that makes such a "
     "thing would stop the stream; and after the cutover the application could not do so either. "
     "Grants on schemas are copied with them, the database's owner and grants are not.",
     "Run the command that the finding names on the target, before the application does so."},
    {"database_owner",
     "The database belongs to another role on the target than on the source.",
     "Its owner may change its settings, grants and name, and drop it. That is no part of what is "
     "moved.",
     "ALTER DATABASE ... OWNER TO ... on the target, if the application's role is to have it."},
    {"database_grants",
     "A right on the database (CONNECT, TEMPORARY), or on schema public where Segue's role may not "
     "grant it, is not the same on both sides.",
     "After the cutover a role could not connect or make temporary tables, or one could that "
     "shall not. Grants on what is in the database are carried, those on the database are not.",
     "Run the command that the finding names on the target, before the cutover."},
    {"ddl_not_captured",
     "Segue's role is no superuser and cannot create event triggers.",
     "DDL of applications is not carried to the other side, in either direction, when one role is "
     "none: the stream stops before the next row of a table that it has changed, and different "
     "tables refuse the cutover. The fence cannot refuse DDL on the old side.",
     "Do not change the schema until finish, or use a superuser on both servers."},
    {"ddl_switched_off",
     "[ddl] carry is false.",
     "DDL of applications is not carried to the other side: the stream stops before the next row "
     "of a table that it has changed, and different tables refuse the cutover.",
     "Do not change the schema until finish, or set [ddl] carry = true before `start`."},
    {"md5_verifier",
     "A role's password is stored as an md5 hash.",
     "md5 is deprecated from PostgreSQL 18 on and will be removed; an md5 hash is as good as the "
     "password to whoever reads it.",
     "SET password_encryption = 'scram-sha-256' and set the password anew, on the source."},
    {"connection_unverified",
     "Segue's way to this server is neither local nor TLS with sslmode=verify-full.",
     "Whoever sits in between can read and change rows, and can pretend to be the server.",
     "Add sslmode=verify-full and sslrootcert to the URL."},
    {"clients_in_clear",
     "Segue accepts connections from other hosts without TLS.",
     "Passwords' proofs and rows pass the network in clear, even where the server itself wanted "
     "TLS.",
     "[listen] tls = \"require\" with tls_certificate and tls_key."},
    {"secret_file",
     "A file that holds a secret may be read by every user of Segue's host.",
     "Whoever reads it can log in as Segue.",
     "chmod 600 the file."},
    {"accept_unused",
     "An [[accept]] of the configuration names a finding that is not there.",
     "The decision decides nothing: the object may be misspelt, or the cause may be gone.",
     "Strike it out, or correct code and object as `segue check` prints them."},
});

}  // namespace segue::backfill
