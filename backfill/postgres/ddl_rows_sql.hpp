#pragma once
// Texts of the capture of DDL (ddl_capture_sql.hpp) that see to it that the stream has the rows of
// tables that were made or changed: published, with a name for each row, and written once more
// where a command has computed them. Marks %NAME% are filled there.

namespace segue::backfill::postgres {

// A condition on pg_class c: the stream could not name its rows.
extern const char* const ddl_nameless_condition;
// The query of segue.ddl_nameless().
extern const char* const ddl_nameless_query;
// Bodies of the functions of these names.
extern const char* const ddl_publication_body;
extern const char* const ddl_publish_body;
extern const char* const ddl_adopt_body;
extern const char* const ddl_let_go_body;
extern const char* const ddl_rewritten_body;
extern const char* const ddl_computed_body;
extern const char* const ddl_obstacle_body;
extern const char* const ddl_plain_column_body;
extern const char* const ddl_show_body;

}  // namespace segue::backfill::postgres
