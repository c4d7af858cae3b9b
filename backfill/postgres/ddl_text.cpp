#include "backfill/postgres/ddl_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace segue::backfill::postgres {

namespace {

bool is_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

std::string upper(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) {
        return static_cast<char>(std::toupper(c));
    });
    return result;
}

// Walks over SQL text piece by piece: a word, a literal or quoted name, a comment, or one
// character.
class Scanner {
public:
    enum class Piece { word, quoted, comment, space, other };
    explicit Scanner(std::string_view text) : text_(text) {}

    bool done() const { return at_ >= text_.size(); }
    std::size_t at() const { return at_; }

    // The next piece; its text is [before, at()).
    Piece next() {
        const char c = text_[at_];
        if (std::isspace(static_cast<unsigned char>(c)) != 0) return advance(1, Piece::space);
        if (starts("--")) return line_comment();
        if (starts("/*")) return block_comment();
        if ((c == 'E' || c == 'e') && at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
            ++at_;
            return quoted('\'', true);
        }
        if (c == '\'' || c == '"') return quoted(c, false);
        if (c == '$') {
            if (const auto tag = dollar_tag()) return until(*tag, Piece::quoted, tag->size());
        }
        if (!is_word(c)) return advance(1, Piece::other);
        while (!done() && is_word(text_[at_])) ++at_;
        return Piece::word;
    }

private:
    bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }
    Piece advance(std::size_t count, Piece piece) {
        at_ = std::min(at_ + count, text_.size());
        return piece;
    }
    Piece until(std::string_view end, Piece piece, std::size_t from = 0) {
        const std::size_t found = text_.find(end, at_ + from);
        at_ = found == std::string_view::npos ? text_.size() : found + end.size();
        return piece;
    }
    // The server takes a carriage return for its end as well.
    Piece line_comment() {
        const std::size_t found = text_.find_first_of("\r\n", at_);
        at_ = found == std::string_view::npos ? text_.size() : found + 1;
        return Piece::comment;
    }
    Piece block_comment() {
        int depth = 0;
        do {
            if (starts("/*")) {
                ++depth;
                at_ += 2;
            } else if (starts("*/")) {
                --depth;
                at_ += 2;
            } else {
                ++at_;
            }
        } while (depth > 0 && !done());
        return Piece::comment;
    }
    Piece quoted(char quote, bool escapes) {
        for (++at_; !done(); ++at_) {
            if (escapes && text_[at_] == '\\') {
                ++at_;
            } else if (text_[at_] == quote) {
                ++at_;
                if (done() || text_[at_] != quote) return Piece::quoted;
            }
        }
        at_ = std::min(at_, text_.size());
        return Piece::quoted;
    }
    // $$ or $tag$ at this place.
    std::optional<std::string_view> dollar_tag() const {
        std::size_t end = at_ + 1;
        while (end < text_.size() && text_[end] != '$' && is_word(text_[end])) ++end;
        const bool number =
            end > at_ + 1 && std::isdigit(static_cast<unsigned char>(text_[at_ + 1])) != 0;
        if (end >= text_.size() || text_[end] != '$' || number) return std::nullopt;
        return text_.substr(at_, end + 1 - at_);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

// The first words of the statement, in upper case.
std::vector<std::string> words(std::string_view statement, std::size_t count_max) {
    std::vector<std::string> found;
    Scanner scanner{statement};
    while (!scanner.done() && found.size() < count_max) {
        const std::size_t from = scanner.at();
        const Scanner::Piece piece = scanner.next();
        if (piece == Scanner::Piece::space || piece == Scanner::Piece::comment) continue;
        if (piece != Scanner::Piece::word) break;
        found.push_back(upper(statement.substr(from, scanner.at() - from)));
    }
    return found;
}

}  // namespace

std::vector<std::string_view> statements_of(std::string_view text) {
    std::vector<std::string_view> found;
    Scanner scanner{text};
    constexpr std::size_t none = std::string_view::npos;
    std::size_t begin = none;
    int depth = 0;
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const Scanner::Piece piece = scanner.next();
        const std::string_view taken = text.substr(from, scanner.at() - from);
        if (piece == Scanner::Piece::word && upper(taken) == "ATOMIC") return {text};
        if (taken == "(") ++depth;
        if (taken == ")") --depth;
        if (taken == ";" && depth <= 0) {
            if (begin != none) found.push_back(text.substr(begin, from - begin));
            begin = none;
            depth = 0;
        } else if (begin == none && piece != Scanner::Piece::space &&
                   piece != Scanner::Piece::comment) {
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
    Scanner scanner{statement};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const Scanner::Piece piece = scanner.next();
        if (piece == Scanner::Piece::space || piece == Scanner::Piece::comment) continue;
        const std::string word = piece == Scanner::Piece::word
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
                return piece == Scanner::Piece::quoted ||
                       (!word.empty() && word != "TO" && word != "FROM");
        }
    }
    return false;
}

// What it did before may be undone: then what ran before this text's other commands is not known.
bool takes_back(std::string_view statement) {
    const std::vector<std::string> first = words(statement, 1);
    constexpr std::array<std::string_view, 3> verbs = {"ROLLBACK", "ABORT", "SAVEPOINT"};
    return !first.empty() && std::find(verbs.begin(), verbs.end(), first[0]) != verbs.end();
}

}  // namespace

std::optional<std::string_view> statement_at(const std::vector<std::string_view>& statements,
                                             std::string_view tag,
                                             int place,
                                             std::string& why) {
    std::vector<std::string_view> candidates;
    for (const std::string_view statement : statements) {
        if (may_be(statement, tag) && !is_of_the_server(statement, tag))
            candidates.push_back(statement);
    }
    if (place < 1 || candidates.size() < static_cast<std::size_t>(place)) {
        why = "its text is not such a command";
        return std::nullopt;
    }
    if (candidates.size() > 1 && std::any_of(statements.begin(), statements.end(), takes_back)) {
        why =
            "its text has several such commands and takes some back (ROLLBACK, SAVEPOINT), and no "
            "server tells which of them it is";
        return std::nullopt;
    }
    return candidates[static_cast<std::size_t>(place) - 1];
}

bool is_carried_tag(std::string_view tag) {
    constexpr std::array<std::string_view, 9> by_themselves = {"CREATE TABLE AS",
                                                               "REFRESH MATERIALIZED VIEW",
                                                               "CREATE DOMAIN",
                                                               "DROP DOMAIN",
                                                               "CREATE SCHEMA",
                                                               "DROP SCHEMA",
                                                               "COMMENT",
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
    Scanner scanner{statement};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const Scanner::Piece piece = scanner.next();
        if (piece == Scanner::Piece::space || piece == Scanner::Piece::comment) continue;
        if (piece == Scanner::Piece::word) {
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

std::string without_concurrently(std::string_view statement) {
    Scanner scanner{statement};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const Scanner::Piece piece = scanner.next();
        if (piece != Scanner::Piece::word) continue;
        if (upper(statement.substr(from, scanner.at() - from)) != "CONCURRENTLY") continue;
        std::string plain{statement.substr(0, from)};
        plain += statement.substr(scanner.at());
        return plain;
    }
    return std::string{statement};
}

}  // namespace segue::backfill::postgres
