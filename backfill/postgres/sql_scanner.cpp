#include "backfill/postgres/sql_scanner.hpp"

#include <algorithm>
#include <cctype>

namespace segue::backfill::postgres {

namespace {

bool is_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

}  // namespace

SqlScanner::Piece SqlScanner::next() {
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

SqlScanner::Piece SqlScanner::advance(std::size_t count, Piece piece) {
    at_ = std::min(at_ + count, text_.size());
    return piece;
}

SqlScanner::Piece SqlScanner::until(std::string_view end, Piece piece, std::size_t from) {
    const std::size_t found = text_.find(end, at_ + from);
    at_ = found == std::string_view::npos ? text_.size() : found + end.size();
    return piece;
}

// The server takes a carriage return for its end as well.
SqlScanner::Piece SqlScanner::line_comment() {
    const std::size_t found = text_.find_first_of("\r\n", at_);
    at_ = found == std::string_view::npos ? text_.size() : found + 1;
    return Piece::comment;
}

SqlScanner::Piece SqlScanner::block_comment() {
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

SqlScanner::Piece SqlScanner::quoted(char quote, bool escapes) {
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

std::optional<std::string_view> SqlScanner::dollar_tag() const {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != '$' && is_word(text_[end])) ++end;
    const bool number =
        end > at_ + 1 && std::isdigit(static_cast<unsigned char>(text_[at_ + 1])) != 0;
    if (end >= text_.size() || text_[end] != '$' || number) return std::nullopt;
    return text_.substr(at_, end + 1 - at_);
}

std::string upper(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) {
        return static_cast<char>(std::toupper(c));
    });
    return result;
}

std::string sql_name(std::string_view text) {
    std::string name;
    if (!text.starts_with('"')) {
        name = text;
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
            return static_cast<char>(std::tolower(c));
        });
        return name;
    }
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
        if (text[i] == '"') ++i;  // It is doubled.
        name += text[i];
    }
    return name;
}

std::string unquoted_name(std::string_view text) {
    std::string name;
    SqlScanner scanner{text};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        (void)scanner.next();
        name += sql_name(text.substr(from, scanner.at() - from));
    }
    return name;
}

std::vector<std::string> words(std::string_view statement, std::size_t count_max) {
    std::vector<std::string> found;
    SqlScanner scanner{statement};
    while (!scanner.done() && found.size() < count_max) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
        if (piece != SqlScanner::Piece::word) break;
        found.push_back(upper(statement.substr(from, scanner.at() - from)));
    }
    return found;
}

}  // namespace segue::backfill::postgres
