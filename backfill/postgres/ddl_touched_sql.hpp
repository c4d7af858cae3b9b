#pragma once
// Which tables a captured command has made or changed (ddl_capture_sql.hpp).

namespace segue::backfill::postgres {

// The query of segue.ddl_touched().
extern const char* const ddl_touched_query;
// Body of segue.ddl_steady(tag, tables).
extern const char* const ddl_steady_body;

}  // namespace segue::backfill::postgres
