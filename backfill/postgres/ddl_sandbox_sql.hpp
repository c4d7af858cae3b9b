#pragma once
// The texts of what runs commands of applications, and of what is looked at around them.
//
// The sandbox: a command runs while the server builds an index of a table that its role owns, from
// an expression of the index. There the server itself forbids whatever could reach beyond that role
// or outlive the command: changing the role, temporary objects, cursors that are held, prepared
// statements, deferred triggers; and settings are put back. SET ROLE would not do: the text, or any
// function that it calls, can undo it.

#include <string>

namespace segue::backfill::postgres {

// segue.ddl_as(role, settings, tag, command): runs it so, if the server says that it is one command
//   of this tag.
// segue.ddl_look(names): what moved tables of these names look like, the same text on both sides.
// segue.ddl_arm(names): gives them the fence's trigger where it is missing or was disabled.
// segue.ddl_fires(names): what would fire for the mover's own writes as well.
// segue.ddl_code(names, others): see ddl_code_sql.hpp.
// segue.ddl_written(): how many rows of each table this transaction has written so far.
std::string ddl_sandbox_functions_sql(const std::string& role, const std::string& migration_id);
extern const char* const ddl_sandbox_function_names;
// Those that a role in the sandbox calls itself, for which it must see schema segue.
extern const char* const ddl_public_function_names;

}  // namespace segue::backfill::postgres
