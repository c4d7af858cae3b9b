#pragma once
// The texts of the capture of DDL (ddl_capture.hpp): what runs inside the servers.

#include <string>
#include <vector>

namespace segue::backfill::postgres {

// A command's text is carried up to this size; beyond it the command is refused where it would be
// applied.
inline constexpr int ddl_text_max = 1 << 20;
// Rows that a command has computed by itself (a volatile default, a USING clause) do not stand in
// the stream. Up to this size of a table the capture writes them once more, in the application's
// transaction.
inline constexpr long long ddl_rewrite_bytes_max = 256LL << 20;

struct DdlCapture {
    std::string role, migration_id;  // The mover's.
    std::string publication;
    std::vector<std::string> exclude;
};

// The functions; Segue's own objects only. Pure.
std::string ddl_functions_sql(const DdlCapture& capture);
// All of them, for DROP and REVOKE.
extern const char* const ddl_function_names;
// Needs a superuser. Idempotent.
extern const char* const ddl_event_triggers_sql;

}  // namespace segue::backfill::postgres
