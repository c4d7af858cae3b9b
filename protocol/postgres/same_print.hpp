#pragma once
// Definitions as two servers print them. From PostgreSQL 14 on a server prints some functions in
// the words of the standard (`x AT TIME ZONE 'utc'`) that it was given, where an older one prints
// what they call (`timezone('utc'::text, x)`).

#include <string_view>

namespace segue::protocol::postgres {

// Whether two statements (a SELECT, CREATE INDEX, CREATE TRIGGER, ALTER TABLE ... ADD CONSTRAINT)
// are the same but for that. Functions named without a schema are taken for the server's own. False
// for what the grammar does not understand. Thread-safe; costs two parses.
bool same_print(std::string_view one, std::string_view other);

}  // namespace segue::protocol::postgres
