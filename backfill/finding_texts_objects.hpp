#pragma once
// Findings about tables and what else is in the databases. See finding_code.hpp.

#include <array>

#include "backfill/finding_text.hpp"

namespace segue::backfill {

inline constexpr auto finding_texts_objects = std::to_array<FindingText>({
    {"without_key",
     "The table has no primary key and no replica identity index, or a DEFERRABLE one, which names "
     "no row.",
     "Updates and deletes do not say which row they meant. With REPLICA IDENTITY FULL they name it "
     "by all its values, which costs log and time for each.",
     "Add a primary key, or set REPLICA IDENTITY USING INDEX where there is a unique one, or leave "
     "[tables] without_key = \"full\", or exclude the table.",
     Acceptance::none},
    {"identity_nothing",
     "The table's REPLICA IDENTITY is NOTHING.",
     "Updates and deletes do not say which row they meant; once the table is published PostgreSQL "
     "refuses them.",
     "ALTER TABLE ... REPLICA IDENTITY DEFAULT, or FULL where there is no primary key."},
    {"generated_key",
     "The table's key contains a generated column.",
     "Generated columns are not in the change log's stream: updates and deletes do not say which "
     "row "
     "they meant, and the stream would stop at the first one.",
     "Make a unique index of columns that are NOT NULL and not generated and set REPLICA IDENTITY "
     "USING INDEX, or exclude the table.",
     Acceptance::none},
    {"full_identity_cost",
     "The table is updated, has REPLICA IDENTITY FULL and no index by which a row could be found.",
     "Each update or delete of a row reads the whole table on the follower, and the log carries "
     "the "
     "whole old row.",
     "Add a primary key, and set REPLICA IDENTITY DEFAULT."},
    {"unlogged_table",
     "The table is unlogged.",
     "Its changes are not in the change log: its rows are not moved.",
     "ALTER TABLE ... SET LOGGED, or exclude it; or accept that it begins empty on the target."},
    {"large_objects",
     "The database holds large objects.",
     "They are not in the change log and are not moved; columns that hold their OIDs would point "
     "to "
     "nothing.",
     "Move them to bytea columns before the move, or unlink those that nobody needs."},
    {"oid_column",
     "A column holds OIDs, or places in a server's log.",
     "Places in the log, and OIDs of large objects, tables and types are others on another server: "
     "what the column points "
     "to does not exist there under that number.",
     "Look at what the application keeps in it; numbers of its own are safe."},
    {"foreign_table",
     "The table's rows are on another server.",
     "Only its definition is carried; user mappings and their passwords are not.",
     "Create the user mappings on the target, and let the other server accept it."},
    {"materialized_view",
     "The view's rows are computed.",
     "They are computed anew on the target at the end of the copy, and not followed.",
     "REFRESH MATERIALIZED VIEW before the cutover: on the source, from where it is carried, or on "
     "the "
     "target, where DDL is not carried."},
    {"replica_trigger",
     "A trigger of the table fires for what replication writes, too.",
     "It would fire again for each row that the mover writes: its effects would be there twice.",
     "ALTER TABLE ... ENABLE TRIGGER makes it an ordinary one."},
    {"replica_rule",
     "A rule of the table applies to what replication writes, too.",
     "It would rewrite what the mover writes.",
     "ALTER TABLE ... ENABLE RULE makes it an ordinary one."},
    {"transaction_id_column",
     "A column holds ids of transactions, snapshots or physical places of rows.",
     "They mean nothing on another server: comparisons with them go wrong after the cutover.",
     "Drop the column, exclude the table, or accept it where old values are never compared."},
    {"transaction_id_default",
     "A default, generated column or constraint computes ids of transactions or places in the log.",
     "Ids of the target continue from another number, so that order and comparisons across the "
     "cutover are wrong.",
     "Use a sequence or a timestamp instead, or accept it where values are only compared for "
     "equality within one transaction."},
    {"transaction_id_code",
     "A function or view names transaction ids, xmin, ctid or places in the log.",
     "What it keeps or compares beyond one transaction means nothing on another server.",
     "Look at it: within one transaction it is harmless."},
    {"virtual_column",
     "The table has a column that is generated when read, and rows that are identified by all "
     "their "
     "columns.",
     "PostgreSQL refuses to update such a row of a published table: the application would fail.",
     "Add a primary key, or exclude the table.",
     Acceptance::none},
    {"one_chunk",
     "The order of the table's key cannot be followed outside the server.",
     "The table is copied in one piece, and begins again if interrupted.",
     "Nothing; plan for it where the table is large."},
    {"inheritance",
     "The table inherits, or is inherited from, without partitioning.",
     "Each is moved by itself, with its own rows.",
     "Nothing."},
    {"partition_end",
     "The last range of a table that is partitioned by time ends soon, and there is no default "
     "partition.",
     "Rows behind it are refused with an error by whichever server has the authority. Whatever "
     "makes the next partitions must do so during the move, which is DDL.",
     "Make the partitions for the time that the move takes, and a reserve, before `start`."},
    {"tablespace",
     "Tables or indexes are in a tablespace of their own.",
     "Where a server keeps what is its own affair: on the target everything is made in the "
     "database's tablespace, which needs the room.",
     "CREATE DATABASE ... TABLESPACE on the target; or create the tables there before `start`, "
     "equal and empty; or ALTER TABLE ... SET TABLESPACE after `finish`."},
    {"invalid_index",
     "An index or constraint's index is INVALID: its building failed or is still going on.",
     "It is not carried, and the schemas then differ, which refuses the cutover.",
     "REINDEX INDEX CONCURRENTLY ..., or DROP INDEX. Where the finding names a server process the "
     "index is still being built: wait for its end (pg_stat_progress_create_index), and `start` "
     "then."},
    {"disabled_constraint",
     "A foreign key or deferrable constraint is not looked after, because its triggers are "
     "disabled.",
     "pg_dump does not carry that. At the end of the copy the target checks all rows, and one that "
     "breaks the constraint ends the copy there; where none does, the schemas differ, which "
     "refuses the cutover.",
     "Mend the rows, and ALTER TABLE ... ENABLE TRIGGER, or drop the constraint. Where it must "
     "stay so: accept it, and disable the same triggers on the target before the cutover, as "
     "Segue's own role, with the rights of a superuser."},
    {"not_valid_constraint",
     "A constraint is NOT VALID: rows that break it may exist.",
     "On the follower such a row cannot be written again, by an update or by `segue repair`.",
     "ALTER TABLE ... VALIDATE CONSTRAINT, after mending the rows that break it."},
    {"row_function",
     "A constraint, generated column, index or domain calls a function of your own that is not "
     "declared safe for it.",
     "It is evaluated again for each copied row, with search_path pg_catalog and while other "
     "tables "
     "are still empty: if it reads tables, or finds its own helpers by search_path, the copy "
     "stops.",
     "ALTER FUNCTION ... SET search_path = ..., and do not read other tables in it."},
    {"function_path",
     "A constraint, generated column, index or materialized view calls a function whose body finds "
     "others, or types or tables, by the application's search_path.",
     "The mover writes rows, makes indexes and fills views with search_path pg_catalog on either "
     "server, as pg_restore does: the function fails there, and the copy never ends.",
     "ALTER FUNCTION ... SET search_path = ..., with the schemas that it needs. Of an extension's "
     "function (ll_to_earth of earthdistance before 1.2) on both servers.",
     Acceptance::none},
    {"function_setting",
     "A constraint, generated column, index or materialized view calls a function that reads a "
     "setting of the application's sessions.",
     "The mover's sessions do not have it: the function fails there, and the copy stops.",
     "ALTER DATABASE ... SET it on both servers, to a value with which the rows pass, or let the "
     "function use current_setting('...', true)."},
    {"function_untried",
     "An expression of a constraint, generated column, index or materialized view was not tried. "
     "It is with the rights of its owner only, whose role Segue could not take, or who may not "
     "read the table.",
     "Whether its functions find their helpers without the application's search_path is not known; "
     "where they do not, the copy stops.",
     "Try it as its owner with search_path pg_catalog, or ALTER FUNCTION ... SET search_path = "
     "..., with the schemas that it needs."},
    {"money_locale",
     "The table has a money column, and the servers format money differently.",
     "The application would read and write other texts, and amounts with another number of "
     "decimals, "
     "after the cutover.",
     "Set lc_monetary on the target as on the source."},
    {"exclude_unknown",
     "[tables] exclude names a table that does not exist.",
     "A misspelt name would leave the table in the move without a word.",
     "Write \"schema.table\" as the catalog spells it, without quotes.",
     Acceptance::none},
    {"exclude_dependent",
     "Something that is moved depends on an excluded table.",
     "The excluded table is not created on the target, so a foreign key, view or partition that "
     "needs it cannot be created either.",
     "Exclude what depends on it as well, or drop the dependence, or move the table.",
     Acceptance::none},
    {"sequence_cache",
     "A sequence hands numbers out to sessions in blocks.",
     "Numbers that a session has in hand are lost when it moves, as when it ends; order between "
     "sessions was never promised.",
     "Nothing, unless the application needs numbers without gaps."},
    {"tables",
     "The tables could not be read.",
     "What could not be examined is not known to be safe.",
     "Grant what the finding says is missing, and check again.",
     Acceptance::none},
    {"table_different",
     "A table that exists on the target differs from the source's.",
     "Rows would be refused, cut, or mean something else; other triggers would do something else "
     "after the cutover, which is refused for that.",
     "Drop it there; Segue creates it. Or make it equal.",
     Acceptance::none},
    {"table_not_empty",
     "A table of the target holds rows that this migration did not copy.",
     "Segue never mixes its rows with others', and never deletes what it did not write.",
     "TRUNCATE it, or name it in [tables] exclude.",
     Acceptance::none},
    {"type_different",
     "A type that exists on the target differs from the source's.",
     "Values would be refused there, or be sorted differently.",
     "DROP TYPE there; Segue creates it. Or make it equal.",
     Acceptance::none},
    {"type_oids",
     "Types of the database's own have other OIDs on the target.",
     "Drivers keep OIDs. For sessions that move they are translated; connections opened after the "
     "cutover have the new ones.",
     "After the cutover have drivers that keep them for a whole process load them again."},
    {"extension",
     "The target's database does not have an extension that the source's uses, or has it in "
     "another "
     "schema.",
     "Extensions are not carried: the schema that uses one cannot be created there without it.",
     "CREATE EXTENSION on the target, in the same schema; install its package first, where the "
     "server does not have it.",
     Acceptance::none},
    {"extension_version",
     "The target would have another version of an extension than the source.",
     "Functions, types and stored data of an extension may differ between versions; an older one "
     "may "
     "lack what the schema uses.",
     "Update the package of the target, or ALTER EXTENSION ... UPDATE on the source."},
    {"extension_storage",
     "The extension keeps the application's rows in tables of its own.",
     "They belong to the extension and are not moved as tables, or only without what makes them "
     "whole.",
     "Move that database with the extension's own tools, or accept it where the extension is "
     "installed and not used."},
    {"extension_data",
     "An extension has a table with rows of yours: settings, jobs, definitions.",
     "Tables of extensions are not moved.",
     "Copy them by hand after `start`; let jobs run on one side only."},
    {"event_trigger",
     "An event trigger of your own exists.",
     "It fires for Segue's own DDL as well; one that writes is refused on the fenced side.",
     "ALTER EVENT TRIGGER ... DISABLE during the move, if it writes or refuses."},
});

}  // namespace segue::backfill
