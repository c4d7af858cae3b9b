#pragma once
// A row of segue.ddl (ddl_capture.hpp) as the applier reads it, and the texts by which tables of
// both sides are compared.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/change.hpp"

namespace segue::backfill::postgres {

struct DdlRecord {
    std::string id, tag, command, refusal, role;
    std::string text_id;  // The row that has its text: the first one of its message.
    int place = 1;
    std::vector<std::string> objects, settings, look, missing, code;
    std::vector<std::string> schemas, names;
    std::vector<std::string> extensions;  // Arrays of name, version and schema, as text.
    bool without_constraints = false;     // They are not compared.
};

// Of segue.ddl, those that are read.
inline constexpr auto ddl_columns = std::to_array<const char*>({"id",
                                                                "tag",
                                                                "objects",
                                                                "command",
                                                                "place",
                                                                "settings",
                                                                "table_schemas",
                                                                "table_names",
                                                                "look",
                                                                "missing",
                                                                "refusal",
                                                                "code"});

DdlRecord read_ddl_record(const SchemaChange& change);

// schema.table
std::vector<std::string> plain_names(const DdlRecord& record);

// What was dumped and restored is told in other words. An index that could not be built is none: no
// event has told of it.
std::vector<std::string> comparable(std::vector<std::string> look);

// Of two looks; empty when there is none.
std::string first_difference(const std::vector<std::string>& wanted,
                             const std::vector<std::string>& found);

// Until the copy is whole the follower has neither indexes but keys nor constraints, triggers or
// policies; they are taken from the authority as it is then.
bool comes_with_the_rest(const std::string& tag);
// A comment on such things only: it comes with them, where they are not there yet.
bool is_comment_on_the_rest(const DdlRecord& record);
void leave_for_later(DdlRecord& record);
// A line of a look that is left for later; that is of an index.
bool is_left_for_later(const std::string& line);
bool is_of_index(const std::string& line);
// The same of what a command has made, as the server names it ("index app.i").
bool is_object_of_the_rest(const std::string& object);

// The table is there after the command, and rows of it are moved.
bool has_moved_rows(const DdlRecord& record, const SchemaChange::TableId& table);

}  // namespace segue::backfill::postgres
