#include "backfill/postgres/ddl_record.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "backfill/postgres/schema_signature.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

std::vector<std::string> comparable(std::vector<std::string> look) {
    std::erase_if(look, [](const std::string& line) { return line.ends_with(" INVALID"); });
    for (std::string& line : look) line = canonical_definition(line);
    return look;
}

DdlRecord read_ddl_record(const SchemaChange& change) {
    DdlRecord record;
    for (std::size_t i = 0; i + 1 < change.record.size(); i += 2) {
        const std::string& column = change.record[i];
        const std::string& value = change.record[i + 1];
        if (column == "id") record.id = record.text_id = value;
        if (column == "tag") record.tag = value;
        if (column == "command") record.command = value;
        if (column == "refusal") record.refusal = value;
        if (column == "place") record.place = std::atoi(value.c_str());
        if (column == "objects") record.objects = parse_text_array(value);
        if (column == "settings") record.settings = parse_text_array(value);
        if (column == "look") record.look = comparable(parse_text_array(value));
        if (column == "missing") record.missing = parse_text_array(value);
        if (column == "code") record.code = parse_text_array(value);
    }
    if (record.tag.ends_with(" EXTENSION")) record.extensions = std::move(record.look);
    const auto role = std::find(record.settings.begin(), record.settings.end(), "role");
    if (role != record.settings.end() && role + 1 != record.settings.end()) {
        record.role = *(role + 1);
        record.settings.erase(role, role + 2);
    }
    for (const auto& table : change.tables) {
        record.schemas.push_back(table.schema);
        record.names.push_back(table.name);
    }
    return record;
}

std::vector<std::string> plain_names(const DdlRecord& record) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < record.names.size(); ++i)
        names.push_back(record.schemas[i] + "." + record.names[i]);
    return names;
}

bool comes_with_the_rest(const std::string& tag) {
    return (tag.ends_with(" INDEX") && tag != "DROP INDEX") || tag.ends_with(" TRIGGER") ||
           tag.ends_with(" POLICY") || tag.ends_with(" STATISTICS");
}

bool is_object_of_the_rest(const std::string& object) {
    for (const char* kind :
         {"index ", "table constraint ", "trigger ", "policy ", "statistics object "}) {
        if (object.starts_with(kind)) return true;
    }
    return false;
}

bool is_comment_on_the_rest(const DdlRecord& record) {
    return record.tag == "COMMENT" && !record.objects.empty() &&
           std::all_of(record.objects.begin(), record.objects.end(), is_object_of_the_rest);
}

bool is_of_index(const std::string& line) { return line.find(" | index | ") != std::string::npos; }

bool is_left_for_later(const std::string& line) {
    return line.find(" | constraint | ") != std::string::npos || is_of_index(line);
}

void leave_for_later(DdlRecord& record) {
    record.without_constraints = true;
    std::erase_if(record.look, is_left_for_later);
}

bool has_moved_rows(const DdlRecord& record, const SchemaChange::TableId& table) {
    const std::string line = table.schema + "." + table.name + " | table |  | r p";
    return std::any_of(record.look.begin(), record.look.end(), [&](const std::string& look) {
        return look.starts_with(line);
    });
}

namespace {

// "table | kind | name | definition". A name may have the mark in it: then the line is what it is.
struct LookLine {
    std::string_view object, kind, definition;
};

LookLine parse_look_line(std::string_view line) {
    constexpr std::string_view mark = " | ";
    std::size_t ends[3] = {};
    for (std::size_t i = 0, from = 0; i < 3; from = ends[i++] + mark.size()) {
        ends[i] = line.find(mark, from);
        if (ends[i] == std::string_view::npos) return {line, "", ""};
    }
    const std::size_t kind = ends[0] + mark.size();
    return {line.substr(0, ends[2]),
            line.substr(kind, ends[1] - kind),
            line.substr(ends[2] + mark.size())};
}

bool has_line(const std::vector<std::string>& lines, const std::string& wanted) {
    if (std::find(lines.begin(), lines.end(), wanted) != lines.end()) return true;
    const LookLine one = parse_look_line(wanted);
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
        const LookLine other = parse_look_line(line);
        return other.object == one.object &&
               same_definition(one.kind, one.definition, other.definition);
    });
}

}  // namespace

std::string first_difference(const std::vector<std::string>& wanted,
                             const std::vector<std::string>& found) {
    for (const std::string& line : wanted) {
        if (!has_line(found, line)) return "it is without " + line;
    }
    for (const std::string& line : found) {
        if (!has_line(wanted, line)) return "it still has " + line;
    }
    return "";
}

}  // namespace segue::backfill::postgres
