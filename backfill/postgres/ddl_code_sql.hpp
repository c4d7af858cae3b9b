#pragma once
// What whoever writes to a table runs without having asked for it: checks, domains, generated
// columns, expressions of indexes, statistics and partition keys, types. On the follower that is
// the mover, with the rights of Segue's role.

namespace segue::backfill::postgres {

// The query of segue.ddl_code(names, others): what of these tables (or of all others; %WHICH% in it
// is the condition) is not known to be harmless, as an array of texts "<what> of <table>
// #<number>", where the number is another one when the thing is another one, whatever it is called.
// Harmless is what consists of the server's own immutable functions, and of those of extensions
// that are written in C, over types of the same kind, enums, arrays, composites and domains of
// them: none of it calls anything that a role could have written. Everything that is not known here
// is not harmless.
extern const char* const ddl_code_query;
// Whether these tables have anything but columns of the server's own plain types and indexes of
// nothing but columns, of which all is known: to plan that takes much longer than this, which is
// all that most tables need.
extern const char* const ddl_more_than_columns_query;

}  // namespace segue::backfill::postgres
