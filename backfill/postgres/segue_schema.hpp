#pragma once
// Schema `segue`, the same on both sides: what Segue keeps in the databases. Every table's meaning
// is told by the comment in its DDL below.

#include <string>
#include <vector>

#include "router/side.hpp"

namespace segue::backfill::postgres {

// The setting that marks a session as the mover's; its value is the migration's id. The fence lets
// only sessions of the mover's role with this setting write.
inline constexpr const char* mover_setting = "segue.mover";
// The same for one transaction of another connection: the fence keeps everybody else from making
// tables and indexes.
inline constexpr const char* mover_for_now_sql =
    "SELECT set_config('segue.mover', migration_id, true) FROM segue.control; ";

// Key of the fence's advisory lock: shared by every writing transaction, exclusive by the fence.
inline constexpr long long fence_lock_key = 0x5365677565ll;  // "Segue"

inline constexpr const char* segue_schema_ddl = R"sql(
CREATE SCHEMA IF NOT EXISTS segue;
-- One row: see ControlRecord (backfill/control.hpp).
CREATE TABLE IF NOT EXISTS segue.control (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    migration text NOT NULL, migration_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('source', 'target')),
    epoch bigint NOT NULL, authority text NOT NULL CHECK (authority IN ('source', 'target')),
    phase text NOT NULL CHECK (phase IN ('steady', 'switching', 'deciding', 'finished')),
    attempt integer NOT NULL, since pg_lsn NOT NULL,
    backfill text NOT NULL CHECK (backfill IN ('none', 'copying', 'consistent')),
    paused boolean NOT NULL, mirror text NOT NULL CHECK (mirror IN ('off', 'async', 'sync')),
    shadow_percent double precision NOT NULL, shift_percent double precision NOT NULL,
    system_identifier text NOT NULL, timeline integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    shift_scope text NOT NULL DEFAULT '', sync_given_up text NOT NULL DEFAULT '');
-- One row: who runs the mover. Every mover transaction locks it FOR SHARE; taking the lease updates it.
CREATE TABLE IF NOT EXISTS segue.lease (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation bigint NOT NULL DEFAULT 0, holder text NOT NULL DEFAULT '',
    taken_at timestamptz NOT NULL DEFAULT now());
INSERT INTO segue.lease DEFAULT VALUES ON CONFLICT DO NOTHING;
-- How far a side's stream has been made durable HERE. Row (stream, 0) is the applier's; other writers (chunk
-- copies, key refresh) have rows of their own only to mark their transactions as the mover's: a transaction
-- in the stream that touches this table is the mover's, and nothing else marks one.
CREATE TABLE IF NOT EXISTS segue.progress (
    stream text NOT NULL CHECK (stream IN ('source', 'target')), writer integer NOT NULL,
    applied pg_lsn NOT NULL DEFAULT '0/0',          -- contiguous; in commit order
    beyond pg_lsn[] NOT NULL DEFAULT '{}',          -- commits above it that are applied as well
    restart pg_lsn NOT NULL DEFAULT '0/0',          -- what the slot may be confirmed to
    unseen_xids bigint[] NOT NULL DEFAULT '{}',     -- commits at or below restart not yet seen visible ...
    unseen_lsns pg_lsn[] NOT NULL DEFAULT '{}',     -- ... and where they ended
    generation bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, writer)) WITH (fillfactor = 50);
-- Chunks that are LOADED (only these are durable). Bounds are texts of the key columns: (low, high].
CREATE TABLE IF NOT EXISTS segue.chunk (
    table_schema text NOT NULL, table_name text NOT NULL, chunk bigint NOT NULL,
    low text[], high text[], load_position pg_lsn NOT NULL,
    rows bigint NOT NULL, bytes bigint NOT NULL,
    last_of_table boolean NOT NULL,                 -- no chunk follows: the table is loaded up to the end
    PRIMARY KEY (table_schema, table_name, chunk));
-- One row, updated by tickets.
CREATE TABLE IF NOT EXISTS segue.ticket (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), number bigint NOT NULL DEFAULT 0);
INSERT INTO segue.ticket DEFAULT VALUES ON CONFLICT DO NOTHING;
-- What `finish` puts back: (kind, object, previous value).
CREATE TABLE IF NOT EXISTS segue.saved (
    kind text NOT NULL, object text NOT NULL, previous text NOT NULL, PRIMARY KEY (kind, object));
-- Every change of state: who, what, why; bounded (event_log.hpp).
CREATE TABLE IF NOT EXISTS segue.event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL, detail text NOT NULL);
-- DDL of applications, one row a command (ddl_capture.hpp). `objects`: what it made, changed
-- or dropped. `command`: the text that the client sent, and `place`: which of its commands with that tag, from 1.
-- `settings`: names and values in turn, the role first. `look`: what the tables it touched look like afterwards. `missing`: arrays of schema, table, column
-- and value, as text. `code`: what whoever writes to those tables runs (ddl_code_sql.hpp). `refusal`: why it cannot be
-- carried, empty where it can.
CREATE TABLE IF NOT EXISTS segue.ddl (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
    tag text NOT NULL, objects text[] NOT NULL, command text NOT NULL, place integer NOT NULL, settings text[] NOT NULL,
    table_schemas text[] NOT NULL, table_names text[] NOT NULL, look text[] NOT NULL,
    missing text[] NOT NULL, refusal text NOT NULL, code text[] NOT NULL DEFAULT '{}');
-- Of the code of the other side's tables what was there at the start, or came with a command that the operator has
-- dealt with: by its number. What is not known stops the stream.
CREATE TABLE IF NOT EXISTS segue.ddl_known (
    stream text NOT NULL CHECK (stream IN ('source', 'target')), number text NOT NULL,
    PRIMARY KEY (stream, number));
-- Commands of the other side's segue.ddl that the operator has dealt with here by hand.
CREATE TABLE IF NOT EXISTS segue.ddl_handled (
    stream text NOT NULL CHECK (stream IN ('source', 'target')), id bigint NOT NULL,
    PRIMARY KEY (stream, id));
-- Of the capture itself, none of it in the stream. The token: what our own functions show each other while they run
-- DDL, and applications cannot know. Did: what a carried command did here, until the mover has read it. Nothing of
-- it is read and written by applications' transactions: those that are SERIALIZABLE would fail each other.
CREATE TABLE IF NOT EXISTS segue.ddl_token (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), token text NOT NULL DEFAULT gen_random_uuid());
INSERT INTO segue.ddl_token DEFAULT VALUES ON CONFLICT DO NOTHING;
-- The publications for tables that are made later: a transaction that adds a table to one has its row locked.
CREATE TABLE IF NOT EXISTS segue.ddl_publication (number integer NOT NULL, name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS segue.ddl_did (xid xid8 NOT NULL DEFAULT pg_current_xact_id(), did text[] NOT NULL);
-- The fence's flag, outside MVCC: last_value 1 open, 2 closed.
CREATE SEQUENCE IF NOT EXISTS segue.fence MINVALUE 1 MAXVALUE 2 START 1;
)sql";

// Without it whoever looks for events of one kind walks through the others. Apart, because
// databases of earlier builds have none; and only where it is missing, for CREATE INDEX IF NOT
// EXISTS waits for those who write to the table before it looks.
inline constexpr const char* event_index_ddl =
    "DO $$ BEGIN IF to_regclass('segue.event_of_kind') IS NULL THEN"
    " CREATE INDEX event_of_kind ON segue.event (kind, id); END IF; END $$; ";

// What verifications and repairs leave behind, the same on both sides; `finish` keeps it. Apart,
// because a migration that was started by an earlier build gets it when it is first needed.
inline constexpr const char* verify_schema_ddl = R"sql(
-- One row a verification (backfill/verification.hpp), the last ones of each kind.
CREATE TABLE IF NOT EXISTS segue.verification (
    id text PRIMARY KEY, kind text NOT NULL, verdict text NOT NULL, asked_by text NOT NULL, build text NOT NULL,
    authority text NOT NULL, since pg_lsn NOT NULL, strays bigint NOT NULL,
    begun_at timestamptz NOT NULL, ended_at timestamptz, noted_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS segue.verified_table (
    verification text NOT NULL,
    table_schema text NOT NULL, table_name text NOT NULL,
    verdict text NOT NULL, problem text NOT NULL,      -- "excluded" is told here as well
    source_rows numeric NOT NULL, source_sums text NOT NULL, target_rows numeric NOT NULL, target_sums text NOT NULL,
    differences bigint NOT NULL,
    source_from pg_lsn NOT NULL, source_to pg_lsn NOT NULL, target_from pg_lsn NOT NULL, target_to pg_lsn NOT NULL,
    begun_at timestamptz, ended_at timestamptz,
    low text[],                                        -- where the comparison of a large table goes on
    sql text NOT NULL,                                 -- gives rows and sums on either server
    PRIMARY KEY (verification, table_schema, table_name));
-- The rows that differ, by key and kind: the first of them, see verify_differences_max.
CREATE TABLE IF NOT EXISTS segue.difference (
    verification text NOT NULL,
    table_schema text NOT NULL, table_name text NOT NULL, number bigint NOT NULL, kind text NOT NULL, key text NOT NULL,
    PRIMARY KEY (verification, table_schema, table_name, number));
-- Who mended what. `begun` is written on the authority before the rows are; `done` with them, in one transaction,
-- on the follower, and afterwards on the authority.
CREATE TABLE IF NOT EXISTS segue.repair (
    id text NOT NULL, table_schema text NOT NULL, table_name text NOT NULL, verification text NOT NULL,
    asked_by text NOT NULL, role text NOT NULL DEFAULT current_user, authority text NOT NULL,
    missing bigint NOT NULL, extra bigint NOT NULL, changed bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('begun', 'done')), at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, table_schema, table_name));
)sql";

// Kind in segue.saved of the files of sequences that carried DDL has touched, by the sequences'
// numbers: one that it has restarted has a new file.
inline constexpr const char* carried_sequence = "sequence_carried";

// Default privileges of Segue's role may have given others more than nothing, and the mover
// believes what stands in its tables. To be run in the transaction that makes them. Where DDL is
// captured everybody names the schema (ddl_sandbox_sql.hpp), and still reads nothing of it.
extern const char* const keep_to_ourselves_sql;

// Slots are unique in a server, so they carry the side. Lower case letters, digits and _ only.
std::string slot_name(const std::string& migration, Side stream_of);
std::string publication_name(const std::string& migration);
// Publications for tables that are made later, where DDL is carried: so many, because a transaction
// that adds a table to one has it to itself until its end.
inline constexpr int new_table_publications = 32;
std::vector<std::string> new_table_publication_names(const std::string& migration);
// All of them.
std::vector<std::string> publication_names(const std::string& migration);

}  // namespace segue::backfill::postgres
