#include "backfill/postgres/ddl_text.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "backfill/postgres/sql_scanner.hpp"

namespace segue::backfill::postgres {

std::vector<std::string_view> statements_of(std::string_view text) {
    std::vector<std::string_view> found;
    SqlScanner scanner{text};
    constexpr std::size_t none = std::string_view::npos;
    std::size_t begin = none;
    int depth = 0;
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        const std::string_view taken = text.substr(from, scanner.at() - from);
        if (piece == SqlScanner::Piece::word && upper(taken) == "ATOMIC") return {text};
        if (taken == "(") ++depth;
        if (taken == ")") --depth;
        if (taken == ";" && depth <= 0) {
            if (begin != none) found.push_back(text.substr(begin, from - begin));
            begin = none;
            depth = 0;
        } else if (begin == none && piece != SqlScanner::Piece::space &&
                   piece != SqlScanner::Piece::comment) {
            begin = from;
        }
    }
    if (begin != none) found.push_back(text.substr(begin));
    return found;
}

bool may_be(std::string_view statement, std::string_view tag) {
    // Words that the grammar allows between a command's verb and what it names.
    constexpr std::array<std::string_view, 13> between = {"OR",
                                                          "REPLACE",
                                                          "UNIQUE",
                                                          "GLOBAL",
                                                          "LOCAL",
                                                          "TEMP",
                                                          "TEMPORARY",
                                                          "UNLOGGED",
                                                          "RECURSIVE",
                                                          "TRUSTED",
                                                          "PROCEDURAL",
                                                          "CONSTRAINT",
                                                          "DEFAULT"};
    constexpr std::size_t words_max = 10;
    if (tag.ends_with(" AS")) tag.remove_suffix(3);
    const std::vector<std::string> wanted = words(tag, words_max);
    const std::vector<std::string> given = words(statement, words_max);
    std::size_t at = 0;
    for (const std::string& word : wanted) {
        while (at > 0 && at < given.size() && given[at] != word &&
               std::find(between.begin(), between.end(), given[at]) != between.end()) {
            ++at;
        }
        if (at >= given.size() || given[at] != word) return false;
        ++at;
    }
    return true;
}

namespace {

// Roles, databases, tablespaces and settings belong to the whole server: no event tells of commands
// on them, though others with the same tag are told.
bool is_of_the_server(std::string_view statement, std::string_view tag) {
    constexpr std::array<std::string_view, 4> commented = {
        "DATABASE", "ROLE", "TABLESPACE", "EVENT"};
    constexpr std::array<std::string_view, 3> granted = {"DATABASE", "TABLESPACE", "PARAMETER"};
    if (tag == "COMMENT") {
        const std::vector<std::string> first = words(statement, 3);
        return first.size() == 3 &&
               std::find(commented.begin(), commented.end(), first[2]) != commented.end();
    }
    if (tag != "GRANT" && tag != "REVOKE") return false;
    enum class Before { on, kind, name } awaited = Before::on;
    SqlScanner scanner{statement};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
        const std::string word = piece == SqlScanner::Piece::word
                                     ? upper(statement.substr(from, scanner.at() - from))
                                     : std::string{};
        switch (awaited) {
            case Before::on:  // Without ON it is a role that is granted.
                if (word == "TO" || word == "FROM") return true;
                if (word == "ON") awaited = Before::kind;
                break;
            case Before::kind:
                if (std::find(granted.begin(), granted.end(), word) == granted.end()) return false;
                awaited = Before::name;
                break;
            case Before::name:  // Else it is a table that is called so.
                return piece == SqlScanner::Piece::quoted ||
                       (!word.empty() && word != "TO" && word != "FROM");
        }
    }
    return false;
}

std::vector<std::string_view> candidates(const std::vector<std::string_view>& statements,
                                         std::string_view tag) {
    std::vector<std::string_view> found;
    for (const std::string_view statement : statements) {
        if (may_be(statement, tag) && !is_of_the_server(statement, tag)) found.push_back(statement);
    }
    return found;
}

std::optional<std::string_view> candidate_at(const std::vector<std::string_view>& candidates,
                                             bool takes_back,
                                             int place,
                                             std::string& why) {
    if (place < 1 || candidates.size() < static_cast<std::size_t>(place)) {
        why = "its text is not such a command";
        return std::nullopt;
    }
    if (candidates.size() > 1 && takes_back) {
        why =
            "its text has several such commands and takes some back (ROLLBACK, SAVEPOINT), and no "
            "server tells which of them it is";
        return std::nullopt;
    }
    return candidates[static_cast<std::size_t>(place) - 1];
}

}  // namespace

bool takes_some_back(const std::vector<std::string_view>& statements) {
    constexpr std::array<std::string_view, 3> verbs = {"ROLLBACK", "ABORT", "SAVEPOINT"};
    return std::any_of(statements.begin(), statements.end(), [&](std::string_view statement) {
        const std::vector<std::string> first = words(statement, 1);
        return !first.empty() && std::find(verbs.begin(), verbs.end(), first[0]) != verbs.end();
    });
}

std::optional<std::string_view> statement_at(const std::vector<std::string_view>& statements,
                                             std::string_view tag,
                                             int place,
                                             std::string& why) {
    return candidate_at(candidates(statements, tag), takes_some_back(statements), place, why);
}

std::optional<std::string_view> MessageText::statement_at(std::string_view tag,
                                                          int place,
                                                          std::string& why) {
    auto known = by_tag_.find(tag);
    if (known == by_tag_.end()) known = by_tag_.emplace(tag, candidates(statements_, tag)).first;
    return candidate_at(known->second, takes_back_, place, why);
}

bool is_carried_tag(std::string_view tag) {
    constexpr std::array<std::string_view, 10> by_themselves = {"CREATE TABLE AS",
                                                                "REFRESH MATERIALIZED VIEW",
                                                                "CREATE DOMAIN",
                                                                "DROP DOMAIN",
                                                                "CREATE SCHEMA",
                                                                "DROP SCHEMA",
                                                                "COMMENT",
                                                                "ALTER DEFAULT PRIVILEGES",
                                                                "GRANT",
                                                                "REVOKE"};
    constexpr std::array<std::string_view, 11> kinds = {"TABLE",
                                                        "INDEX",
                                                        "SEQUENCE",
                                                        "VIEW",
                                                        "MATERIALIZED VIEW",
                                                        "TYPE",
                                                        "FUNCTION",
                                                        "PROCEDURE",
                                                        "TRIGGER",
                                                        "POLICY",
                                                        "STATISTICS"};
    if (std::find(by_themselves.begin(), by_themselves.end(), tag) != by_themselves.end())
        return true;
    const std::size_t verb = tag.find(' ');
    if (verb == std::string_view::npos) return false;
    const std::string_view what = tag.substr(0, verb);
    if (what != "CREATE" && what != "ALTER" && what != "DROP") return false;
    return std::find(kinds.begin(), kinds.end(), tag.substr(verb + 1)) != kinds.end();
}

std::string with_no_data(std::string_view statement) {
    struct Word {
        std::string text;
        std::size_t at;
    };
    std::vector<Word> last;  // Only words that nothing but comments and space is behind.
    SqlScanner scanner{statement};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
        if (piece == SqlScanner::Piece::word) {
            last.push_back({upper(statement.substr(from, scanner.at() - from)), from});
        } else {
            last.clear();
        }
    }
    const auto ends_with = [&](const std::vector<std::string_view>& words_wanted) {
        return last.size() >= words_wanted.size() &&
               std::equal(words_wanted.rbegin(),
                          words_wanted.rend(),
                          last.rbegin(),
                          [](std::string_view a, const Word& b) { return a == b.text; });
    };
    if (ends_with({"WITH", "NO", "DATA"})) return std::string{statement};
    if (ends_with({"WITH", "DATA"})) statement = statement.substr(0, last[last.size() - 2].at);
    return std::string{statement} + "\nWITH NO DATA";
}

std::string plain_form(std::string_view statement) {
    constexpr std::size_t none = std::string_view::npos;
    SqlScanner scanner{statement};
    // DETACH PARTITION, then a name; FINALIZE is the last word behind it.
    bool detaches = false, named = false;
    std::size_t last = none;
    std::string before;
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
        const std::string_view text = statement.substr(from, scanner.at() - from);
        const std::string word = piece == SqlScanner::Piece::word ? upper(text) : std::string{};
        if (word == "CONCURRENTLY") {
            std::string plain{statement.substr(0, from)};
            plain += statement.substr(scanner.at());
            return plain;
        }
        last = detaches && named && word == "FINALIZE" ? from : none;
        named = detaches && text != ".";
        detaches = detaches || (before == "DETACH" && word == "PARTITION");
        before = word;
    }
    return std::string{statement.substr(0, last)};
}

}  // namespace segue::backfill::postgres
