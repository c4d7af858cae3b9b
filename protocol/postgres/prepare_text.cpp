#include "protocol/postgres/prepare_text.hpp"

#include <algorithm>
#include <string>

namespace segue::protocol::postgres {

namespace {

constexpr std::size_t identifier_size_max = 63;  // NAMEDATALEN - 1: the server cuts longer ones.

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool word_start(char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}
bool word_char(char c) { return word_start(c) || (c >= '0' && c <= '9') || c == '$'; }

// Each returns the offset after the thing that begins at `at`; the text's size where it is not
// closed.
std::size_t after_quoted(std::string_view text, std::size_t at, bool escapes) {
    const char quote = text[at];
    for (std::size_t i = at + 1; i < text.size(); ++i) {
        if (escapes && text[i] == '\\') {
            ++i;
        } else if (text[i] == quote) {
            if (i + 1 >= text.size() || text[i + 1] != quote) return i + 1;
            ++i;
        }
    }
    return text.size();
}

std::size_t after_line_comment(std::string_view text, std::size_t at) {
    const std::size_t end = text.find('\n', at);
    return end == std::string_view::npos ? text.size() : end + 1;
}

std::size_t after_block_comment(std::string_view text, std::size_t at) {
    std::size_t depth = 0;
    for (std::size_t i = at; i + 1 < text.size();) {
        if (text[i] == '/' && text[i + 1] == '*') {
            ++depth;
            i += 2;
        } else if (text[i] == '*' && text[i + 1] == '/') {
            i += 2;
            if (--depth == 0) return i;
        } else {
            ++i;
        }
    }
    return text.size();
}

// At a '$': a dollar quote's end, or `at` + 1 when it is something else ($1).
std::size_t after_dollar(std::string_view text, std::size_t at) {
    std::size_t end = at + 1;
    if (end < text.size() && text[end] != '$' && !word_start(text[end])) return at + 1;
    while (end < text.size() && word_char(text[end]) && text[end] != '$') ++end;
    if (end >= text.size() || text[end] != '$') return at + 1;
    const std::string_view mark = text.substr(at, end + 1 - at);
    const std::size_t close = text.find(mark, end + 1);
    return close == std::string_view::npos ? text.size() : close + mark.size();
}

// The offset after the token that begins at `at`: never splits a quote, comment or word.
std::size_t after_token(std::string_view text, std::size_t at, bool backslash_escapes) {
    const char c = text[at];
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    if (c == '\'') return after_quoted(text, at, backslash_escapes);
    if (c == '"') return after_quoted(text, at, false);
    if (lower(c) == 'e' && next == '\'') return after_quoted(text, at + 1, true);
    if (c == '-' && next == '-') return after_line_comment(text, at);
    if (c == '/' && next == '*') return after_block_comment(text, at);
    if (c == '$') return after_dollar(text, at);
    if (!word_start(c)) return at + 1;
    std::size_t end = at + 1;
    while (end < text.size() && word_char(text[end])) ++end;
    return end;
}

std::string_view skip_blanks(std::string_view text) {
    for (;;) {
        if (!text.empty() && space(text.front())) {
            text.remove_prefix(1);
        } else if (text.starts_with("--")) {
            text.remove_prefix(after_line_comment(text, 0));
        } else if (text.starts_with("/*")) {
            text.remove_prefix(after_block_comment(text, 0));
        } else {
            return text;
        }
    }
}

// Takes an identifier off the front as the server would store it.
std::string take_identifier(std::string_view& text) {
    std::string name;
    const bool quoted = text.starts_with('"');
    const std::size_t end = quoted ? after_quoted(text, 0, false)
                            : !text.empty() && word_start(text.front())
                                ? after_token(text, 0, false)
                                : 0;
    for (std::size_t i = quoted ? 1 : 0; i + (quoted ? 1 : 0) < end; ++i) {
        if (quoted && text[i] == '"') ++i;  // Doubled.
        name.push_back(quoted ? text[i] : lower(text[i]));
    }
    text.remove_prefix(end);
    return name;
}

bool prepares(std::string_view statement, std::string_view name) {
    std::string_view rest = skip_blanks(statement);
    if (take_identifier(rest) != "prepare") return false;
    rest = skip_blanks(rest);
    const std::string found = take_identifier(rest);
    if (found == "transaction" && name != "transaction") return false;
    return std::string_view{found}.substr(0, identifier_size_max) == name;
}

}  // namespace

std::vector<std::string_view> split_statements(std::string_view text, bool backslash_escapes) {
    std::vector<std::string_view> statements;
    std::size_t start = 0;
    std::size_t at = 0;
    while (at < text.size()) {
        if (text[at] == ';') {
            statements.push_back(text.substr(start, at - start));
            start = ++at;
        } else {
            at = after_token(text, at, backslash_escapes);
        }
    }
    if (!skip_blanks(text.substr(start)).empty()) statements.push_back(text.substr(start));
    return statements;
}

std::optional<std::string_view> find_prepare(std::string_view text,
                                             std::string_view name,
                                             bool backslash_escapes) {
    const std::vector<std::string_view> statements = split_statements(text, backslash_escapes);
    const auto found =
        std::find_if(statements.rbegin(), statements.rend(), [name](std::string_view statement) {
            return prepares(statement, name);
        });
    if (found == statements.rend()) return std::nullopt;
    const auto alone =
        std::count_if(statements.begin(), statements.end(), [](std::string_view statement) {
            return !skip_blanks(statement).empty();
        });
    return alone == 1 ? text : *found;
}

}  // namespace segue::protocol::postgres
