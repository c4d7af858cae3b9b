#pragma once
// The texts of the capture of DDL (ddl_capture.hpp): what runs inside the authority when an
// application changes its schema.
//
// It runs as Segue's superuser, in transactions of applications, so: it never writes to their
// tables but as the table's owner in the sandbox (ddl_sandbox_sql.hpp); it believes no setting that
// an application can set; it waits for no lock that the application does not hold already; and an
// error of its own does not fail the command, but is recorded as a command that cannot be carried.

#include <string>
#include <utility>
#include <vector>

namespace segue::backfill::postgres {

// How the refusal of a command begins whose rows alone are in its way: they have no row in the
// stream. Where all rows are still to be copied, nothing is.
inline constexpr const char* ddl_rows_not_shown = "it makes values that the stream does not show";

// A command's text is carried up to this size; beyond it the command is refused where it would be
// applied.
inline constexpr int ddl_text_max = 1 << 20;
// Rows that a command has computed by itself (a volatile default, a USING clause) do not stand in
// the stream. Up to this size of a table the capture writes them once more, in the application's
// transaction and inside its command, which takes a fraction of a second; beyond it the command
// passes at once and is not carried: the stream stops there, with what the operator can do.
inline constexpr long long ddl_rewrite_bytes_max = 16LL << 20;

// So long the capture asks again, at one event, for locks that others have; then the command
// passes, and what it made of the tables is left to the operator. It stands in a queue only for
// what nobody keeps (the end of a catalog's file, say), so long at most, and is tried so often
// where it met more.
inline constexpr int ddl_wait_ms_max = 1000, ddl_queue_ms_max = 300, ddl_attempts_max = 3;
// Classes of advisory locks, shared and until the end of the transaction: on the number of a table
// with values that a command has computed, and on the number of its file once they are written.
inline constexpr int ddl_rewritten_lock = 1399154533, ddl_shown_lock = 1399154534;

struct DdlCapture {
    std::string role, migration_id;       // The mover's.
    std::string publication;              // Of the tables at the start.
    std::vector<std::string> new_tables;  // Publications for tables that are made later.
    std::vector<std::string> exclude;
};

// The functions; Segue's own objects only. Pure.
std::string ddl_functions_sql(const DdlCapture& capture);
extern const char* const ddl_function_names;
// Needs a superuser. Idempotent.
extern const char* const ddl_event_triggers_sql;

// A text with %NAME% replaced by values. Pure.
std::string ddl_filled(std::string text,
                       const std::vector<std::pair<std::string, std::string>>& values);
// The body of a function in PL/pgSQL that returns what this query gives: a session plans it once,
// with the setting even before it has seen any values. One in SQL is planned for each call, which
// takes longer than to run it. Pure.
std::string ddl_answer(const std::string& query);
inline constexpr const char* ddl_planned_once =
    " SET plan_cache_mode = force_generic_plan SET max_parallel_workers_per_gather = 0"
    " SET enable_seqscan = on SET enable_bitmapscan = on";
// CREATE OR REPLACE FUNCTION segue.<head>. Pure.
std::string ddl_function_sql(const std::string& head,
                             const std::string& attributes,
                             const std::string& body);

}  // namespace segue::backfill::postgres
