#include "backfill/postgres/dump_script.hpp"

#include <charconv>
#include <map>
#include <set>

namespace segue::backfill::postgres {

namespace {

// Takes a number off the front of `text`; false when there is none.
template <class Number>
bool take_number(std::string_view& text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

bool take(std::string_view& text, std::string_view expected) {
    if (!text.starts_with(expected)) return false;
    text.remove_prefix(expected.size());
    return true;
}

std::string_view next_line(std::string_view& rest) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return line;
}

// "-- TOC entry 215 (class 1259 OID 16424)"
bool parse_heading(std::string_view line, int& id) {
    return take(line, "-- TOC entry ") && take_number(line, id) && take(line, " (class ");
}

// psql's commands around a script. A line of a function's body may look the same: only the one
// token that the script began with counts.
bool is_meta_command(std::string_view line, std::string_view token) {
    return !token.empty() && line == std::string{"\\unrestrict "} + std::string{token};
}

}  // namespace

std::vector<DumpEntry> parse_dump_list(std::string_view list) {
    std::vector<DumpEntry> entries;
    std::map<std::string, int> seen;
    while (!list.empty()) {
        const std::string_view line = next_line(list);
        std::string_view rest = line;
        DumpEntry entry;
        if (!take_number(rest, entry.id) || !take(rest, "; ") ||
            !take_number(rest, entry.class_oid) || !take(rest, " ") ||
            !take_number(rest, entry.oid) || !take(rest, " ")) {
            continue;
        }
        entry.what = std::string{rest};
        entry.line = std::string{line};
        const int count = ++seen[entry.what];
        if (count > 1) entry.what += "#" + std::to_string(count);
        entries.push_back(std::move(entry));
    }
    return entries;
}

bool is_left_behind(const DumpEntry& entry) {
    const std::string_view what = entry.what;
    for (const std::string_view kind : {"PUBLICATION", "SUBSCRIPTION", "EXTENSION"}) {
        if (what.starts_with(kind) || what.starts_with("COMMENT - " + std::string{kind}) ||
            what.starts_with("SECURITY LABEL - " + std::string{kind})) {
            return true;
        }
    }
    if (what.starts_with("SCHEMA - segue ") || what.starts_with("ACL - SCHEMA segue ")) return true;
    if (what.starts_with("EVENT TRIGGER - segue_")) return true;
    return what.starts_with("TRIGGER ") && what.find(" segue_fence ") != std::string_view::npos;
}

bool tells_that_it_exists(const DumpEntry& entry) {
    const std::string_view what = entry.what;
    for (const std::string_view kind : {"INDEX ",
                                        "CONSTRAINT ",
                                        "CHECK CONSTRAINT ",
                                        "FK CONSTRAINT ",
                                        "STATISTICS ",
                                        "TRIGGER ",
                                        "POLICY ",
                                        "ROW SECURITY ",
                                        "COMMENT "}) {
        if (what.starts_with(kind)) return true;
    }
    return false;
}

bool is_key_entry(const DumpEntry& entry, const KeyIndexes& keys) {
    constexpr long long pg_class_oid = 1259, pg_constraint_oid = 2606;
    if (entry.class_oid == pg_class_oid) return keys.indexes.contains(entry.oid);
    if (entry.class_oid == pg_constraint_oid) return keys.constraints.contains(entry.oid);
    // The owner follows the name, and either may hold blanks: every way to split them is tried.
    std::string_view rest = entry.what;
    if (!take(rest, "INDEX ATTACH ")) return false;
    for (std::size_t blank = rest.find(' '); blank != std::string_view::npos;
         blank = rest.find(' ', blank + 1)) {
        if (keys.names.contains(std::string{rest.substr(0, blank)})) return true;
    }
    return false;
}

Result<DumpScript> cut_script(std::string_view script, const std::vector<DumpEntry>& entries) {
    std::set<int> missing;
    for (const DumpEntry& entry : entries) missing.insert(entry.id);

    DumpScript cut;
    std::string token, preamble;
    std::string* piece = &preamble;
    while (!script.empty()) {
        const std::string_view line = next_line(script);
        int id = 0;
        // A function's body could imitate a heading. It would have to guess a number that is still
        // to come, and then the piece before it ends within quotes and is refused by the server:
        // nothing is smuggled in.
        if (parse_heading(line, id) && missing.erase(id) == 1) {
            cut.pieces.push_back({id, {}});
            piece = &cut.pieces.back().sql;
            continue;
        }
        if (piece == &preamble && line.starts_with("\\restrict ")) {
            token = std::string{line.substr(std::string_view{"\\restrict "}.size())};
            continue;
        }
        if (is_meta_command(line, token)) continue;
        piece->append(line);
        piece->push_back('\n');
    }
    if (!missing.empty()) {
        return Error{Errc::bad_value,
                     "pg_restore left out entry " + std::to_string(*missing.begin())};
    }
    std::string_view rest = preamble;
    while (!rest.empty()) {
        const std::string_view line = next_line(rest);
        if (line.starts_with("SET ") || line.starts_with("SELECT "))
            cut.settings.emplace_back(line);
    }
    return cut;
}

}  // namespace segue::backfill::postgres
